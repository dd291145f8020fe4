/**
 * How a caller describes heads: all of q, or all of k, of a batch of tokens.
 *
 * In: buffers, counts and strides in elements. Out: the same, with names; no layout costs a copy. Whether they fit each
 * other and the kernel is for `call` to check.
 */
import { invalidArgument, reading, requireFields, requireObject } from "./errors.js";
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

/** All the query heads, or all the key heads. */
export interface Heads extends HeadsLayout {
  /** Elements of a head: given, it must be the kernel's. */
  readonly headDim?: number | undefined;
  /** How many; with 0 nothing of them is read or written. */
  readonly numHeads: number;
  /** `[headDim]`, or one for each head with `weightHeadStride`; the kernel's dtype. */
  readonly weight: DeviceBuffer;
  /** In elements; default 0: one weight for all heads. */
  readonly weightHeadStride?: number | undefined;
  /**
   * Where the result goes; default: in place. Otherwise no head that is written may overlap another that is read or
   * written, of q or of k: that is refused.
   */
  readonly out?: HeadsLayout | undefined;
}

/** The q and k heads of packed rows `[q heads | k heads | v heads]`, in place. */
export function packedHeads(packed: {
  readonly qkv: DeviceBuffer;
  readonly headDim: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  readonly numVHeads: number;
  readonly qWeight: DeviceBuffer;
  readonly kWeight: DeviceBuffer;
}): { q: Heads; k: Heads } {
  requireObject("packed", packed);
  return reading("packed", () => headsOf(packed));
}

function headsOf(packed: Parameters<typeof packedHeads>[0]): { q: Heads; k: Heads } {
  const { qkv, headDim, numQHeads, numKHeads, numVHeads, qWeight, kWeight } = packed;
  for (const [name, count] of Object.entries({ headDim, numQHeads, numKHeads, numVHeads }))
    requireCount(name, count);
  const tokenStride = (numQHeads + numKHeads + numVHeads) * headDim;
  return {
    q: { headDim, buffer: qkv, tokenStride, numHeads: numQHeads, weight: qWeight },
    k: {
      headDim,
      buffer: qkv,
      offset: numQHeads * headDim,
      tokenStride,
      numHeads: numKHeads,
      weight: kWeight,
    },
  };
}

const HEADS_FIELDS: readonly (keyof Heads)[] = [
  ...(["buffer", "offset", "tokenStride", "headStride"] as const),
  ...(["numHeads", "headDim", "weight", "weightHeadStride", "out"] as const),
];

/** @throws NormropeError `invalid-argument` for what is no description of heads. */
export function requireHeads(field: string, heads: object): void {
  requireObject(field, heads);
  requireFields(field, heads, HEADS_FIELDS);
}

/** @throws NormropeError `invalid-argument`. */
export function requireCount(field: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) {
    throw invalidArgument(field, value, "a whole number from 0 to 2147483647");
  }
}
