/** Whether a head's bits depend on the batch that it came in: a batch against the same batch run in other ways. */

import type { ManifestKernel } from "../dsl/manifest.js";
import type { Counts } from "../generator/verify/made_call.js";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { bytesOf } from "../runtime/library.js";
import type { DeviceBuffer } from "../runtime/memory.js";
import type { Library } from "../runtime/open_library.js";
import { anyCall, kernelOf, rowOf, STEP } from "./any_call.js";

/** The ways of running a batch of random data whose result differs in any bit from that of one call. */
export async function waysThatDiffer(
  library: Library,
  entry: ManifestKernel,
  counts: Counts,
): Promise<string[]> {
  const { dtype } = entry.point;
  const { numTokens } = counts;
  const kernel = await kernelOf(library, entry);
  const row = rowOf(entry, counts);
  const data = randomBits(dtype, numTokens * row, randomNumbers(5));
  using stream = library.createStream();
  using qkv = library.allocate(dtype, numTokens * row);
  const steps = Int32Array.from({ length: numTokens }, (_, i) => STEP * i);
  using positions = library.upload("int32", steps);
  const call = anyCall(library, entry, counts);
  const run = (token: number, tokens: number, pdl: boolean) => {
    const memory = { address: positions.address + BigInt(4 * token), length: tokens };
    using own = library.borrow("int32", memory);
    kernel.run({ ...call(qkv, own, token * row, tokens), stream, pdl });
  };
  const bits = (launch: () => void) => {
    qkv.write(data);
    const hostArray = (buffer: DeviceBuffer) =>
      buffer.type === "e4m3" ? new Uint8Array(buffer.length) : new Uint16Array(buffer.length);
    for (const buffer of call.elsewhere()) buffer.write(hostArray(buffer) as never);
    launch();
    stream.synchronize();
    const written = [qkv, ...call.elsewhere()].map((buffer) =>
      bytesOf(buffer.read(hostArray(buffer) as never)),
    );
    return Buffer.concat(written);
  };
  qkv.write(data);
  run(0, numTokens, false); // makes all memory that calls write
  const together = bits(() => run(0, numTokens, false));
  const ways = {
    "as a dependent launch": () => run(0, numTokens, true),
    "token by token": () => {
      for (let token = 0; token < numTokens; token++) run(token, 1, token % 2 === 0);
    },
  };
  const differing = Object.entries(ways).filter(([, launch]) => Buffer.compare(bits(launch), together) !== 0);
  const nothing = Buffer.compare(bytesOf(data), together) === 0 ? ["nothing was done"] : [];
  return [...nothing, ...differing.map(([way]) => `${kernel.id} ${way}`)];
}
