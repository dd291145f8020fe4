/** Whether a head's bits depend on the batch that it came in: a batch against the same batch run in other ways. */
import { packedHeads } from "../runtime/heads.js";
import { bytesOf } from "../runtime/library.js";
import type { ConfigPoint } from "../runtime/manifest.js";
import type { Library } from "../runtime/open_library.js";
import { randomBits, randomNumbers } from "../runtime/random.js";
import { ropeTable } from "../runtime/rope_table.js";

export interface BatchShape {
  readonly tokens: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
}

/** The ways of running a batch of random data whose result differs in any bit from that of one call. */
export async function waysThatDiffer(
  library: Library,
  point: ConfigPoint,
  { tokens, numQHeads, numKHeads }: BatchShape,
): Promise<string[]> {
  const { headDim, dtype, rotaryDim } = point;
  const random = randomNumbers(5);
  const kernel = await library.kernel(point);
  const row = (numQHeads + numKHeads + 1) * headDim;
  const data = randomBits(dtype, tokens * row, random);
  using stream = library.createStream();
  using qkv = library.allocate(dtype, tokens * row);
  using weight = library.upload(dtype, randomBits(dtype, headDim, random));
  using rope = library.uploadRope(ropeTable({ base: 1e6, rotaryDim }));
  using positions = library.upload(
    "int32",
    Int32Array.from({ length: tokens }, (_, i) => 17 * i),
  );
  const counts = { headDim, numQHeads, numKHeads, numVHeads: 1 };
  const { q, k } = packedHeads({ qkv, ...counts, qWeight: weight, kWeight: weight });
  const run = (token: number, numTokens: number, pdl: boolean) => {
    const from = token * row;
    const heads = {
      q: { ...q, in: { ...q.in, offset: from } },
      k: { ...k, in: { ...k.in, offset: from + numQHeads * headDim } },
    };
    const memory = { address: positions.address + BigInt(4 * token), length: numTokens };
    using own = library.borrow("int32", memory);
    kernel.run({ ...heads, numTokens, positions: own, ropeTable: rope, eps: 1e-6, stream, pdl });
  };
  const bits = (launch: () => void) => {
    qkv.write(data);
    launch();
    stream.synchronize();
    return bytesOf(qkv.read(new Uint16Array(data.length)));
  };
  const together = bits(() => run(0, tokens, false));
  const ways = {
    "as a dependent launch": () => run(0, tokens, true),
    "token by token": () => {
      for (let token = 0; token < tokens; token++) run(token, 1, token % 2 === 0);
    },
  };
  const differing = Object.entries(ways).filter(([, launch]) => Buffer.compare(bits(launch), together) !== 0);
  const nothing = Buffer.compare(bytesOf(data), together) === 0 ? ["nothing was done"] : [];
  return [...nothing, ...differing.map(([way]) => `${kernel.id} ${way}`)];
}
