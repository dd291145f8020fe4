/**
 * Config point → kernel plan: everything that decides the bits of a result.
 *
 * In: the op and a point. Out: vector width, how a head lies over the lanes, block size, resolved stages. Pure. The grid and
 * the heads of a task depend on the call and the device: one formula in the emitted dispatch decides them.
 */
import {
  bodiesOf,
  bodyText,
  callsOf,
  copiedSides,
  expressionOf,
  inputsOf,
  kernelInputs,
  type Pairing,
  pairingOf,
  positionAxesOf,
  type StageCall,
  stageNamed,
  stagesAt,
  valuesOf,
} from "../../dsl/sides.js";
import { internalError } from "../diagnostics.js";
import type { ConfigPoint, KernelPlan, Layout, Op, PlannedStage, ThroughputLayout } from "../ir.js";
import { kernelId } from "../kernel_id.js";

const WARP_LANES = 32;

/**
 * Vectors of 4 sixteen-bit elements beat vectors of 8 at nearly every size (H100, November 2026): fewer registers
 * in use and more loads in flight.
 */
const VECTOR_ELEMENTS_MAX = 4;

/** Four warps: small enough that a block's last warps do not hold up the next block (H100, November 2026). */
const BLOCK_THREADS = 128;

/**
 * The blocks of a multiprocessor that ptxas is asked for, by the pairs of a lane. By itself it spills a few bytes rather than
 * use more registers, or uses so many that too few warps run.
 */
const MIN_BLOCKS = [
  { from: 16, blocks: 4 },
  { from: 12, blocks: 5 },
];
const FEWEST_PAIRS = 12;
/**
 * The same of kernels with code for each side, where ptxas takes more registers than it needs. Without it a batch of 8 MB and more
 * takes 1 % longer (H200, November 2026); one block more for e4m3 costs 2 to 15 %, as it spills.
 */
const MIN_BLOCKS_BY_SIDE = 10;
const MIN_BLOCKS_BY_SIDE_E4M3 = 9;
/** A bias, weights of float32 and roundings take as many registers as these pairs more. */
const PAIRS_OF_MORE_INPUTS = 4;

/** The loads from which staging pays: see below. */
const STAGED_LOAD = 4;
const STAGED_LOAD_BY_SIDE = 1.4;

/** Fragments of a lane in the throughput layout, and its minimum of lanes for a head: more heads would not fill a warp. */
const THROUGHPUT_FRAGMENTS = 3;
const THROUGHPUT_LANES_MIN = 4;

/**
 * A fragment is two vectors of V elements. Elements rotate within a fragment, so one lane holds both members of a pair. With
 * r = rotary_dim and D = head_dim, fragment j holds
 *   - NeoX, rotated (j < r/2V):  [V·j, V·j + V) and the same shifted by r/2, from the first rotated element on;
 *   - NeoX, passed through:      the two halves of the rest;
 *   - interleaved:               [V·j, …) and the same shifted by D/2, each with V/2 whole pairs;
 *   - nothing rotates:           [V·j, …) and the same shifted by D/2.
 */
export function plan(op: Op, point: ConfigPoint): KernelPlan {
  const id = kernelId(op, point);
  const { headDim } = point;
  const stages = stagesAt(op.stages, point);
  const pairing = pairingOf(stages, point);
  const rotaryPairs = (pairing?.rotaryDim ?? 0) / 2;
  const vectorElements =
    pairing?.rope === "neox" ? greatestCommonDivisor(rotaryPairs, VECTOR_ELEMENTS_MAX) : VECTOR_ELEMENTS_MAX;
  const fragments = headDim / (2 * vectorElements);
  if (!Number.isInteger(fragments))
    throw internalError("plan", `${headDim} elements make no whole fragments`, id);
  const bodies = bodiesOf(stages);
  const lanesPerHead = Math.min(WARP_LANES, powerOfTwoAtLeast(fragments));
  const inputs = kernelInputs(stages, point);
  const hasMore = callsOf(stages).some((call) => readsMore(call, point));
  const isBySide = inputs.inputs.includes("slots") && bodies.every(({ sides }) => sides.length === 1);
  const hasE4m3 = Object.values(inputs.inputDtypes).includes("e4m3");
  const fewestBlocks = isBySide ? (hasE4m3 ? MIN_BLOCKS_BY_SIDE_E4M3 : MIN_BLOCKS_BY_SIDE) : undefined;
  const morePairs = hasMore ? PAIRS_OF_MORE_INPUTS : 0;
  const head = { fragments, vectorElements, morePairs, fewestBlocks, isBySide };
  const throughput = throughputLayout(head, lanesPerHead);
  return {
    id,
    op: op.name,
    point,
    bodies: bodies.map((body) => ({
      sides: body.sides,
      text: bodyText(body),
      expression: expressionOf(body.calls),
      stages: body.calls.map((call) => planStage(call, point)),
    })),
    sides: bodies.flatMap(({ sides }) => sides),
    ...inputs,
    copiedSides: copiedSides(stages),
    positionAxes: positionAxesOf(stages, point),
    ...(pairing === undefined ? {} : { pairing }),
    vectorElements,
    fragments,
    ...layoutOf(head, lanesPerHead),
    blockThreads: BLOCK_THREADS,
    isBySide,
    throughput,
    throughputHeadsPerWarp: throughput.headsPerWarp,
    rotaryPairs,
    pairsAtOnce: pairsAtOnce(pairing, vectorElements),
  };
}

/** Whether a stage keeps more in registers than weights of the kernel's dtype. */
function readsMore(call: StageCall, point: ConfigPoint): boolean {
  const { bias, weightDtype, normRounding } = valuesOf(call, point);
  return bias === "add" || weightDtype === "f32" || (normRounding !== undefined && normRounding !== "once");
}

/** The fragments of a head, and what a lane keeps besides its own, in pairs. */
interface Fragments {
  readonly fragments: number;
  readonly vectorElements: number;
  readonly morePairs: number;
  /** The minimum of blocks of a lane with few pairs, if ptxas must be told. */
  readonly fewestBlocks: number | undefined;
  readonly isBySide: boolean;
}

function layoutOf(
  { fragments, vectorElements, morePairs, fewestBlocks }: Fragments,
  lanesPerHead: number,
): Layout {
  const fragmentsPerLane = Math.ceil(fragments / lanesPerHead);
  const pairs = fragmentsPerLane * vectorElements;
  return {
    lanesPerHead,
    fragmentsPerLane,
    headsPerWarp: WARP_LANES / lanesPerHead,
    minBlocks:
      pairs < FEWEST_PAIRS
        ? pairs <= VECTOR_ELEMENTS_MAX
          ? fewestBlocks
          : undefined
        : MIN_BLOCKS.find(({ from }) => pairs + morePairs >= from)?.blocks,
  };
}

/**
 * With one fragment a lane, 10 or 12 fragments leave 6 or 4 of 16 lanes idle, and too few loads are in flight. With three
 * fragments a lane, 4 lanes hold up to 12. H100, November 2026, head_dim 96: 16384 tokens take 1.14 times the floor with one
 * fragment a lane and 1.03 with three. 64 tokens take 1.19 and 1.31, so few tokens keep one.
 *
 * The other head dims have their heads staged: a warp asks for all heads of its task before it uses the first. H200, November
 * 2026, head_dim 128: 16384 tokens take 1.10 times the floor without and 1.03 with it. Staging costs up to 12 % below a load
 * of 4, where the L2 cache holds the batch. With code for each side it pays from 1.4 on: there 2048 tokens of 8/1/1 heads with a cache
 * take 1.14 times the floor, and 1.32 without.
 */
function throughputLayout(head: Fragments, lanesPerHead: number): ThroughputLayout {
  const { fragments, vectorElements, isBySide } = head;
  const lanes = powerOfTwoAtLeast(fragments) / 4;
  const hasIdleLanes =
    lanes >= THROUGHPUT_LANES_MIN && lanes < lanesPerHead && lanes * THROUGHPUT_FRAGMENTS >= fragments;
  if (hasIdleLanes) return { ...layoutOf(head, lanes), isStaged: false, minLoad: 1 };
  // A fragment is staged as 16 bytes.
  const isStaged = vectorElements === VECTOR_ELEMENTS_MAX;
  const minLoad = !isStaged ? 1 : isBySide ? STAGED_LOAD_BY_SIDE : STAGED_LOAD;
  return { ...layoutOf(head, lanesPerHead), isStaged, minLoad };
}

/** The first elements of a fragment's two vectors: see above. */
export function vectorsOf(
  fragment: number,
  vectorElements: number,
  headDim: number,
  pairing: Pairing | undefined,
): readonly [number, number] {
  const at = vectorElements * fragment;
  if (pairing === undefined || pairing.rope !== "neox") return [at, at + headDim / 2];
  const { rotaryDim, start } = pairing;
  if (at < rotaryDim / 2) return [start + at, start + at + rotaryDim / 2];
  const rest = at - rotaryDim / 2 + (start > 0 ? 0 : rotaryDim);
  return [rest, rest + (headDim - rotaryDim) / 2];
}

/** Neighbouring pairs of a fragment that have neighbouring angles and rotate together or not at all. */
function pairsAtOnce(pairing: Pairing | undefined, vectorElements: number): 1 | 2 | 4 {
  if (pairing === undefined) return 1;
  if (pairing.rope === "neox") return vectorElements as 1 | 2 | 4;
  return pairing.rotaryDim % 4 === 0 && pairing.start % 4 === 0 ? 2 : 1;
}

function planStage(call: StageCall, point: ConfigPoint): PlannedStage {
  const { name, axes, inputs, measures, roundsAsModel, isSink = false, parts } = stageNamed(call.name);
  const read = inputsOf(call, point);
  const values = valuesOf(call, point);
  return {
    name,
    values: Object.fromEntries(Object.keys(axes).map((axis) => [axis, values[axis] ?? ""])),
    reads: Object.fromEntries(inputs.map((input) => [input.name, read.includes(input.name)])),
    parts: parts?.(values as never) ?? {},
    measures: measures?.(values as never) ?? 0,
    roundsAsModel: roundsAsModel?.(values as never) ?? false,
    isSink,
  };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function powerOfTwoAtLeast(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}
