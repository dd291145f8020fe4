/**
 * Plans → views: what each template reads.
 *
 * In: the op and its plans. Out: one flat record of strings, integers and booleans for each template, lists of such
 * records where a template repeats itself. Pure. A view derives nothing that decides a result: it only names and
 * spells what `plan` fixed.
 */
import { written } from "../dsl/points.js";
import { ABI_VERSION, type Manifest, opOf } from "../runtime/manifest.js";
import type { AxisValue, KernelPlan, Layout, Op } from "./ir.js";
import { floatLiteral, rawString, vectorType } from "./spelling.js";

export type ViewValue = string | number | boolean | View | readonly View[];
export interface View {
  readonly [name: string]: ViewValue;
}

export function cudaKernelView(op: Op, plan: KernelPlan): View {
  const { point, vectorElements, rotaryPairs } = plan;
  return {
    id: plan.id,
    opSource: op.source,
    ...point,
    vectorType: vectorType(vectorElements),
    vectorElements,
    slots: plan.slots,
    places: plan.places,
    rotaryPairs,
    blockThreads: plan.blockThreads,
    pairs: `pairs/${point.rope}`,
    /** Neighbouring pairs of a lane are all rotated or all not: then the table is read two entries at once. */
    turnsAtOnce: vectorElements > 1 && rotaryPairs % 2 === 0 ? 2 : 1,
    entries: entriesOf(plan),
    stages: stageViews(plan),
  };
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
    ...point,
    interleaved: point.rope === "interleaved",
    partial: point.rotaryDim < point.headDim,
    rotaryPairs: plan.rotaryPairs,
    measuring: stageViews(plan).map((stage) => ({ ...stage, measuring: true })),
    applying: stageViews(plan).map((stage) => ({ ...stage, measuring: false })),
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
  return { abi: ABI_VERSION };
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
          ...Object.entries(plan.point).map(([name, value]) => field(name, value, named.has(name))),
        ],
      };
    }),
  };
}
