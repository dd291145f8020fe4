/**
 * Plans → views: what each template reads.
 *
 * In: the op and its plans. Out: one flat record of strings, integers and booleans for each template, lists of such
 * records where a template repeats itself. Pure. A view derives nothing that decides a result: it only names and
 * spells what `plan` fixed.
 */
import { AXES, type ConfigPoint } from "../dsl/axes.js";
import { FUNCTION_NAMES, prototypeOf } from "../dsl/functions.js";
import {
  ARGS_BEFORE,
  ARGS_BEHIND,
  argsLayout,
  C_TYPES,
  type CType,
  type Dimension,
  FIRST_ARGS_BYTES,
  HEADS,
  type Input,
  type Placed,
  placed,
  type TensorDtype,
} from "../dsl/inputs.js";
import { valueOn, written } from "../dsl/points.js";
import { ABI_VERSION, type Manifest, opOf } from "../runtime/manifest.js";
import { internalError } from "./diagnostics.js";
import type { AxisValue, KernelPlan, Layout, Op } from "./ir.js";
import { commented, floatLiteral, rawString, vectorType } from "./spelling.js";

export type ViewValue = string | number | boolean | View | readonly View[];
export interface View {
  readonly [name: string]: ViewValue;
}

export function cudaKernelView(op: Op, plan: KernelPlan): View {
  const { point, vectorElements, rotaryPairs } = plan;
  return {
    id: plan.id,
    opSource: op.source,
    ...axisValues(point),
    vectorType: vectorType(vectorElements),
    vectorElements,
    slots: plan.slots,
    places: plan.places,
    rotaryPairs,
    blockThreads: plan.blockThreads,
    pairs: `pairs/${point.rope}`,
    entries: entriesOf(plan),
    /** Neighbouring pairs of a lane are all rotated or all not: then the table is read two entries at once. */
    ...blocksOf(plan, CUDA_BLOCKS, { turnsAtOnce: vectorElements > 1 && rotaryPairs % 2 === 0 ? 2 : 1 }),
  };
}

/**
 * The blocks of a stage's CUDA text, in the order in which the skeleton has them: functions of the file; variables; loads of a
 * slot before the wait of a dependent launch, and reads behind it; what is made of a slot once for all heads of a task;
 * what is done to each head.
 */
const CUDA_BLOCKS = ["functions", "declare", "load", "read", "prepare", "apply"] as const;

/** And of its CPU text: variables; what is measured of a head first; what is made for a head; what is done to it. */
const CPU_BLOCKS = ["declare", "measure", "prepare", "apply"] as const;

/** For each block the stages, of which each template has the text of that block or none. */
function blocksOf(plan: KernelPlan, blocks: readonly string[], more: View = {}): View {
  return Object.fromEntries(
    blocks.map((block) => {
      const flags = Object.fromEntries(blocks.map((name) => [name, name === block]));
      const views = stageViews(plan).map((stage) => ({ ...stage, ...more, ...flags }));
      // In the order that was timed: the other one changes the machine code of most kernels.
      return [block, block === "load" ? views.reverse() : views];
    }),
  );
}

/** The value on each axis by its name, for a stage's text; empty where an axis means nothing. */
function axisValues(point: ConfigPoint): View {
  return Object.fromEntries(AXES.map((axis) => [axis.name, valueOn(axis, point) ?? ""]));
}

/** A kernel's layouts, with the names of their entries: without programmatic dependent launch, and with it. */
function layoutsOf({ id, wide, ...narrow }: KernelPlan) {
  const named = (layout: Layout, name: string) => ({
    ...layout,
    symbol: name,
    dependentSymbol: `${name}__dependent`,
  });
  return [named(narrow, id), ...(wide === undefined ? [] : [named(wide, `${id}__wide`)])];
}

/** The entries of a kernel's file. */
function entriesOf(plan: KernelPlan): readonly View[] {
  return layoutsOf(plan).flatMap(({ symbol, dependentSymbol, lanesPerHead, slotsPerLane, minBlocks }) => {
    const launchBounds = minBlocks === undefined ? "BLOCK_THREADS" : `BLOCK_THREADS, ${minBlocks}`;
    const common = { launchBounds, lanesPerHead, slotsPerLane };
    return [
      { symbol, isDependent: false, ...common },
      { symbol: dependentSymbol, isDependent: true, ...common },
    ];
  });
}

export function cpuKernelView(op: Op, plan: KernelPlan): View {
  const { point } = plan;
  return {
    id: plan.id,
    opSource: op.source,
    ...axisValues(point),
    interleaved: point.rope === "interleaved",
    partial: point.rotaryDim < point.headDim,
    rotaryPairs: plan.rotaryPairs,
    ...blocksOf(plan, CPU_BLOCKS),
  };
}

function stageViews(plan: KernelPlan): View[] {
  return plan.stages.map(({ name, constants }) => {
    const spelled = Object.entries(constants).map(([key, value]) => [key, floatLiteral(value)]);
    return { ...Object.fromEntries(spelled), partial: `stages/${name}` };
  });
}

export function dispatchView(plans: readonly KernelPlan[], manifest: Manifest): View {
  return {
    kernelCount: plans.length,
    manifest: rawString(JSON.stringify(manifest)),
    kernels: plans.map((plan) => ({
      id: plan.id,
      headDim: plan.point.headDim,
      rotaryPairs: plan.rotaryPairs,
      vectorElements: plan.vectorElements,
      blockThreads: plan.blockThreads,
      layouts: layoutsOf(plan).map(({ symbol, dependentSymbol, headsPerWarp, slotsPerLane }) => ({
        symbol,
        dependentSymbol,
        headsPerWarp,
        slotsPerLane,
      })),
    })),
  };
}

export function headerView(): View {
  return {
    abi: ABI_VERSION,
    heads: HEADS.flatMap(declaration),
    before: ARGS_BEFORE.flatMap(declaration),
    behind: ARGS_BEHIND.flatMap(declaration),
    ...Object.fromEntries(FUNCTION_NAMES.map((name) => [`normrope_${name}`, prototypeOf(name)])),
  };
}

/** The lines of a field in C. */
function declaration({ name, type, count = 1, docs }: Input): View[] {
  const blank = type.endsWith("*") ? "" : " ";
  return commented(`${type}${blank}${name}${count === 1 ? "" : `[${count}]`};`, docs).map((line) => ({
    line,
  }));
}

/** What the C interface checks, field by field. */
export function inputsView(): View {
  const { fields } = argsLayout();
  const args = [...fields.values()].filter(({ input }) => !HEADS.includes(input));
  return {
    firstBytes: FIRST_ARGS_BYTES,
    tables: [...tablesOf("HEADS", placed(HEADS).fields), ...tablesOf("ARGS", args)],
    runs: [
      { table: "HEADS_ABSENT_RUNS", runs: absentRuns(placed(HEADS).fields) },
      { table: "ARGS_ABSENT_RUNS", runs: absentRuns(args) },
    ],
  };
}

/** The fields of one struct by what is done with them: each call goes through all. */
function tablesOf(struct: string, fields: readonly Placed[]): View[] {
  const views = inputViews(fields);
  const isOf = (rules: readonly string[]) => (view: View) => rules.includes(`${view.rule}`);
  const apart = ["absent", "tensor"];
  return [
    { table: `${struct}_NUMBERS`, inputs: views.filter((view) => !isOf(apart)(view)) },
    { table: `${struct}_TENSORS`, inputs: views.filter(isOf(["tensor"])) },
    { table: `${struct}_ABSENT`, inputs: views.filter(isOf(["absent"])) },
  ];
}

/** The bytes of absent fields that lie side by side: a call looks at these as a whole. */
function absentRuns(fields: readonly Placed[]): View[] {
  const runs: { offset: number; bytes: number }[] = [];
  for (const { input, offset } of fields.filter(({ input }) => input.rule.kind === "absent")) {
    const bytes = C_TYPES[input.type] * (input.count ?? 1);
    const last = runs.at(-1);
    if (last !== undefined && last.offset + last.bytes === offset) last.bytes += bytes;
    else runs.push({ offset, bytes });
  }
  return runs;
}

/** What `Type` of the emitted table is called that holds a value of a C type. */
const typeName = (type: CType) => {
  if (type.endsWith("*")) return "pointer";
  return type === "float" ? "float32" : type.replace("_t", "");
};

/** 0: of `position_bits`. */
const TENSOR_ELEMENT_BYTES: Readonly<Record<TensorDtype, number>> = { kernel: 2, position: 0, uint64: 8 };

const sizeName = (dimension: Dimension) => (dimension === "rotary_dim / 2" ? "rotary_pairs" : dimension);

/** The fields of one struct. */
function inputViews(fields: readonly Placed[]): View[] {
  const offsetOf = (name: string) => {
    const field = fields.find(({ input }) => input.name === name);
    if (field === undefined) throw internalError("view", `no field is called ${name}`);
    return field.offset;
  };
  return fields.map(({ input, offset }) => {
    const { name, type, count = 1, rule } = input;
    const strides = rule.kind === "tensor" ? Object.entries(rule.strides) : [];
    const [first, second] = strides.map(([size, stride]) => ({ size, stride, offset: offsetOf(stride) }));
    const none = { size: "none", stride: "", offset: 0 };
    const common = { name, offset, bytes: C_TYPES[type] * count, type: typeName(type), rule: rule.kind };
    const dimensions = { first: first ?? none, second: second ?? none };
    if (rule.kind !== "tensor") {
      const over = rule.kind === "stride" ? rule.over : "none";
      return {
        ...{ ...common, over, ...dimensions },
        ...{ contiguous: "none", alignment: 0, elementBytes: 0, lengthOffset: 0, isExact: false },
      };
    }
    const { shape, alignment, isExact = false } = rule;
    return {
      ...{ ...common, over: "none", ...dimensions },
      contiguous: sizeName(shape.find((dimension) => rule.strides[dimension] === undefined) ?? "num_tokens"),
      alignment: typeof alignment === "number" ? alignment : alignment.toUpperCase(),
      ...{
        elementBytes: TENSOR_ELEMENT_BYTES[rule.dtype],
        lengthOffset: offsetOf(`${name}_length`),
        isExact,
      },
    };
  });
}

export function bindingsView(ops: readonly Op[], plans: readonly KernelPlan[]): View {
  return {
    kernels: plans.map((plan) => {
      const { axes } = opOf(ops, plan);
      const named = new Set(written(axes, plan.point).map(([{ name }]) => name));
      const field = (name: string, value: AxisValue, isRequired: boolean) => ({
        ...{ name, optional: isRequired ? "" : "?", type: JSON.stringify(value) },
      });
      return {
        id: plan.id,
        fields: [
          field("op", plan.op, ops.length > 1),
          ...axes.flatMap((axis) => {
            const value = valueOn(axis, plan.point);
            return value === undefined ? [] : [field(axis.name, value, named.has(axis.name))];
          }),
        ],
      };
    }),
  };
}
