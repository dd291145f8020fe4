/** Two KV caches of a call in one buffer, as servers that allocate once have them. */
import { expect, test } from "vitest";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { type CacheLayout, open, ropeTable } from "../runtime/index.js";
import { cacheLibrary } from "./cache_library.js";

const D = 64;

test("caches in one buffer, one behind the other, are told apart by their blocks, and hold what caches of their own hold", async () => {
  const entries = `{ headDim: [${D}], rope: ["neox"], dtype: ["bf16"], cache: ["same"] }`;
  using library = await open({ target: "cpu", path: await cacheLibrary("one_buffer", entries) });
  const kernel = await library.kernel({ headDim: D, rope: "neox", dtype: "bf16", cache: "same" });
  const random = randomNumbers(3);
  using qkv = library.upload("bf16", randomBits("bf16", 2 * 3 * D, random));
  using weight = library.upload("bf16", randomBits("bf16", D, random));
  using positions = library.upload("int32", Int32Array.of(3, 5));
  using slots = library.upload("int32", Int32Array.of(5, 0));
  using rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: D }));
  using both = library.upload("bf16", new Uint16Array(2 * 6 * D));
  using own = library.upload("bf16", new Uint16Array(6 * D));
  using other = library.upload("bf16", new Uint16Array(6 * D));
  const side = (head: number) => ({
    ...{ in: { buffer: qkv, offset: head * D, tokenStride: 3 * D }, numHeads: 1 },
  });
  const run = (k: CacheLayout, v: CacheLayout) =>
    kernel.run({
      ...{ k: { ...side(1), weight, out: null, cache: k }, v: { ...side(2), cache: v } },
      ...{ numTokens: 2, positions, ropeTable: rope, eps: 1e-6, slots: { buffer: slots, blockSize: 2 } },
    });
  expect(() => run({ buffer: both }, { buffer: both, offset: 6 * D })).toThrow(/over the cache of k/);
  run({ buffer: both, blocks: 3 }, { buffer: both, offset: 6 * D, blocks: 3 });
  run({ buffer: own }, { buffer: other });
  const bits = both.read(new Uint16Array(12 * D));
  expect([bits.slice(0, 6 * D), bits.slice(6 * D)]).toEqual([
    own.read(new Uint16Array(6 * D)),
    other.read(new Uint16Array(6 * D)),
  ]);
  expect(new Set(bits).size).toBeGreaterThan(D);
});
