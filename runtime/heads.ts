/**
 * How a caller describes heads: all those of a side, of a batch of tokens.
 *
 * In: buffers, counts and strides in elements. Out: the same, with names; no layout costs a copy. Whether they fit each
 * other and the kernel is for `call` to check.
 */
import type { HeadTensor } from "../dsl/inputs.js";
import { invalidArgument, requireObject } from "./errors.js";
import type { DeviceBuffer } from "./memory.js";

/** Heads in a buffer: element e of head h of token t is at `offset + t * tokenStride + h * headStride + e`. */
export interface HeadsLayout {
  /** Of the kernel's dtype. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. A multiple of the kernel's vector, as the strides are: at most 4 elements. */
  readonly offset?: number | undefined;
  /** In elements. */
  readonly tokenStride: number;
  /** In elements; default headDim. */
  readonly headStride?: number | undefined;
}

/** Weights in a buffer: `[headDim]`, or `[numHeads, headDim]` with a stride. */
export interface WeightLayout {
  /** Of the kernel's dtype. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. */
  readonly offset?: number | undefined;
  /** In elements; default 0: one weight for all heads. */
  readonly headStride?: number | undefined;
}

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** The tensors that a stage of one's own may read, each by the name that the table of inputs has for it. */
type OtherTensors = {
  readonly [Name in CamelCase<Exclude<HeadTensor, "in" | "out" | "weight">>]?:
    | DeviceBuffer
    | WeightLayout
    | undefined;
};

/** All the heads of a side: what `normrope_heads` of the C interface is given, by the same names. */
export interface Heads extends OtherTensors {
  /** What the kernel's stages are applied to. */
  readonly in: HeadsLayout;
  /**
   * Where the result goes; default: in place. Otherwise no head that is written may overlap another that is read or
   * written, of any side: that is refused.
   */
  readonly out?: HeadsLayout | undefined;
  /** How many; with 0 nothing of them is read or written. */
  readonly numHeads: number;
  /** One for all heads, or a layout with one for each. Left out where the kernel takes none. */
  readonly weight?: DeviceBuffer | WeightLayout | undefined;
  /** Elements of a head: given, it must be the kernel's. */
  readonly headDim?: number | undefined;
}

/** The q and k heads of packed rows `[q heads | k heads | v heads]`, in place; v heads lie behind them. */
export function packedHeads(packed: {
  readonly qkv: DeviceBuffer;
  readonly headDim: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  readonly numVHeads: number;
  /** Left out where the kernel takes none. */
  readonly qWeight?: DeviceBuffer | undefined;
  readonly kWeight?: DeviceBuffer | undefined;
}): { q: Heads; k: Heads } {
  requireObject("packed", packed);
  const { qkv, headDim, numQHeads, numKHeads, numVHeads, qWeight, kWeight } = packed;
  for (const [name, count] of Object.entries({ headDim, numQHeads, numKHeads, numVHeads }))
    requireCount(name, count);
  const tokenStride = (numQHeads + numKHeads + numVHeads) * headDim;
  const part = (offset: number) => ({ buffer: qkv, offset, tokenStride });
  return {
    q: { headDim, in: part(0), numHeads: numQHeads, weight: qWeight },
    k: { headDim, in: part(numQHeads * headDim), numHeads: numKHeads, weight: kWeight },
  };
}

/** @throws NormropeError `invalid-argument`. */
function requireCount(field: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) {
    throw invalidArgument(field, value, "a whole number from 0 to 2147483647");
  }
}
