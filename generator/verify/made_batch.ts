/**
 * A batch for a kernel: where its heads lie, and made-up tensors of all that the kernel reads besides.
 *
 * In: a kernel, counts of tokens and heads, random numbers. Out: regions of memory, and tensors. Pure.
 */
import type { Side } from "../../dsl/inputs.js";
import type { ManifestKernel } from "../../dsl/manifest.js";
import { CALL_TENSORS, type Tensor, typesOf } from "../../runtime/call_inputs.js";
import { encode } from "../../runtime/dtype.js";
import type { ElementType, HostData } from "../../runtime/memory.js";
import type { RopeTable } from "../../runtime/rope_table.js";
import { type Counts, headsOf, kernelSides, madeLength, readTensors } from "./made_call.js";
import type { Paging } from "./paging.js";
import { randomFloats, randomWeights } from "./random.js";

/** Where heads lie in a buffer, in elements. */
export interface StridedHeads {
  readonly offset: number;
  readonly tokenStride: number;
  readonly headStride: number;
}

/** A buffer: its heads, and its length in elements. */
export interface Region extends Readonly<Record<Side, StridedHeads>> {
  readonly length: number;
}

/** The rows of `cos_sin`. */
export interface CosSinRows {
  readonly rows: number;
  readonly rowStride: number;
  readonly isByToken: boolean;
}

/** Those of a batch: a row for each token unless it says otherwise. */
export function cosSinOf(
  { cosSin, numTokens }: Batch,
  { pairing, optionalInputs }: ManifestKernel,
): CosSinRows {
  const isByToken = optionalInputs.includes("positions");
  return cosSin ?? { rows: Math.max(1, numTokens), rowStride: pairing?.rotaryDim ?? 0, isByToken };
}

/** One batch for a kernel. Inputs that the kernel does not take are not passed. */
export interface Batch extends Counts {
  readonly name: string;
  readonly source: Region;
  /** Another buffer for the result; default: in place. */
  readonly target?: Region;
  /** `[positionAxes, axisStride]`; the first `numTokens` of each axis count. */
  readonly positions: Int32Array | BigInt64Array;
  /** Default: the tokens. */
  readonly axisStride?: number;
  /** Rows of `cos_sin`, and elements from one to the next. Positions are below their number. Default: a row for each token. */
  readonly cosSin?: CosSinRows;
  readonly rope: RopeTable;
  readonly eps: number;
  /** Whether each head has its own weight, and its own of every input that heads can share. */
  readonly weightForEachHead?: boolean;
  /** Whether it is a dependent launch; default: no. */
  readonly isDependent?: boolean;
  /**
   * Heads of small integers whose sum and sum of squares are exact in any order; with `eighth turns` the two products of a pair
   * nearly cancel, so that one which is not rounded shows; with `quarter turns` sums are exact also behind a rotation, as
   * cosines and sines are 0, 1 or -1. Default: random numbers.
   */
  readonly exact?: "integers" | "eighth turns" | "quarter turns";
  /** The caches; needed if the kernel writes some. */
  readonly paging?: Paging | undefined;
  /** Whether outputs are left out where a cache is written. */
  readonly isCacheOnly?: boolean;
  /** Whether scales are left out. */
  readonly isWithoutScales?: boolean;
  /** The oracle judges every n-th token; default: all. Memory around the heads is always compared. */
  readonly judgeEvery?: number;
}

/** Rows of q, k and v heads, one for each token, with gaps behind heads and rows and guards around all of it. */
export function rowsOf(headDim: number, counts: Counts, { gap = 0, guard = 0 } = {}): Region {
  const { q, k, v } = headsOf(counts);
  const headStride = headDim + gap;
  const tokenStride = (q + k + v) * headStride + 3 * gap;
  const from = (head: number) => ({ offset: guard + head * headStride, tokenStride, headStride });
  return { q: from(0), k: from(q), v: from(q + k), length: guard + counts.numTokens * tokenStride + guard };
}

/** Heads one after the other, each with all its tokens, with gaps between tokens. */
export function headsFirst(headDim: number, counts: Counts): Region {
  const gap = 8;
  const { q, k, v } = headsOf(counts);
  const tokenStride = headDim + gap;
  const headStride = counts.numTokens * tokenStride;
  const from = (head: number) => ({ offset: head * headStride, tokenStride, headStride });
  return { q: from(0), k: from(q), v: from(q + k), length: Math.max(0, (q + k + v) * headStride - gap) };
}

/** Makes up every tensor that the kernel reads besides heads and angles. */
export function* madeTensors(
  entry: ManifestKernel,
  batch: Batch,
  random: () => number,
): Generator<readonly [Tensor, ElementType, HostData[ElementType]]> {
  const { headDim, dtype } = entry.point;
  const { positions, numTokens, weightForEachHead = false } = batch;
  const cosSin = cosSinOf(batch, entry);
  const pairs = (entry.pairing?.rotaryDim ?? 0) / 2;
  const made = (tensor: Tensor, length: number): readonly [Tensor, ElementType, HostData[ElementType]] => {
    if (tensor.path === "cos_sin" && (batch.exact === "quarter turns" || batch.exact === "eighth turns"))
      return exactTurns(tensor, length, entry, cosSin.rowStride, batch.exact, random);
    const isSigned = ["cos_sin", "bias"].includes(tensor.path.replace(/^.\./, ""));
    if (tensor.dtype === "index") {
      const indices = tensor.path === "slots" ? (batch.paging?.slots ?? positions) : positions;
      return [tensor, indices instanceof Int32Array ? "int32" : "int64", indices];
    }
    const [type] = typesOf(entry, tensor);
    if (type === "float32") return [tensor, type, randomFloats(length, random, isSigned)];
    if (type === "uint8")
      return [tensor, type, Uint8Array.from({ length }, () => random() * entry.positionAxes)];
    return [tensor, type, randomWeights(dtype, length, random, isSigned)];
  };
  for (const side of kernelSides(entry)) {
    for (const tensor of readTensors(entry, side)) {
      yield made(tensor, madeLength(tensor, headDim, headsOf(batch)[side], weightForEachHead).of);
    }
  }
  for (const tensor of CALL_TENSORS) {
    if (!entry.inputs.includes(tensor.path) || tensor.path === "rope_table") continue;
    const lengths = new Map([
      ["pair_axes", pairs],
      ["cos_sin", (cosSin.rows - 1) * cosSin.rowStride + 2 * pairs],
    ]);
    yield made(tensor, lengths.get(tensor.path) ?? numTokens);
  }
}

/** Rows of cosines, then sines: of quarter turns, or about an eighth of one, where both are nearly equal. */
function exactTurns(
  tensor: Tensor,
  length: number,
  { point, pairing, inputDtypes }: ManifestKernel,
  rowStride: number,
  turn: "eighth turns" | "quarter turns",
  random: () => number,
): readonly [Tensor, ElementType, HostData[ElementType]] {
  const pairs = (pairing?.rotaryDim ?? 0) / 2;
  const numbers = new Float32Array(length);
  for (let row = 0; row + 2 * pairs <= length; row += rowStride) {
    for (let pair = 0; pair < pairs; pair++) {
      const turns = Math.floor(4 * random());
      const cosine = 0.6 + random() / 8;
      const isQuarter = turn === "quarter turns";
      numbers[row + pair] = isQuarter ? ([1, 0, -1, 0][turns] ?? 0) : cosine;
      numbers[row + pairs + pair] = isQuarter ? ([0, 1, 0, -1][turns] ?? 0) : cosine * (1 + turns * 2 ** -23);
    }
  }
  if (inputDtypes[tensor.path] === "f32") return [tensor, "float32", numbers];
  return [tensor, point.dtype, Uint16Array.from(numbers, (number) => encode(point.dtype, number))];
}
