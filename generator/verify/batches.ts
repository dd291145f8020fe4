/**
 * The batches that a kernel is verified on. Together they cover the features of its op and every branch of dispatch.
 *
 * In: a kernel, and dispatch's decision for a shape. Out: batches, and the branches that they miss. Pure.
 */
import { SIDES } from "../../dsl/inputs.js";
import type { ManifestKernel } from "../../dsl/manifest.js";
import type { LaunchInfo } from "../../runtime/op.js";
import { ropeTable } from "../../runtime/rope_table.js";
import { REL_ERROR_MIN_ELEMENTS } from "./accuracy.js";
import { type Batch, headsFirst, rowsOf } from "./made_batch.js";
import { type Counts, headsOf, isAlwaysForEachHead, needsOutput, readTensors } from "./made_call.js";
import { type PagingOptions, pagingOf } from "./paging.js";

/**
 * Guard elements before and after a batch in place. Out of place there are none, so that memory tools see every access beyond
 * the buffer.
 */
const GUARD = 64;

/** Positions at which other implementations were wrong, and the ends of the range. */
export const VERIFY_POSITIONS = [0, 1, 4095, 131071, 1_000_000, 2 ** 31 - 1, -1, -4095, -(2 ** 31)] as const;
/** The particulars of a batch. Positions cycle through `VERIFY_POSITIONS`. */
export interface Sketch {
  readonly name: string;
  readonly tokens: number;
  readonly q: number;
  readonly k: number;
  /** Default: one. */
  readonly v?: number;
  /** Rows of q, k and v heads in place, the same with gaps, or from rows to a heads-first buffer. Default: `rows`. */
  readonly memory?: "rows" | "rows with gaps" | "out of place";
  readonly hasInt64Positions?: boolean;
  readonly hasYarn?: boolean;
  readonly eps?: number;
  readonly weightForEachHead?: boolean;
  readonly judgeEvery?: number;
  /** Of kernels that write a cache. Default: outputs are given, and scales. */
  readonly paging?: PagingOptions;
  readonly isCacheOnly?: boolean;
  readonly isWithoutScales?: boolean;
}

const SKETCHES: readonly Sketch[] = [
  {
    ...{ name: "strided, YaRN, int64 positions", tokens: 37, q: 5, k: 1, v: 3 },
    ...{ memory: "rows with gaps", hasInt64Positions: true, hasYarn: true },
    paging: { kind: "packed", blockSize: 3, gap: 8, hasInt64Slots: true },
  },
  {
    name: "out of place",
    tokens: 13,
    q: 2,
    k: 7,
    v: 2,
    memory: "out of place",
    hasYarn: true,
    eps: 1e-5,
    paging: { kind: "pool" },
    isWithoutScales: true,
  },
  { name: "a weight for each head, a large eps", tokens: 9, q: 5, k: 3, weightForEachHead: true, eps: 0.3 },
  { name: "no k heads", tokens: 7, q: 3, k: 0, v: 2 },
  { name: "no q heads, no v heads", tokens: 7, q: 0, k: 3, v: 0, memory: "out of place" },
  { name: "one token", tokens: 1, q: 32, k: 8, v: 8, hasYarn: true, isCacheOnly: true },
  { name: "no tokens", tokens: 0, q: 3, k: 2 },
];

/** A batch, and dispatch's decision for it. */
export interface Branch extends Sketch {
  readonly layout: number;
  readonly headsPerTask: number;
  readonly isSliced: boolean;
  /** Whether the shape is run for the throughput layout alone. */
  readonly isForThroughput: boolean;
}

/** A shape, run with more and more tokens until dispatch has taken every branch. */
export type Shape = Omit<Sketch, "tokens" | "judgeEvery">;

/** Shapes with 5 rounds of heads on each side, so that tasks have two rounds and four. */
function shapesFor(headsPerWarp: number): {
  readonly every: Shape;
  readonly throughput: readonly Shape[];
  /** Each head has its own weight, for which there is only the latency layout. */
  readonly differing: Shape;
} {
  const heads = 5 * headsPerWarp;
  return {
    every: { name: "filling", q: heads, k: heads, v: heads },
    throughput: [
      {
        ...{ name: "filling, strided, with YaRN and int64 positions" },
        ...{ q: heads, k: heads, v: heads, memory: "rows with gaps" },
        ...{ hasYarn: true, hasInt64Positions: true },
      },
      { name: "filling, heads that leave lanes idle", q: heads - 1, k: 1, v: 1 },
      { name: "filling, out of place, no k heads", q: heads, k: 0, memory: "out of place" },
      { name: "many tokens of few heads", q: 3, k: 1 },
    ],
    differing: {
      ...{ name: "filling, with a weight for each head", q: heads, k: heads, v: heads },
      weightForEachHead: true,
    },
  };
}

/** The task sizes that every device must show: one, two and four rounds. */
const TASKS_MIN = 3;

/** The branches of dispatch that were not taken, in words. */
export function unseenBranches(entry: ManifestKernel, branches: readonly Branch[]): string[] {
  // If heads can never share an input, each lane has one head, and only the latency layout is taken.
  const differ = SIDES.some((side) => readTensors(entry, side).some(isAlwaysForEachHead));
  const [tasksMin, layoutsMin] = differ ? [1, 1] : [TASKS_MIN, 2];
  const count = (of: (branch: Branch) => unknown) => new Set(branches.map(of)).size;
  const tasks = count(({ headsPerTask }) => headsPerTask);
  const seen = count(({ layout }) => layout);
  const missed = branches.filter(({ layout, isForThroughput }) => isForThroughput && layout === 0);
  return [
    ...(seen === 2 ? missed.map(({ name }) => `"${name}" was not seen in the throughput layout`) : []),
    ...(seen < layoutsMin ? [`only ${seen} of ${layoutsMin} layouts was seen`] : []),
    ...(tasks < tasksMin ? [`only ${tasks} sizes of a task were seen, of ${tasksMin}`] : []),
    ...(count(({ isSliced }) => isSliced) < 2 ? ["either one slice or several were not seen"] : []),
  ];
}

/** Batches grow by so many steps until they are twice as large. */
const STEPS_OF_DOUBLING = 3;

/** About this many tokens of a large batch are judged. */
const JUDGED = 43;

/**
 * The smallest batch, by steps of a quarter, for each branch of dispatch; for further shapes, the smallest in the throughput layout; and
 * with a weight for each head, the one of the last branch. `launched` gives dispatch's decision. Batches have at most `most` elements.
 */
export function branchesOf(
  entry: ManifestKernel,
  most: number,
  launched: (shape: Shape, tokens: number) => LaunchInfo,
): Branch[] {
  const { every, throughput, differing } = shapesFor(entry.throughputHeadsPerWarp);
  const sketchesOf = (shape: Shape, isForThroughput: boolean) => {
    const heads = takenHeads(entry, countsOf(shape, 0));
    if (heads === 0) return [];
    const found = new Map<string, Branch>();
    for (let n = 0; ; n++) {
      const tokens = n === 0 ? 1 : Math.floor(2 ** ((n - 1) / STEPS_OF_DOUBLING)) + 1; // the last blocks are not full
      if (tokens * heads * entry.point.headDim > most) return [...found.values()];
      const { layout, headsPerTask, slices } = launched(shape, tokens);
      const isSliced = slices > 1;
      const taken = `layout ${layout}, ${headsPerTask} heads a task, ${isSliced ? "in slices" : "in one slice"}`;
      if (found.has(taken)) continue;
      const judgeEvery = Math.max(1, Math.floor(tokens / JUDGED));
      found.set(taken, {
        ...{ ...shape, name: `${shape.name}, ${taken}`, tokens, judgeEvery },
        ...{ layout, headsPerTask, isSliced, isForThroughput },
      });
    }
  };
  const throughputOf = (shape: Shape) => {
    const found = sketchesOf(shape, true);
    return found.find(({ layout }) => layout === 1) ?? found.slice(-1);
  };
  return [
    ...sketchesOf(every, false),
    ...throughput.flatMap(throughputOf),
    ...sketchesOf(differing, false).slice(-1),
  ];
}

/** The heads of a token that the kernel works on. */
function takenHeads(entry: ManifestKernel, counts: Counts): number {
  const heads = headsOf(counts);
  return SIDES.reduce((sum, side) => sum + (entry.inputs.includes(`${side}.in`) ? heads[side] : 0), 0);
}

export const countsOf = ({ q, k, v = 1 }: Shape, numTokens: number) => ({
  ...{ numTokens, numQHeads: q, numKHeads: k, numVHeads: v },
});

/** The batches of every kernel, and those for the branches of a GPU's dispatch. */
export function batchesFor(entry: ManifestKernel, branches: readonly Sketch[]): Batch[] {
  const { headDim } = entry.point;
  const rotaryDim = entry.pairing?.rotaryDim ?? 2;
  const plain = ropeTable({ base: 10_000, rotaryDim });
  const scaling = { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32_768 } as const;
  const yarn = ropeTable({ base: 1_000_000, rotaryDim, scaling });
  const packed = { q: 3, k: 2, v: 2 };
  const heads = takenHeads(entry, countsOf({ name: "", ...packed }, 0));
  const tokens = Math.ceil(REL_ERROR_MIN_ELEMENTS / (heads * headDim));
  const pooled = { name: "packed", tokens, ...packed };
  return [pooled, ...SKETCHES, ...branches].map((sketch: Sketch) => {
    const { name, tokens, eps = 1e-6, weightForEachHead = false, judgeEvery = 1 } = sketch;
    const counts = countsOf(sketch, tokens);
    const axisStride = tokens + (sketch.memory === "rows with gaps" ? 3 : 0);
    const cosSin = {
      rows: sketch.hasInt64Positions === true ? ROWS : Math.max(1, tokens),
      rowStride: rotaryDim + (sketch.memory === "rows with gaps" ? 8 : 0),
      isByToken: entry.optionalInputs.includes("positions") && sketch.hasInt64Positions !== true,
    };
    const all = entry.positionAxes * axisStride;
    const free = sketch.hasInt64Positions ? int64Positions(all) : cyclingPositions(all);
    const positions = entry.inputs.includes("cos_sin") ? withinRows(free, cosSin.rows) : free;
    const rope = sketch.hasYarn ? yarn : plain;
    const regions = regionsFor(headDim, counts, sketch.memory, needsOutput(entry));
    const { isCacheOnly = false, isWithoutScales = false } = sketch;
    return {
      ...{ paging: pagingOf(entry, counts, sketch.paging), isCacheOnly, isWithoutScales },
      ...{ name, ...counts, ...regions, positions, axisStride, cosSin },
      ...{ rope, eps, weightForEachHead, judgeEvery },
    };
  });
}

function regionsFor(
  headDim: number,
  counts: Counts,
  memory: Sketch["memory"],
  isCopy: boolean,
): Pick<Batch, "source" | "target"> {
  if (memory === "out of place")
    return { source: rowsOf(headDim, counts), target: headsFirst(headDim, counts) };
  const gap = memory === "rows with gaps" ? 8 : 0;
  const source = rowsOf(headDim, counts, { gap, guard: GUARD });
  return isCopy ? { source, target: source } : { source };
}

/** Rows of cosines and sines, if they are by position. */
const ROWS = 89;

export function withinRows(positions: Int32Array | BigInt64Array, rows: number): Int32Array | BigInt64Array {
  const within = (position: number) => ((position % rows) + rows) % rows;
  return positions instanceof Int32Array
    ? positions.map(within)
    : positions.map((position) => BigInt(within(Number(position))));
}

function cyclingPositions(tokens: number): Int32Array {
  return Int32Array.from(
    { length: tokens },
    (_, i) => VERIFY_POSITIONS[i % VERIFY_POSITIONS.length] ?? Number.NaN,
  );
}

/** Int64 positions, some of them beyond int32. */
function int64Positions(tokens: number): BigInt64Array {
  return BigInt64Array.from(cyclingPositions(tokens), (position, i) =>
    i % 4 === 3 ? BigInt(position) * 1009n : BigInt(position),
  );
}
