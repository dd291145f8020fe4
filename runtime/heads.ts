/**
 * How a caller describes the heads of a side in a batch of tokens.
 *
 * In: buffers, counts and strides in elements. Out: named descriptions; no layout costs a copy. `call` checks whether they
 * fit each other and the kernel.
 */
import type { HeadTensor } from "../dsl/inputs.js";
import { invalidArgument, requireObject } from "./errors.js";
import type { DeviceBuffer } from "./memory.js";

/** Heads in a buffer: element e of head h of token t is at `offset + t * tokenStride + h * headStride + e`. */
export interface HeadsLayout {
  /** Of the kernel's dtype. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. A multiple of the kernel's vector, which is at most 4 elements; so are the strides. */
  readonly offset?: number | undefined;
  /** In elements. */
  readonly tokenStride: number;
  /** In elements; default headDim. */
  readonly headStride?: number | undefined;
}

/** Weights in a buffer: `[headDim]`, or `[numHeads, headDim]` with a stride. */
export interface WeightLayout {
  /** Of the kernel's dtype, or of float32 if the kernel takes it so. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. */
  readonly offset?: number | undefined;
  /** In elements; default 0: one weight for all heads. */
  readonly headStride?: number | undefined;
}

/** A paged KV cache in a buffer: element e of head h at slot s of block b is at `offset + b * blockStride + s * slotStride + h * headStride + e`. */
export interface CacheLayout {
  /** Of the kernel's dtype, or of e4m3 if the kernel stores it so. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. A multiple of the kernel's vector, which is at most 4 elements; so are the strides. */
  readonly offset?: number | undefined;
  /** The blocks of the cache; default: as many as the buffer has room for. Give it where something else lies behind. */
  readonly blocks?: number | undefined;
  /** In elements; default blockSize * numHeads * headDim. */
  readonly blockStride?: number | undefined;
  /** In elements; default numHeads * headDim. */
  readonly slotStride?: number | undefined;
  /** In elements; default headDim. */
  readonly headStride?: number | undefined;
}

/** The slots of tokens in a buffer. */
export interface SlotsLayout {
  /** Of int32 or int64. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. */
  readonly offset?: number | undefined;
  /** The slots of a block, from 1; 1 for a cache without blocks. */
  readonly blockSize: number;
}

/** Positions of several axes in a buffer. */
export interface PositionsLayout {
  /** Of int32 or int64. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. */
  readonly offset?: number | undefined;
  /** Between the positions of two axes, in elements; default numTokens. */
  readonly axisStride?: number | undefined;
}

/** Rows of cosines and sines in a buffer. */
export interface CosSinLayout {
  /** Of the kernel's dtype, or of float32. */
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. */
  readonly offset?: number | undefined;
  /** In elements; default rotaryDim. */
  readonly rowStride?: number | undefined;
}

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** Scales of e4m3, and tensors for your own stages, named as in the table of inputs. */
type OtherTensors = {
  readonly [Name in CamelCase<Exclude<HeadTensor, "in" | "out" | "weight" | "bias" | "cache">>]?:
    | DeviceBuffer
    | WeightLayout
    | undefined;
};

/** All the heads of a side: the fields of C's `normrope_heads`, by the same names. */
export interface Heads extends OtherTensors {
  /** The input of the kernel's stages. */
  readonly in: HeadsLayout;
  /**
   * The result; default: in place. Elsewhere, a head that is written must not overlap any head that is read or written. Null for k or
   * v of a kernel with a cache: nothing else is written.
   */
  readonly out?: HeadsLayout | null | undefined;
  /** The number of heads. With 0, none is read or written. */
  readonly numHeads: number;
  /** One weight for all heads, or a layout with one for each. Omit it if the kernel takes none. */
  readonly weight?: DeviceBuffer | WeightLayout | undefined;
  /** As the weight, which it follows. Kernels that add one take it. */
  readonly bias?: DeviceBuffer | WeightLayout | undefined;
  /** The KV cache of k or v. Kernels that write one take it. */
  readonly cache?: DeviceBuffer | CacheLayout | undefined;
  /** Elements of a head. If given, it must be the kernel's. */
  readonly headDim?: number | undefined;
}

/** Describes the q and k heads of packed rows `[q heads | k heads | v heads]`, in place. */
export function packedHeads(packed: {
  readonly qkv: DeviceBuffer;
  readonly headDim: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  readonly numVHeads: number;
  /** Omit both if the kernel takes none. */
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
