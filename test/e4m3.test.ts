/** FP8 by exhaustion, on the CPU and on the emulator: every number of the kernel's dtype over several scales, bit for bit. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodingTable, encode } from "../runtime/dtype.js";
import type { DeviceBuffer } from "../runtime/memory.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import { cacheLibrary } from "./cache_library.js";

const D = 64;
const PATTERNS = 2 ** 16;
/** A token for every D patterns. Every head reads the same. */
const TOKENS = PATTERNS / D;
const BLOCK = 16;
/** A head for each. With 3, 7 / 16 and 11 there are ties that a product by a rounded reciprocal misses; others reach far beyond both ends. */
const SCALES = Float32Array.of(1, 0.25, 64, 3, 7 / 16, 11, 0.37, 3.3, 2 ** -20, 1e4, 2 ** -126, 2 ** 100);
const HEADS = SCALES.length;

/** Every width of a vector, both pairings, and v left alone or written twice. */
const ENTRIES = `[
  { headDim: [64], rotaryDim: [18, 20, 64], rope: ["neox"], dtype: ["bf16"], cache: ["e4m3"] },
  { headDim: [64], rope: ["interleaved"], dtype: ["f16"], cache: ["e4m3"] },
  { headDim: [64], rope: ["interleaved"], dtype: ["bf16"], cache: ["e4m3"], out: ["e4m3"], value: ["copy"] },
  { headDim: [64], rope: ["neox"], dtype: ["f16"], cache: ["e4m3"], out: ["e4m3"], value: ["copy"] },
]`;
const POINTS = [
  ...[18, 20, 64].map((rotaryDim) => ({ rotaryDim, rope: "neox", dtype: "bf16" }) as const),
  { rotaryDim: 64, rope: "interleaved", dtype: "f16" },
  { rotaryDim: 64, rope: "interleaved", dtype: "bf16", out: "e4m3", value: "copy" },
  { rotaryDim: 64, rope: "neox", dtype: "f16", out: "e4m3", value: "copy" },
] as const;

const isNaNByte = (byte: number) => (byte & 0x7f) === 0x7f;

/** The first byte that is not what the equation says, in words. `[tokens, heads, D]`. */
function firstWrong(bytes: Uint8Array, numbers: Float64Array, scales: Float32Array): string | undefined {
  for (let i = 0; i < bytes.length; i++) {
    const [head, at] = [Math.floor(i / D) % HEADS, Math.floor(i / (D * HEADS)) * D + (i % D)];
    const [x = 0, scale = 1, byte = 0] = [numbers[at], scales[head], bytes[i]];
    // Float32's own quotient: float64's, rounded once more, is the same.
    const expected = encode("e4m3", Math.fround(x / scale));
    const isRight = Number.isNaN(x) ? isNaNByte(byte) : byte === expected;
    if (!isRight) return `${x} / ${scale} is ${byte.toString(16)}, not ${expected.toString(16)}`;
  }
  return undefined;
}

describe.each(["cpu", "cuda"] as const)("target %s", (target) => {
  let library: Library;
  beforeAll(async () => {
    library = await open({ target, path: await cacheLibrary("e4m3", ENTRIES, target) });
  });
  afterAll(() => library?.close());

  test.each(POINTS)(
    "stores every number of $dtype divided by the scale: $rope, rotaryDim $rotaryDim, out $out",
    async (point) => {
      const { dtype } = point;
      const kernel = await library.kernel({ headDim: D, cache: "e4m3", ...point });
      const table = decodingTable(dtype);
      // The emulator takes a stored NaN for a fault.
      const isLeftOut = (pattern: number) => target === "cuda" && Number.isNaN(table[pattern]);
      const patterns = Uint16Array.from({ length: PATTERNS }, (_, i) => (isLeftOut(i) ? 0 : i));
      const numbers = Float64Array.from(patterns, (pattern) => table[pattern] ?? 0);
      using input = library.upload(dtype, patterns);
      using slots = library.upload(
        "int32",
        Int32Array.from({ length: TOKENS }, (_, i) => i),
      );
      using cache = library.upload("e4m3", new Uint8Array(TOKENS * HEADS * D).fill(0x11));
      using out = library.upload("e4m3", new Uint8Array(TOKENS * HEADS * D).fill(0x11));
      const reversed = SCALES.toReversed();
      using cacheScale = library.upload("float32", SCALES);
      using outScale = library.upload("float32", reversed);
      using positions = library.upload("int32", new Int32Array(TOKENS));
      using rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: point.rotaryDim }));
      const each = (buffer: DeviceBuffer) => ({ buffer, headStride: 1 });
      const run = (scales: object) =>
        kernel.run({
          v: {
            in: { buffer: input, tokenStride: D, headStride: 0 },
            ...{ numHeads: HEADS, cache: { buffer: cache }, ...scales },
            ...("out" in point ? { out: { buffer: out, tokenStride: HEADS * D } } : {}),
          },
          ...{ numTokens: TOKENS, slots: { buffer: slots, blockSize: BLOCK } },
          ...{ positions, ropeTable: rope, eps: 1e-6 },
        });
      const bytesOf = (buffer: DeviceBuffer<"e4m3">) => buffer.read(new Uint8Array(buffer.length));
      const wrongIn = (buffer: DeviceBuffer<"e4m3">, scales: Float32Array) =>
        firstWrong(bytesOf(buffer), numbers, scales);

      run({ cacheScale: each(cacheScale), ...("out" in point ? { outScale: each(outScale) } : {}) });
      expect(wrongIn(cache, SCALES)).toBeUndefined();
      if ("out" in point) expect(wrongIn(out, reversed)).toBeUndefined();

      // Infinities saturate, as numbers do that are too large.
      const infinity = numbers.indexOf(Number.POSITIVE_INFINITY);
      const [token, element] = [Math.floor(infinity / D), infinity % D];
      const bytes = bytesOf(cache);
      const stored = SCALES.map((_, head) => bytes[(token * HEADS + head) * D + element] ?? 0);
      expect(stored).toEqual(new Float32Array(HEADS).fill(0x7e));

      // Without scales these are 1, and one scale is that of every head.
      run({});
      const ones = new Float32Array(HEADS).fill(1);
      expect(wrongIn(cache, ones)).toBeUndefined();
      using one = library.upload("float32", SCALES.subarray(6, 7));
      run({ cacheScale: one });
      expect(wrongIn(cache, new Float32Array(HEADS).fill(SCALES[6] ?? 0))).toBeUndefined();
    },
  );
});
