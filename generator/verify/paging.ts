/**
 * Made-up paged KV caches: where they lie, and the slots of tokens.
 *
 * In: a kernel and counts. Out: layouts and slots. Pages are in random order, the strides of k and v differ, and some tokens have no
 * slot. Pure.
 */
import type { ManifestKernel } from "../../dsl/manifest.js";
import { type Counts, headsOf } from "./made_call.js";

/** The cache of a side in a buffer, in elements. */
export interface CachePlace {
  /** 0, or 1 for a buffer of its own. */
  readonly buffer: 0 | 1;
  /** The elements of that buffer. */
  readonly length: number;
  readonly offset: number;
  readonly blockStride: number;
  readonly slotStride: number;
  readonly headStride: number;
}

export interface Paging {
  readonly k: CachePlace;
  readonly v: CachePlace;
  readonly blockSize: number;
  /** `[numTokens]`; below 0 without a slot. */
  readonly slots: Int32Array | BigInt64Array;
}

/**
 * How heads of D elements lie in blocks. `NHD`: slots, then heads; of v the other way round. `packed`: both in one buffer, k and v of a
 * head side by side, as in vLLM. `pool`: no blocks, as in SGLang.
 */
export type CacheKind = "NHD" | "packed" | "pool";

/** What a batch may ask of its caches. */
export interface PagingOptions {
  readonly kind?: CacheKind | undefined;
  readonly blockSize?: number | undefined;
  /** Elements behind a head. */
  readonly gap?: number | undefined;
  readonly hasInt64Slots?: boolean | undefined;
  /** Every n-th token has no slot. Default: every fifth. */
  readonly skipEvery?: number | undefined;
}

/** Blocks that no token uses. */
const SPARE_BLOCKS = 2;

/** Caches for a kernel; undefined if it writes none. */
export function pagingOf(
  entry: ManifestKernel,
  counts: Counts,
  options: PagingOptions = {},
): Paging | undefined {
  if (!entry.inputs.includes("slots")) return undefined;
  const { gap = 0, hasInt64Slots = false, skipEvery = 5 } = options;
  const isOneDtype = entry.inputDtypes["k.cache"] === entry.inputDtypes["v.cache"];
  const kind = options.kind === "packed" && !isOneDtype ? "NHD" : (options.kind ?? "NHD");
  const { headDim } = entry.point;
  const { k, v } = headsOf(counts);
  const { numTokens } = counts;
  const blockSize = kind === "pool" ? 1 : (options.blockSize ?? 4);
  const blocks = Math.ceil(numTokens / blockSize) + SPARE_BLOCKS;
  const slots = slotsOf(numTokens, blocks * blockSize, skipEvery);
  const place = (
    buffer: 0 | 1,
    heads: number,
    isHeadsFirst: boolean,
    width: number,
    offset = 0,
  ): CachePlace => {
    const [slotStride, headStride] = isHeadsFirst ? [width, blockSize * width] : [heads * width, width];
    const blockStride = blockSize * heads * width + gap;
    return { buffer, offset, blockStride, slotStride, headStride, length: blocks * blockStride };
  };
  const width = headDim + gap;
  const places =
    kind === "packed"
      ? {
          k: place(0, Math.max(1, k, v), true, 2 * width),
          v: place(0, Math.max(1, k, v), true, 2 * width, width),
        }
      : { k: place(0, Math.max(1, k), false, width), v: place(1, Math.max(1, v), kind === "NHD", width) };
  return { ...places, blockSize, slots: hasInt64Slots ? BigInt64Array.from(slots, BigInt) : slots };
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Different slots in no order: multiples of a number that shares no factor with their count. */
function slotsOf(numTokens: number, count: number, skipEvery: number): Int32Array {
  let step = Math.floor(count * 0.618) | 1;
  while (gcd(step, count) !== 1) step += 1;
  const slots = new Int32Array(numTokens);
  let slot = 1 % count;
  for (let token = 0; token < numTokens; token++) {
    slots[token] = token % skipEvery === skipEvery - 1 ? -1 - (token % 3) : slot;
    slot = (slot + step) % count;
  }
  return slots;
}
