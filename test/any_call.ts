/**
 * A call of any kernel, whatever its op takes.
 *
 * In: a kernel, how many heads lie in rows of a buffer, and positions. Out: the options of the call, in place. What else the
 * kernel reads is made up, and is freed with the library.
 */

import type { Side } from "../dsl/inputs.js";
import type { ManifestKernel } from "../dsl/manifest.js";
import { type Counts, headsOf, madeLength, madeOptions } from "../generator/verify/made_call.js";
import { randomBits, randomFloats, randomNumbers } from "../generator/verify/random.js";
import type { RunOptions } from "../runtime/call.js";
import type { Tensor } from "../runtime/call_inputs.js";
import type { DeviceBuffer } from "../runtime/memory.js";
import type { Kernel } from "../runtime/op.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";

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

/** Its heads lie in rows from the element `from` on. `next` makes calls of other rows with the same inputs. */
export function anyCall(library: Library, entry: ManifestKernel, counts: Counts) {
  const { headDim, dtype } = entry.point;
  const random = randomNumbers(5);
  const heads = headsOf(counts);
  const ropes = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: entry.pairing?.rotaryDim ?? headDim }));
  const made = new Map<string, DeviceBuffer>();
  const rotaryDim = entry.pairing?.rotaryDim ?? 0;
  const lengths = new Map([
    ["pair_axes", rotaryDim / 2],
    ["cos_sin", ROW_STRIDE * STEP * Math.min(counts.numTokens, TOKENS_MAX) + rotaryDim],
  ]);
  const bufferOf = (tensor: Tensor): DeviceBuffer => {
    const { path } = tensor;
    const length =
      lengths.get(path) ?? madeLength(tensor, headDim, Math.max(heads.q, heads.k, heads.v), false).of;
    const upload = () => {
      if (tensor.dtype === "uint8")
        return library.upload(
          "uint8",
          Uint8Array.from({ length }, (_, i) => i % entry.positionAxes),
        );
      return tensor.dtype === "float32" || entry.float32Inputs.includes(path)
        ? library.upload("float32", randomFloats(length, random))
        : library.upload(dtype, randomBits(dtype, length, random));
    };
    const buffer = made.get(tensor.path) ?? upload();
    made.set(tensor.path, buffer);
    return buffer;
  };
  const tokenStride = rowOf(entry, counts);
  const copies = new Map<Side, DeviceBuffer>();
  const elsewhere = (side: Side) => {
    const length = Math.max(1, counts.numTokens * heads[side] * headDim);
    const buffer = copies.get(side) ?? library.allocate(dtype, length);
    copies.set(side, buffer);
    return { buffer, tokenStride: heads[side] * headDim };
  };
  return (
    buffer: DeviceBuffer,
    positions: DeviceBuffer,
    from = 0,
    numTokens = counts.numTokens,
  ): RunOptions => {
    const place = (head: number) => ({ buffer, offset: from + head * headDim, tokenStride });
    return madeOptions(entry, {
      counts: { ...counts, numTokens },
      in: { q: place(0), k: place(heads.q), v: place(heads.q + heads.k) },
      out: Object.fromEntries(entry.copiedSides.map((side) => [side, elsewhere(side)])),
      ...{ isForEachHead: false, ropeTable: ropes, eps: 1e-6, axisStride: 0, rowStride: ROW_STRIDE },
      bufferOf: (tensor) => (tensor.dtype === "position" ? positions : bufferOf(tensor)),
    });
  };
}
