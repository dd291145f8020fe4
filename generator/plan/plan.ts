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
import type { ConfigPoint, KernelPlan, Layout, Op, PlannedStage } from "../ir.js";
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
 * takes 1 % longer (H200, November 2026); one block more for e4m3 costs 2 to 15 %, as it spills. Lanes without a fragment, and lanes
 * that are no power of two, take registers, too.
 */
const MIN_BLOCKS_BY_SIDE = 10;
const MIN_BLOCKS_BY_SIDE_E4M3 = 9;
/** A bias, weights of float32 and roundings take as many registers as these pairs more. */
const PAIRS_OF_MORE_INPUTS = 4;

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
  const widest =
    pairing?.rope === "neox" ? greatestCommonDivisor(rotaryPairs, VECTOR_ELEMENTS_MAX) : VECTOR_ELEMENTS_MAX;
  const { vectorElements, latencyLanes, throughputLanes } = geometry(headDim, widest);
  const fragments = headDim / (2 * vectorElements);
  if (!Number.isInteger(fragments))
    throw internalError("plan", `${headDim} elements make no whole fragments`, id);
  const bodies = bodiesOf(stages);
  const inputs = kernelInputs(stages, point);
  const hasMore = callsOf(stages).some((call) => readsMore(call, point));
  const isBySide = inputs.inputs.includes("slots") && bodies.every(({ sides }) => sides.length === 1);
  const hasE4m3 = Object.values(inputs.inputDtypes).includes("e4m3");
  const fewestBlocks = hasE4m3 ? MIN_BLOCKS_BY_SIDE_E4M3 : MIN_BLOCKS_BY_SIDE;
  const morePairs = hasMore ? PAIRS_OF_MORE_INPUTS : 0;
  const head = {
    fragments,
    vectorElements,
    morePairs,
    fewestBlocks: isBySide && !hasMore ? fewestBlocks : undefined,
  };
  const throughput = layoutOf(head, throughputLanes);
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
    ...layoutOf(head, latencyLanes),
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
}

function layoutOf(
  { fragments, vectorElements, morePairs, fewestBlocks }: Fragments,
  lanesPerHead: number,
): Layout {
  const fragmentsPerLane = Math.ceil(fragments / lanesPerHead);
  const headsPerWarp = headsAtOnce(lanesPerHead);
  const pairs = fragmentsPerLane * vectorElements;
  const isEven = lanesPerHead === fragments && headsPerWarp * lanesPerHead === WARP_LANES;
  const ofFewPairs =
    pairs > VECTOR_ELEMENTS_MAX ? undefined : fewestBlocks && fewestBlocks - (isEven ? 0 : 1);
  const ofManyPairs = MIN_BLOCKS.find(({ from }) => pairs + morePairs >= from)?.blocks;
  return {
    lanesPerHead,
    fragmentsPerLane,
    headsPerWarp,
    minBlocks: pairs < FEWEST_PAIRS ? ofFewPairs : ofManyPairs,
  };
}

/** Vectors, and lanes of a head. */
interface Geometry {
  readonly vectorElements: number;
  readonly latencyLanes: number;
  readonly throughputLanes: number;
}

/**
 * As many lanes work as can: an idle lane costs as much time as a busy one (H200, November 2026).
 *
 *   - Few tokens wait for one head. Its lanes are a power of two, so that a sum takes the fewest instructions.
 *   - Many tokens keep every lane busy. Where a warp has lanes for one head more, its heads have as many lanes as fragments: 10
 *     for head_dim 80, so 30 lanes of 32 work, not 20. 16384 tokens take 1.03 times the floor, and 1.17 with 16 lanes.
 *   - More fragments a lane, of smaller vectors, leave fewer lanes idle where a power of two is far: with three all 32 work for
 *     head_dim 96 and 192, not 24. 1024 tokens take 1.08 times the floor, and 1.26 with a fragment a lane.
 */
function geometry(headDim: number, widest: number): Geometry {
  const fragments = headDim / (2 * widest);
  const latencyLanes = Math.min(WARP_LANES, powerOfTwoAtLeast(fragments));
  const throughputLanes = headsAtOnce(fragments) > headsAtOnce(latencyLanes) ? fragments : latencyLanes;

  const smaller = Math.min(widest, VECTOR_ELEMENTS_MAX / 2);
  const more = headDim / (2 * smaller);
  const fewerLanes = Math.min(WARP_LANES, powerOfTwoAtLeast(more) / 4);
  return busyLanes(more, fewerLanes) > busyLanes(fragments, throughputLanes)
    ? { vectorElements: smaller, latencyLanes: fewerLanes, throughputLanes: fewerLanes }
    : { vectorElements: widest, latencyLanes, throughputLanes };
}

const headsAtOnce = (lanesPerHead: number) => Math.floor(WARP_LANES / lanesPerHead);

/** The lanes of a warp that have work in every fragment; a lane with fewer fragments counts for the part that it has. */
const busyLanes = (fragments: number, lanesPerHead: number) =>
  (headsAtOnce(lanesPerHead) * fragments) / Math.ceil(fragments / lanesPerHead);

/** The lanes of a warp that a layout leaves without work, rounded down. */
export const idleLanes = ({ lanesPerHead }: Layout, fragments: number): number =>
  Math.floor(WARP_LANES - busyLanes(fragments, lanesPerHead));

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
  return vectorElements === 4 && pairing.rotaryDim % 4 === 0 && pairing.start % 4 === 0 ? 2 : 1;
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
