/** Heads more than 2³¹ elements apart, on the CPU and on the emulator: pages between them are never touched. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import { buildEmulatedFixture } from "./emulated.js";
import { buildFixture } from "./fixture.js";

const HEAD_DIM = 128;
/** Not a power of two: what is cut to 32 bits lands somewhere else. */
const FAR = 2 ** 31 + 3 * HEAD_DIM;

/** How two heads can be far from each other: as heads of one token, or as one head of two tokens. */
const WAYS = [
  { numTokens: 2, numHeads: 1 },
  { numTokens: 1, numHeads: 2 },
];

describe.each(["cpu", "cuda"] as const)("offsets past 2^31 elements, target %s", (target) => {
  let library: Library;
  beforeAll(async () => {
    const built = target === "cpu" ? buildFixture("default", "cpu") : buildEmulatedFixture("default");
    library = await open({ target, path: (await built).library });
  });
  afterAll(() => library?.close());

  test.each(["neox", "interleaved"] as const)("%s", async (rope) => {
    const kernel = await library.kernel({ headDim: HEAD_DIM, rope, dtype: "bf16" });
    const random = randomNumbers(3);
    const heads = [randomBits("bf16", HEAD_DIM, random), randomBits("bf16", HEAD_DIM, random)] as const;
    using weight = library.upload("bf16", randomBits("bf16", HEAD_DIM, random));
    using positions = library.upload("int32", Int32Array.of(5, 131_071));
    using table = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: HEAD_DIM }));
    const run = (numTokens: number, numHeads: number, distance: number) => {
      using buffer = library.allocate("bf16", distance + HEAD_DIM);
      heads.forEach((head, i) => {
        buffer.write(head, i * distance);
      });
      const q = { in: { buffer, tokenStride: distance, headStride: distance }, numHeads, weight };
      kernel.run({ q, numTokens, positions, ropeTable: table, eps: 1e-6 });
      return heads.map((_, i) => buffer.read(new Uint16Array(HEAD_DIM), i * distance));
    };
    for (const { numTokens, numHeads } of WAYS) {
      const near = run(numTokens, numHeads, HEAD_DIM);
      expect(run(numTokens, numHeads, FAR)).toEqual(near);
      expect(near).not.toEqual(heads);
    }
  });
});
