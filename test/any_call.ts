/**
 * A call of any kernel, whatever its op takes.
 *
 * In: a kernel, how many heads lie in rows of a buffer, and positions. Out: the options of the call, in place. What else the
 * kernel reads is made up, and is freed with the library.
 */

import { type ManifestKernel, opOf } from "../dsl/manifest.js";
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

/** Its heads lie in rows from the element `from` on. `next` makes calls of other rows with the same inputs. */
export function anyCall(library: Library, entry: ManifestKernel, counts: Counts) {
  const { headDim, dtype } = entry.point;
  const random = randomNumbers(5);
  const heads = headsOf(counts);
  const ropes = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: entry.pairing?.rotaryDim ?? headDim }));
  const made = new Map<string, DeviceBuffer>();
  const bufferOf = (tensor: Tensor): DeviceBuffer => {
    const length = madeLength(tensor, headDim, Math.max(heads.q, heads.k, heads.v), false).of;
    const upload = () =>
      tensor.dtype === "float32"
        ? library.upload("float32", randomFloats(length, random))
        : library.upload(dtype, randomBits(dtype, length, random));
    const buffer = made.get(tensor.path) ?? upload();
    made.set(tensor.path, buffer);
    return buffer;
  };
  const tokenStride = rowOf(entry, counts);
  return (
    buffer: DeviceBuffer,
    positions: DeviceBuffer,
    from = 0,
    numTokens = counts.numTokens,
  ): RunOptions => {
    const place = (head: number) => ({ buffer, offset: from + head * headDim, tokenStride });
    return madeOptions(entry, opOf(library.manifest.ops, entry), {
      counts: { ...counts, numTokens },
      in: { q: place(0), k: place(heads.q), v: place(heads.q + heads.k) },
      ...{ isForEachHead: false, ropeTable: ropes, eps: 1e-6 },
      bufferOf: (tensor) => (tensor.dtype === "position" ? positions : bufferOf(tensor)),
    });
  };
}
