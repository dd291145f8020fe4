/**
 * Caches, and outputs of another dtype, of a benchmark: their memory, and the floor of what is stored there.
 *
 * In: an open library, a kernel, heads and tokens. Out: what a call is given besides its heads, and the parts of a floor that moves the
 * same bytes. Slots are as servers have them: few tokens decode, each in a page of its own; many are one prefill, page after page.
 */
import { SIDES, type Side } from "../../dsl/inputs.js";
import type { ManifestKernel } from "../../dsl/manifest.js";
import { bytesOf, type Dtype } from "../../runtime/dtype.js";
import type { HeadsLayout } from "../../runtime/heads.js";
import type { DeviceBuffer, Library } from "../../runtime/index.js";
import { kernelSides, outputDtype } from "../verify/made_call.js";
import type { CachePlace, Paging } from "../verify/paging.js";
import type { HeadCounts } from "./cases.js";
import { type FloorPart, partsBytes, type StoreRows } from "./yardstick.js";

export const PAGE_SLOTS = 16;
/** Up to so many tokens decode. */
const DECODE_TOKENS_MAX = 256;
const VECTOR_BYTES = 16;

/** The pages that a batch uses. */
export const pagesOf = (tokens: number): number =>
  tokens <= DECODE_TOKENS_MAX ? tokens : Math.ceil(tokens / PAGE_SLOTS);

/** Whether a kernel stores more than heads in place. */
export const storesElsewhere = (entry: ManifestKernel): boolean =>
  entry.inputs.includes("slots") || outputDtype(entry) !== entry.point.dtype;

export interface Stores extends Disposable {
  readonly paging: Paging | undefined;
  /** The buffers of inputs, by path. */
  readonly buffers: ReadonlyMap<string, DeviceBuffer>;
  /** Where a batch's outputs go; undefined: in place. */
  readonly out: (copy: number) => { readonly [S in Side]?: HeadsLayout } | undefined;
  /** The first slot of a batch. */
  readonly firstSlot: (copy: number) => number;
  /** The floor of a batch. */
  readonly floor: (copy: number) => StoreRows;
  /** Bytes that are stored for a token. */
  readonly storedBytes: number;
}

/** Memory for `copies` batches, whose rows are q, k and v heads side by side. */
export function storesOf(
  library: Library,
  entry: ManifestKernel,
  heads: HeadCounts,
  { tokens, copies }: { readonly tokens: number; readonly copies: number },
): Stores {
  const { headDim, dtype } = entry.point;
  const owned: DeviceBuffer[] = [];
  const own = <B extends DeviceBuffer>(buffer: B): B => {
    owned.push(buffer);
    return buffer;
  };
  const hasCache = entry.inputs.includes("slots");
  const pages = copies * pagesOf(tokens);
  const slots = slotsOf(tokens, copies, pages);
  const slotBuffer = own(library.upload("int32", slots));
  const buffers = new Map<string, DeviceBuffer>([["slots", slotBuffer]]);
  const elements = (side: Side, count: number) => Math.max(1, count * heads[side] * headDim);
  const cached = (side: "k" | "v"): CachePlace => {
    const length = elements(side, pages * PAGE_SLOTS);
    const path = `${side}.cache`;
    if (entry.inputs.includes(path)) buffers.set(path, own(library.allocate(dtypeOf(entry, path), length)));
    const slotStride = heads[side] * headDim;
    const strides = { headStride: headDim, slotStride, blockStride: PAGE_SLOTS * slotStride };
    return { buffer: 0, offset: 0, length, ...strides };
  };
  const paging = hasCache ? { k: cached("k"), v: cached("v"), blockSize: PAGE_SLOTS, slots } : undefined;
  const type = outputDtype(entry);
  const isElsewhere = type !== dtype;
  const outputs = new Map<Side, DeviceBuffer>();
  for (const side of kernelSides(entry)) {
    if (isElsewhere && !hasCacheOf(entry, side) && entry.inputs.includes(`${side}.out`))
      outputs.set(side, own(library.allocate(type, elements(side, copies * tokens))));
  }
  const parts = (copy: number): readonly FloorPart[] =>
    SIDES.map((side) => {
      const before = SIDES.slice(0, SIDES.indexOf(side)).reduce((sum, other) => sum + heads[other], 0);
      const isMoved = kernelSides(entry).includes(side);
      const rowBytes = heads[side] * headDim * bytesOf(dtype);
      const cache = buffers.get(`${side}.cache`);
      const output = outputs.get(side);
      const stored =
        cache === undefined ? (output === undefined ? dtype : type) : dtypeOf(entry, `${side}.cache`);
      const toStride = heads[side] * headDim * bytesOf(stored);
      const from = output === undefined ? 0 : copy * tokens * toStride;
      return {
        first: (before * headDim * bytesOf(dtype)) / VECTOR_BYTES,
        vectors: isMoved ? rowBytes / VECTOR_BYTES : 0,
        to: (cache ?? output) && ((cache ?? output)?.address ?? 0n) + BigInt(from),
        ...{ toStride, isBySlot: cache !== undefined },
        storedBytes: bytesOf(stored) === bytesOf(dtype) ? 16 : 8,
      };
    });
  const rowBytes = (heads.q + heads.k + heads.v) * headDim * bytesOf(dtype);
  return {
    ...{ paging, buffers },
    out: (copy) =>
      outputs.size === 0
        ? undefined
        : Object.fromEntries(
            [...outputs].map(([side, buffer]) => {
              const tokenStride = heads[side] * headDim;
              return [side, { buffer, offset: copy * tokens * tokenStride, tokenStride }];
            }),
          ),
    firstSlot: (copy) => copy * tokens,
    floor: (copy) => ({
      ...{
        rowStride: rowBytes / VECTOR_BYTES,
        rows: tokens,
        parts: partsBytes(parts(copy)),
        blockSize: PAGE_SLOTS,
      },
      slots: slotBuffer.address + BigInt(4 * copy * tokens),
    }),
    storedBytes: parts(0).reduce((sum, { vectors, storedBytes }) => sum + vectors * storedBytes, 0),
    [Symbol.dispose]: () => {
      for (const buffer of owned) buffer.free();
    },
  };
}

const hasCacheOf = (entry: ManifestKernel, side: Side) => entry.inputs.includes(`${side}.cache`);

const dtypeOf = ({ point, inputDtypes }: ManifestKernel, path: string): Dtype =>
  inputDtypes[path] === "e4m3" ? "e4m3" : point.dtype;

/** Slots of all batches. Pages are in no order: multiples of a number that shares no factor with their count. */
function slotsOf(tokens: number, copies: number, pages: number): Int32Array {
  let step = Math.floor(pages * 0.618) | 1;
  while (gcd(step, pages) !== 1) step += 1;
  const isDecode = tokens <= DECODE_TOKENS_MAX;
  return Int32Array.from({ length: copies * tokens }, (_, i) => {
    const [copy, token] = [Math.floor(i / tokens), i % tokens];
    const inBatch = isDecode ? token : Math.floor(token / PAGE_SLOTS);
    const page = ((copy * pagesOf(tokens) + inBatch) * step) % pages;
    return page * PAGE_SLOTS + ((isDecode ? 7 * token : token) % PAGE_SLOTS);
  });
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
