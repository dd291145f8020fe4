/**
 * A call of any kernel, whatever its op takes.
 *
 * In: a kernel, how many heads lie in rows of a buffer, and positions. Out: the options of the call, in place. What else the
 * kernel reads is made up, and is freed with the library.
 */

import type { Side } from "../dsl/inputs.js";
import type { ManifestKernel } from "../dsl/manifest.js";
import {
  type Counts,
  headsOf,
  kernelSides,
  madeLength,
  madeOptions,
  outputDtype,
} from "../generator/verify/made_call.js";
import { pagingOf } from "../generator/verify/paging.js";
import { randomBits, randomFloats, randomNumbers } from "../generator/verify/random.js";
import { type Tensor, typesOf } from "../runtime/call_inputs.js";
import type { Dtype } from "../runtime/dtype.js";
import type { DeviceBuffer, ElementType } from "../runtime/memory.js";
import type { Kernel } from "../runtime/op.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import type { RunOptions } from "../runtime/run_options.js";

export const kernelOf = (library: Library, { point, op }: ManifestKernel): Promise<Kernel> =>
  library.kernel({ ...point, op });

/** Elements of a row of q, k and v heads. */
export function rowOf({ point }: ManifestKernel, counts: Counts): number {
  const { q, k, v } = headsOf(counts);
  return (q + k + v) * point.headDim;
}

/** Positions of tests are multiples of it; rows of cosines and sines overlap, so that few numbers make many rows. */
export const STEP = 17;
const ROW_STRIDE = 4;
const TOKENS_MAX = 2 ** 17;

/** The sides whose outputs lie elsewhere. */
const sidesElsewhere = (entry: ManifestKernel) =>
  outputDtype(entry) === entry.point.dtype ? entry.copiedSides : kernelSides(entry);

/** Its heads lie in rows from the element `from` on. `elsewhere`: other memory that its calls write. */
export function anyCall(library: Library, entry: ManifestKernel, counts: Counts) {
  const { headDim } = entry.point;
  const random = randomNumbers(5);
  const heads = headsOf(counts);
  const ropes = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: entry.pairing?.rotaryDim ?? headDim }));
  const made = new Map<string, DeviceBuffer>();
  const rotaryDim = entry.pairing?.rotaryDim ?? 0;
  // More tokens are never run.
  const { numTokens: allTokens } = counts;
  const paging = pagingOf(entry, { ...counts, numTokens: Math.min(allTokens, TOKENS_MAX) });
  const slots = () =>
    allTokens > TOKENS_MAX || paging === undefined
      ? library.borrow("int32", { address: 2n ** 41n, length: allTokens })
      : library.upload("int32", paging.slots as Int32Array);
  const lengths = new Map([
    ["k.cache", paging?.k.length ?? 0],
    ["v.cache", paging?.v.length ?? 0],
    ["pair_axes", rotaryDim / 2],
    ["cos_sin", ROW_STRIDE * STEP * Math.min(counts.numTokens, TOKENS_MAX) + rotaryDim],
  ]);
  let borrowed = 2n ** 44n;
  /** What is larger is never read or written. */
  const memory = (type: ElementType, length: number) => {
    if (length < 2 ** 30) return library.allocate(type, length);
    borrowed += 2n ** 43n;
    return library.borrow(type, { address: borrowed, length });
  };
  const bufferOf = (tensor: Tensor): DeviceBuffer => {
    const { path } = tensor;
    const length =
      lengths.get(path) ?? madeLength(tensor, headDim, Math.max(heads.q, heads.k, heads.v), false).of;
    const upload = () => {
      if (path === "slots") return slots();
      const [type] = typesOf(entry, tensor);
      if (tensor.name === "cache") return memory(type, length);
      if (type === "uint8") {
        const axes = Uint8Array.from({ length }, (_, i) => i % entry.positionAxes);
        return library.upload("uint8", axes);
      }
      return type === "float32"
        ? library.upload("float32", randomFloats(length, random))
        : library.upload(type as Dtype, randomBits(type as Dtype, length, random) as never);
    };
    const buffer = made.get(tensor.path) ?? upload();
    made.set(tensor.path, buffer);
    return buffer;
  };
  const tokenStride = rowOf(entry, counts);
  const copies = new Map<Side, DeviceBuffer>();
  const elsewhere = (side: Side, token: number) => {
    const length = Math.max(1, counts.numTokens * heads[side] * headDim);
    const buffer = copies.get(side) ?? memory(outputDtype(entry), length);
    copies.set(side, buffer);
    const row = heads[side] * headDim;
    return { buffer, offset: token * row, tokenStride: row };
  };
  const call = (
    buffer: DeviceBuffer,
    positions: DeviceBuffer,
    from = 0,
    numTokens = counts.numTokens,
  ): RunOptions => {
    const place = (head: number) => ({ buffer, offset: from + head * headDim, tokenStride });
    const options = madeOptions(entry, {
      counts: { ...counts, numTokens },
      in: { q: place(0), k: place(heads.q), v: place(heads.q + heads.k) },
      out: Object.fromEntries(
        sidesElsewhere(entry).map((side) => [side, elsewhere(side, from / tokenStride)]),
      ),
      paging,
      ...{ isForEachHead: false, ropeTable: ropes, eps: 1e-6, axisStride: 0, rowStride: ROW_STRIDE },
      bufferOf: (tensor) => (tensor.path === "positions" ? positions : bufferOf(tensor)),
    });
    return options.slots === undefined
      ? options
      : { ...options, slots: { ...options.slots, offset: from / tokenStride } };
  };
  const caches = () => ["k.cache", "v.cache"].flatMap((path) => made.get(path) ?? []);
  return Object.assign(call, { elsewhere: () => [...copies.values(), ...caches()] });
}
