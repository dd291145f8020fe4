/** Slots past 2³¹ and below 0, and caches of more than 2³¹ elements, on the CPU and on the emulator: what lies between is never touched. */
import { beforeAll, describe, expect, test } from "vitest";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { loadLibrary, type NativeFunctions } from "../runtime/library.js";
import { argsOf } from "./c_args.js";
import { cacheLibrary } from "./cache_library.js";

const D = 128;
const HEADS = 2;
const ENTRIES = '{ headDim: [128], rope: ["neox"], dtype: ["bf16"], cache: ["same", "e4m3"] }';
const KERNELS = {
  bf16: { id: "qk_norm_rope__bf16_d128_r128_neox_kv", bytes: 2 },
  e4m3: { id: "qk_norm_rope__bf16_d128_r128_neox_kv8", bytes: 1 },
} as const;
/** Not a power of two: what is cut to 32 bits lands somewhere else. */
const FAR = 2 ** 31 + 3 * D;

/** Bytes of a call's memory: the input of two tokens of v, the slots, and a window of the cache. */
const [SLOTS_AT, WINDOW_AT, WINDOW] = [4096, 65536, 2 ** 17];

/** A cache, in elements; the number of slots in a block. */
interface Layout {
  readonly blockSize: number;
  readonly block: number;
  readonly slot: number;
  readonly head: number;
}
/** With a gap behind each block: where there is none, a slot's place does not depend on its block. */
const inBlocks = (blockSize: number): Layout => ({
  ...{ blockSize, block: blockSize * HEADS * D + D, slot: HEADS * D, head: D },
});

describe.each(["cpu", "cuda"] as const)("target %s", (target) => {
  let c: NativeFunctions;
  beforeAll(async () => {
    c = loadLibrary(await cacheLibrary("far_slots", ENTRIES, target)).functions;
  });

  function allocate(bytes: number): bigint {
    const out = new BigUint64Array(1);
    expect(c.memoryAllocate(bytes, new Uint8Array(out.buffer))).toBe(0);
    return out[0] ?? 0n;
  }
  function read(address: bigint, bytes: number): Uint8Array {
    const into = new Uint8Array(bytes);
    expect(c.copyToHost(into, address, bytes, 0n)).toBe(0);
    return into;
  }
  function write(address: bigint, data: ArrayBufferView): void {
    const bytes = new Uint8Array(data.buffer);
    expect(c.copyToDevice(address, bytes, bytes.length, 0n)).toBe(0);
  }

  /** Writes two tokens of two v heads into a cache, which no check knows the length of. */
  function run(
    dtype: keyof typeof KERNELS,
    slots: Int32Array | BigInt64Array,
    cache: bigint,
    layout: Layout,
  ) {
    const memory = allocate(SLOTS_AT + 64);
    write(memory, randomBits("bf16", 2 * HEADS * D, randomNumbers(3)));
    write(memory + BigInt(SLOTS_AT), slots);
    const args = argsOf({
      ...{ "v.in": memory, "v.in_token_stride": HEADS * D, "v.in_head_stride": D, "v.num_heads": HEADS },
      ...{ "v.cache": cache, "v.cache_block_stride": layout.block, "v.cache_slot_stride": layout.slot },
      ...{
        "v.cache_head_stride": layout.head,
        slots: memory + BigInt(SLOTS_AT),
        block_size: layout.blockSize,
      },
      ...{ slot_bits: 8 * slots.BYTES_PER_ELEMENT, num_tokens: 2, attention_factor: 1, eps: 1e-6 },
      // v does not rotate: no position and no angle is read.
      ...{ positions: memory, position_bits: 32, rope_table: memory },
    });
    expect([c.run(c.find(KERNELS[dtype].id), args, 0n), c.lastError()]).toEqual([0, c.lastError()]);
    expect(c.memoryFree(memory)).toBe(0);
  }

  /** The bytes of a window of the cache, which begins at a slot that begins a block. */
  function windowFrom(dtype: keyof typeof KERNELS, firstSlot: number, layout: Layout, isInt64: boolean) {
    const memory = allocate(WINDOW_AT + WINDOW);
    const window = memory + BigInt(WINDOW_AT);
    write(window, new Uint8Array(WINDOW).fill(0x11));
    const block = BigInt(firstSlot / layout.blockSize) * BigInt(layout.block * KERNELS[dtype].bytes);
    const slots = [firstSlot + 1, firstSlot + layout.blockSize + 2];
    run(dtype, isInt64 ? BigInt64Array.from(slots, BigInt) : Int32Array.from(slots), window - block, layout);
    const bytes = read(window, WINDOW);
    expect(c.memoryFree(memory)).toBe(0);
    return bytes;
  }

  describe.each(["bf16", "e4m3"] as const)("a cache of %s", (dtype) => {
    test.each([
      [4, 2 ** 31 - 12, false],
      [4, 2 ** 31 - 12, true],
      [4, 2 ** 31, true],
      [4, 2 ** 32 + 8, true],
      [7, 7 * 613_566_757, true], // 7 times the first number with which it passes 2^32
      [48, 48 * 357_913_941, true],
      [100, 100 * 85_899_346, true], // past 2^33
    ])("in blocks of %i is written at slots from %i on", (blockSize, firstSlot, isInt64) => {
      const layout = inBlocks(blockSize);
      const near = windowFrom(dtype, 0, layout, isInt64);
      expect(windowFrom(dtype, firstSlot, layout, isInt64)).toEqual(near);
      expect(near.filter((byte) => byte !== 0x11).length).toBeGreaterThan(HEADS * D);
    });

    test.each([
      [-1, false],
      [-(2 ** 31), false],
      [-1, true],
      [-(2 ** 32), true],
      [-(2 ** 63), true],
    ])("is left alone for a token of slot %i", (below, isInt64) => {
      const memory = allocate(WINDOW);
      write(memory, new Uint8Array(WINDOW).fill(0x11));
      const slots = isInt64 ? BigInt64Array.of(BigInt(below), 5n) : Int32Array.of(below, 5);
      run(dtype, slots, memory, inBlocks(4));
      const head = D * KERNELS[dtype].bytes;
      const heads = Array.from({ length: WINDOW / head }, (_, i) => read(memory + BigInt(i * head), head));
      const written = heads.flatMap((bytes, i) => (bytes.some((byte) => byte !== 0x11) ? [i] : []));
      expect(written).toEqual([5 * HEADS + 1, 5 * HEADS + 2]); // behind the gap of the first block
      expect(c.memoryFree(memory)).toBe(0);
    });

    test.each<[string, Int32Array, Partial<Layout>, (token: number, head: number) => number]>([
      ["blocks", Int32Array.of(0, 4), { block: FAR }, (token, head) => token * FAR + head * D],
      [
        "slots",
        Int32Array.of(0, 1),
        { blockSize: 2, block: HEADS * D, slot: FAR },
        (token, head) => token * FAR + head * D,
      ],
      ["heads", Int32Array.of(0, 1), { head: FAR }, (token, head) => token * HEADS * D + head * FAR],
    ])("has %s that lie far apart", (_, slots, changed, placeOf) => {
      const { bytes } = KERNELS[dtype];
      const stored = (layout: Layout, place: (token: number, head: number) => number, length: number) => {
        const memory = allocate(length * bytes);
        run(dtype, slots, memory, layout);
        const heads = [0, 1].flatMap((token) =>
          [0, 1].map((head) => read(memory + BigInt(place(token, head) * bytes), D * bytes)),
        );
        expect(c.memoryFree(memory)).toBe(0);
        return heads;
      };
      const layout = inBlocks(4);
      const gaps = (token: number) => Math.floor((slots[token] ?? 0) / layout.blockSize) * D;
      const nearPlace = (token: number, head: number) =>
        (slots[token] ?? 0) * HEADS * D + gaps(token) + head * D;
      const near = stored(layout, nearPlace, 16 * HEADS * D);
      expect(stored({ ...layout, ...changed }, placeOf, FAR + 8 * D)).toEqual(near);
      expect(new Set(near.map(String)).size).toBe(near.length);
    });
  });
});
