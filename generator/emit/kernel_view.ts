/**
 * Plans → views of the kernel templates.
 *
 * In: an op and a plan. Out: flat records of strings, integers and booleans, lists of such records where a template repeats
 * itself. Pure. A view derives nothing that decides a result: it only names and spells what `plan` fixed.
 */
import { AXES } from "../../dsl/axes.js";
import { FORMATS } from "../../dsl/dtypes.js";
import type { KernelPlan, Op, PlannedBody, PlannedStage } from "../ir.js";
import { pointWords } from "../kernel_id.js";
import { byteVectorType, floatVectorType, vectorType } from "./spelling.js";
import type { View, ViewValue } from "./view.js";

/** The blocks of a stage's template. docs/stages.md says what belongs in each. */
const BLOCKS = ["functions", "declare", "load", "read", "prepare", "measure", "apply", "store"] as const;

type Block = (typeof BLOCKS)[number];

/** A load of the RoPE table has 16 bytes at most. */
const TURNS_AT_ONCE_MAX = 2;

/** The text of one block of a stage. */
function blockOf(block: Block, { name, values, reads, parts }: PlannedStage, more: View = {}): View {
  const flags = BLOCKS.map((other) => [other, other === block]);
  const partials = Object.entries(parts).map(([part, file]) => [part, `stages/${name}/${file}`]);
  return {
    ...{ ...more, ...valueViews(values), reads, ...Object.fromEntries([...flags, ...partials]) },
    isOptional: false,
    weightVector: values.weightDtype === "f32" ? "FloatVector" : "Vector",
    weightElement: values.weightDtype === "f32" ? "float" : "uint16_t",
    partial: `stages/${name}`,
  };
}

/** A number stays. A name becomes a set of flags, since a template can only ask whether. */
function valueViews(values: PlannedStage["values"]): View {
  const views = AXES.flatMap((axis): [string, ViewValue][] => {
    const value = values[axis.name];
    if (value === undefined) return [];
    if (axis.kind === "integer") return [[axis.name, value]];
    return [[axis.name, Object.fromEntries(axis.values.map((name) => [name, name === value]))]];
  });
  return Object.fromEntries(views);
}

/** Merges the stages of one name: the union of what they read, and the values that they share. */
function merged(stages: readonly PlannedStage[]): readonly PlannedStage[] {
  const names = [...new Set(stages.map(({ name }) => name))];
  return names.map((name): PlannedStage => {
    const same = stages.filter((stage) => stage.name === name);
    const [first] = same;
    // A stage to which an axis does not apply shares every value of it.
    const common = Object.keys(first?.values ?? {}).flatMap((axis) => {
      const values = new Set(same.map(({ values }) => values[axis] ?? ""));
      const [value = ""] = [...values].filter((found) => found !== "");
      return values.size - Number(values.has("")) > 1 ? [] : [[axis, value] as const];
    });
    const inputs = Object.keys(first?.reads ?? {});
    return {
      name,
      parts: first?.parts ?? {},
      values: Object.fromEntries(common),
      reads: Object.fromEntries(
        inputs.map((input) => [input, same.some(({ reads }) => reads[input] === true)]),
      ),
      measures: Math.max(...same.map(({ measures }) => measures)),
      roundsAsModel: same.some((stage) => stage.roundsAsModel),
      isSink: first?.isSink ?? false,
    };
  });
}

/** The part of the view that both targets share. */
function commonView(op: Op, plan: KernelPlan): View {
  const { point, pairing } = plan;
  return {
    id: plan.id,
    opSource: op.source,
    summary: plan.bodies.map(({ text }) => text).join("; "),
    point: pointWords(point, op.axes),
    headDim: point.headDim,
    dtype: point.dtype,
    rotaryPairs: plan.rotaryPairs,
    hasBytes: Object.values(plan.inputDtypes).includes("e4m3"),
    trailing: (pairing?.start ?? 0) > 0,
    hasFloatVectors: Object.entries(plan.inputDtypes).some(
      ([path, dtype]) => path.includes(".") && dtype === "f32",
    ),
    // A kernel without pairing lies as NeoX with nothing rotated.
    pairs: `pairs/${pairing?.rope ?? "neox"}`,
  };
}

const functionOf = ({ sides }: PlannedBody) => `run_${sides.join("_and_")}`;

/** The stages that change a head. */
const changing = ({ stages }: PlannedBody) => stages.filter(({ isSink }) => !isSink);

/** Whether a call may leave the output of these sides out. */
const isOutOptional = ({ optionalInputs }: KernelPlan, { sides }: PlannedBody) =>
  sides.some((side) => optionalInputs.includes(`${side}.out`));

/** Whether a body only copies. Kernels without a cache copy as they did before there was one. */
const isCopy = ({ isBySide }: KernelPlan, body: PlannedBody) => isBySide && changing(body).length === 0;

/** Whether a kernel needs more parameters than those of heads in its dtype. */
const hasStores = ({ inputs, inputDtypes }: KernelPlan) =>
  inputs.includes("slots") || Object.values(inputDtypes).includes("e4m3");

/** The type of a kernel's parameters. */
export const paramsType = (plan: KernelPlan): string => (hasStores(plan) ? "StoreParams" : "Params");

export function cudaKernelView(op: Op, plan: KernelPlan): View {
  const { vectorElements, bodies } = plan;
  const { pairsAtOnce, positionAxes, inputDtypes } = plan;
  const cosSinDtype = inputDtypes.cos_sin ?? plan.point.dtype;
  const more = {
    ...{ dtype: plan.point.dtype, pairsAtOnce, positionAxes, cosSinDtype },
    cosSinType: (cosSinDtype === "f32" ? floatVectorType : vectorType)(pairsAtOnce),
    turnsAtOnce: Math.min(pairsAtOnce, TURNS_AT_ONCE_MAX),
  };
  const sidesUpTo = (end: number) =>
    bodies.slice(0, end).reduce((count, { sides }) => count + sides.length, 0);
  return {
    ...commonView(op, plan),
    vectorType: vectorType(vectorElements),
    floatVectorType: floatVectorType(vectorElements),
    vectorElements,
    elementBytes: FORMATS[plan.point.dtype].bytes,
    fragments: plan.fragments,
    blockThreads: plan.blockThreads,
    byteVectorType: byteVectorType(vectorElements),
    paramsType: paramsType(plan),
    isBySide: plan.isBySide,
    sideCount: plan.sides.length,
    pairsBefore: (plan.pairing?.start ?? 0) / 2,
    partial: plan.rotaryPairs > 0 && 2 * plan.rotaryPairs < plan.point.headDim,
    functions: merged(bodies.flatMap(({ stages }) => stages)).map((stage) =>
      blockOf("functions", stage, more),
    ),
    bodies: bodies.map((body, i) => {
      const once = merged(body.stages);
      const onceBlock = (block: Block) => once.map((stage) => blockOf(block, stage, more));
      return {
        name: functionOf(body),
        text: body.text,
        firstSide: sidesUpTo(i),
        endSide: sidesUpTo(i + 1),
        measures: once.some(({ measures }) => measures > 0),
        declare: onceBlock("declare"),
        // This order was timed. The other one changes the machine code of most kernels.
        load: onceBlock("load").reverse(),
        read: onceBlock("read"),
        prepare: onceBlock("prepare"),
        apply: changing(body).map((stage, at) => ({
          ...blockOf("apply", stage, more),
          clears: stage.measures > 0 && at > 0,
        })),
        store: body.stages.map((stage) => ({
          ...blockOf("store", stage, more),
          isOptional: isOutOptional(plan, body),
        })),
        isCopy: isCopy(plan, body),
      };
    }),
    entries: entriesOf(plan),
  };
}

/** The two layouts of a kernel, with the symbols of their entries: for an ordinary and for a dependent launch. */
export function layoutsOf({ id, throughput, ...latency }: KernelPlan) {
  const named = (symbol: string) => ({ symbol, dependentSymbol: `${symbol}__dependent` });
  return [
    { ...latency, ...named(id), isThroughput: false },
    { ...throughput, ...named(`${id}__throughput`), isThroughput: true },
  ];
}

/** The entries of a kernel's file. */
function entriesOf(plan: KernelPlan): readonly View[] {
  return layoutsOf(plan).flatMap(({ symbol, dependentSymbol, minBlocks, ...layout }) => {
    const launchBounds = minBlocks === undefined ? "BLOCK_THREADS" : `BLOCK_THREADS, ${minBlocks}`;
    const { lanesPerHead, headsPerWarp, fragmentsPerLane, isThroughput } = layout;
    const common = { launchBounds, lanesPerHead, headsPerWarp, fragmentsPerLane, isThroughput };
    return [
      { symbol, isDependent: false, ...common },
      { symbol: dependentSymbol, isDependent: true, ...common },
    ];
  });
}

export function cpuKernelView(op: Op, plan: KernelPlan): View {
  const { bodies } = plan;
  const { dtype } = plan.point;
  // Rotated interleaved pairs at a head's end are its last ones; with NeoX the rotated pairs are always the first.
  const isFloat32 = plan.inputDtypes.cos_sin === "f32";
  const isLast = plan.pairing?.rope === "interleaved" && plan.pairing.start > 0;
  const more = {
    at: isLast ? "PAIRS - ROTARY_PAIRS + " : "",
    ...{ dtype, cosSinDtype: isFloat32 ? "f32" : dtype, cosSinElement: isFloat32 ? "float" : "uint16_t" },
  };
  return {
    ...commonView(op, plan),
    roundsAsModel: bodies.some(({ stages }) => stages.some((stage) => stage.roundsAsModel)),
    read: merged(bodies.flatMap(({ stages }) => stages)).map((stage) => blockOf("read", stage, more)),
    bodies: bodies.map((body) => cpuBodyView(plan, body, more)),
  };
}

/** The stages before a measuring stage. They are applied once to measure, and once more after it. */
function cpuBodyView(plan: KernelPlan, body: PlannedBody, more: View): View {
  const { stages } = body;
  const measuredBefore = (end: number) =>
    stages.slice(0, end).reduce((sum, { measures }) => sum + measures, 0);
  const blocks = (block: Block, of: readonly PlannedStage[]) =>
    of.map((stage) => blockOf(block, stage, { ...more, measured: measuredBefore(stages.indexOf(stage)) }));
  const last = stages.findLastIndex(({ measures }) => measures > 0);
  const once = merged(stages);
  const front = stages.slice(0, last + 1);
  const replay = [
    ...blocks("prepare", last > 0 ? merged(front.slice(0, -1)) : []),
    ...front.flatMap((stage, i) => [
      ...(stage.measures > 0 ? blocks("measure", [stage]) : []),
      ...(i < last ? blocks("apply", [stage]) : []),
    ]),
  ];
  return {
    name: functionOf(body),
    text: body.text,
    calls: body.sides.map((side) => ({ name: functionOf(body), side })),
    measures: measuredBefore(stages.length),
    declare: blocks("declare", once),
    prepare: blocks("prepare", once),
    replay,
    apply: blocks("apply", changing(body)),
    store: blocks("store", stages).map((view) => ({ ...view, isOptional: isOutOptional(plan, body) })),
    hasOut: stages.some(({ reads }) => reads.out === true),
    outElement: body.sides.some((side) => plan.inputDtypes[`${side}.out`] === "e4m3")
      ? "uint8_t"
      : "uint16_t",
  };
}
