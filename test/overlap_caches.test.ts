/** Which KV caches the C interface takes, against the bytes that their heads cover. */
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { loadLibrary, type NativeFunctions } from "../runtime/library.js";
import { argsOf, type Fields } from "./c_args.js";
import { cacheLibrary } from "./cache_library.js";

const HEAD_DIM = 128;
/** Offsets and strides are multiples of it. */
const UNIT = 32;
const BASE = 1n << 24n; // nothing is there
const ELSEWHERE = 1n << 40n;

let c: NativeFunctions;
let kernel: number;
/** One slot, below 0: the only data that a check reads. */
let slots: bigint;
beforeAll(async () => {
  const entry = '{ headDim: [128], rope: ["neox"], dtype: ["bf16"], cache: ["same"] }';
  c = loadLibrary(await cacheLibrary("overlap_caches", entry)).functions;
  kernel = c.find("qk_norm_rope__bf16_d128_r128_neox_kv");
  expect(kernel).toBeGreaterThanOrEqual(0);
  const out = new BigUint64Array(1);
  expect(c.memoryAllocate(8, new Uint8Array(out.buffer))).toBe(0);
  slots = out[0] ?? 0n;
  expect(c.copyToDevice(slots, new Uint8Array(8).fill(0xff), 8, 0n)).toBe(0);
});

interface Dimension {
  readonly stride: number;
  readonly count: number;
}

/** A cache, in elements from `BASE` on. */
interface Cache {
  readonly start: number;
  readonly blocks: Dimension;
  readonly slots: Dimension;
  readonly heads: Dimension;
  /** Whether the call says how long it is. Otherwise C knows of two blocks. */
  readonly hasLength: boolean;
}

const dimensionsOf = ({ blocks, slots, heads }: Cache) => [blocks, slots, heads];

/** The elements from the first of a cache to the end of its last head. */
const lengthOf = (cache: Cache) =>
  dimensionsOf(cache).reduce((sum, { stride, count }) => sum + (count - 1) * stride, HEAD_DIM);

/** A side with a cache. Its heads lie at one place, from `BASE` on, or elsewhere. */
function fieldsOf(side: "k" | "v", cache: Cache, place?: number): Fields {
  const { start, blocks, slots, heads, hasLength } = cache;
  const elsewhere = ELSEWHERE * (side === "k" ? 2n : 3n);
  const input = place === undefined ? elsewhere : BASE + BigInt(2 * place);
  return {
    ...{ [`${side}.in`]: input, [`${side}.num_heads`]: heads.count, [`${side}.in_head_stride`]: HEAD_DIM },
    ...(side === "k" ? { "k.out": input, "k.out_head_stride": HEAD_DIM, "k.weight": ELSEWHERE } : {}),
    [`${side}.cache`]: BASE + BigInt(2 * start),
    [`${side}.cache_length`]: hasLength ? lengthOf(cache) : 0,
    [`${side}.cache_block_stride`]: blocks.stride,
    [`${side}.cache_slot_stride`]: slots.stride,
    [`${side}.cache_head_stride`]: heads.stride,
  };
}

/** Whether C takes caches of k and v, or of k alone; k's heads lie at a place. */
function isAccepted(k: Cache, v?: Cache, place?: number): boolean {
  const args = argsOf({
    ...{ ...fieldsOf("k", k, place), ...(v === undefined ? {} : fieldsOf("v", v)) },
    ...{ positions: ELSEWHERE, position_bits: 32, rope_table: ELSEWHERE, attention_factor: 1 },
    ...{ num_tokens: 1, slots, slot_bits: 64, block_size: k.slots.count },
  });
  return c.check(kernel, args) === 0;
}

/** The first elements of all heads. */
function headsOf(cache: Cache): number[] {
  return dimensionsOf(cache).reduce(
    (starts, { stride, count }) =>
      starts.flatMap((start) => Array.from({ length: count }, (_, i) => start + i * stride)),
    [cache.start],
  );
}

const meet = (one: number, other: number) => Math.abs(one - other) < HEAD_DIM;
const overlapsItself = (cache: Cache) => {
  const sorted = headsOf(cache).sort((a, b) => a - b);
  return sorted.some((start, i) => i > 0 && meet(start, sorted[i - 1] ?? 0));
};
const overlap = (one: Cache, other: Cache) =>
  headsOf(one).some((start) => headsOf(other).some((otherStart) => meet(start, otherStart)));

/** Whether each stride reaches over all that the smaller ones span. */
function isNested(cache: Cache): boolean {
  let span = HEAD_DIM;
  for (const { stride, count } of dimensionsOf(cache).sort(
    (a, b) => Math.abs(a.stride) - Math.abs(b.stride),
  )) {
    if (count === 1) continue;
    if (Math.abs(stride) < span) return false;
    span += (count - 1) * Math.abs(stride);
  }
  return true;
}

const strideFrom = (least: number) => fc.integer({ min: least, max: 50 }).map((n) => n * UNIT);
const dimension = (least: number, most: number) =>
  fc.record({ stride: strideFrom(least), count: fc.integer({ min: 1, max: most }) });
/** With any strides: without a length also negative ones, and two blocks. */
const anyCache = fc.boolean().chain((hasLength): fc.Arbitrary<Cache> => {
  const least = hasLength ? 1 : -50;
  const blocks = hasLength ? dimension(1, 3) : strideFrom(least).map((stride) => ({ stride, count: 2 }));
  return fc.record({
    start: fc.integer({ min: 0, max: 120 }).map((n) => n * UNIT),
    ...{ blocks, slots: dimension(least, 3), heads: dimension(least, 3), hasLength: fc.constant(hasLength) },
  });
});

test("a cache is taken exactly if its strides are nested, and then no two heads share a byte", () => {
  const seen = { taken: 0, apartAndRefused: 0 };
  const property = (cache: Cache) => {
    const isTaken = isAccepted(cache);
    expect(isTaken).toBe(isNested(cache));
    if (isTaken) expect(overlapsItself(cache)).toBe(false);
    seen.taken += Number(isTaken);
    seen.apartAndRefused += Number(!isTaken && !overlapsItself(cache));
  };
  fc.assert(fc.property(anyCache, property), { numRuns: 10_000, seed: 1 });
  expect(seen.taken).toBeGreaterThan(500);
  // Such as heads that alternate in uneven steps: nobody lays a cache out so.
  expect(seen.apartAndRefused).toBeLessThan(seen.taken);
});

/** Nested strides, with gaps, in any order of the dimensions. */
const nested = (counts: readonly [number, number, number]) =>
  fc
    .record({
      order: fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
      gaps: fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 0, max: 10 }).map((n) => n * UNIT))),
    })
    .map(({ order, gaps }) => {
      const strides = [0, 0, 0];
      let span = HEAD_DIM;
      order.forEach((dimension, i) => {
        strides[dimension] = span + (gaps[i] ?? 0);
        span += ((counts[dimension] ?? 1) - 1) * (strides[dimension] ?? 0);
      });
      return strides;
    });

const count = fc.integer({ min: 1, max: 4 });
const counts = fc.tuple(count, count, count);
const cacheOf = (start: number, strides: readonly number[], counts: readonly number[]): Cache => {
  const at = (i: number) => ({ stride: strides[i] ?? 0, count: counts[i] ?? 1 });
  return { start, blocks: at(0), slots: at(1), heads: at(2), hasLength: true };
};

test("a cache is never taken where it lies over heads, nor over another cache", () => {
  const place = fc.integer({ min: -50, max: 200 }).map((n) => n * UNIT);
  const seen = { overHeads: 0, overCache: 0, taken: 0 };
  const property = (k: Cache, other: Cache, heads: number) => {
    const v: Cache = { ...other, slots: { ...other.slots, count: k.slots.count } };
    const isOverHeads = headsOf(k).some((start) => meet(start, heads));
    seen.overHeads += Number(isOverHeads);
    if (isOverHeads) expect(isAccepted(k, undefined, heads)).toBe(false);
    seen.overCache += Number(overlap(k, v));
    const isTaken = isAccepted(k, v);
    if (overlap(k, v)) expect(isTaken).toBe(false);
    seen.taken += Number(isTaken);
  };
  fc.assert(fc.property(anyCache, anyCache, place, property), { numRuns: 10_000, seed: 4 });
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(300);
});

test("two caches of the same strides are taken exactly if they are apart", () => {
  const pairs = counts.chain((own) =>
    fc.record({ own: fc.constant(own), strides: nested(own), start: fc.integer({ min: -90, max: 90 }) }),
  );
  const seen = { apart: 0, interleaved: 0, overlapping: 0 };
  const property = ({ own, strides, start }: { own: number[]; strides: number[]; start: number }) => {
    const [k, v] = [cacheOf(0, strides, own), cacheOf(start * UNIT, strides, own)];
    const isApart = !overlap(k, v);
    expect(isAccepted(k, v)).toBe(isApart);
    const isWithin = Math.abs(start * UNIT) < lengthOf(k);
    seen[isApart ? (isWithin ? "interleaved" : "apart") : "overlapping"] += 1;
  };
  fc.assert(fc.property(pairs, property), { numRuns: 10_000, seed: 2 });
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(300);
});

test("two caches of any strides and counts are never taken where they overlap", () => {
  const of = (blockSize: number) =>
    fc.tuple(count, fc.constant(blockSize), fc.integer({ min: 1, max: 8 })).chain((own) =>
      fc.record({
        ...{ own: fc.constant(own), strides: nested(own) },
        ...{ free: fc.array(strideFrom(1), { minLength: 3, maxLength: 3 }) },
        start: fc.integer({ min: 0, max: 150 }).map((n) => n * UNIT),
      }),
    );
  const pairs = count
    .chain((blockSize) => fc.tuple(of(blockSize), of(blockSize)))
    .map(([a, b]) => {
      const k = cacheOf(a.start, a.strides, a.own);
      // Strides over what both have several of are mostly the same.
      const strides = b.strides.map((stride, i) =>
        (a.own[i] ?? 1) > 1 || i === 1 ? (a.strides[i] ?? 0) : stride,
      );
      return [k, cacheOf(b.start, strides, b.own)] as const;
    });
  let overlapping = 0;
  const property = ([k, v]: readonly [Cache, Cache]) => {
    if (!overlap(k, v)) return;
    overlapping += 1;
    expect(isAccepted(k, v)).toBe(false);
  };
  fc.assert(fc.property(pairs, property), { numRuns: 30_000, seed: 3 });
  expect(overlapping).toBeGreaterThan(1000);
});

test("k and v of one buffer, side by side in each head, are taken", () => {
  // [blocks, heads, slots, 2 * head_dim], and [blocks, slots, heads, 2 * head_dim].
  for (const [slots, heads] of [
    [2, 32],
    [16, 2],
  ] as const) {
    const strides = [8 * 16 * 2 * HEAD_DIM, slots * HEAD_DIM, heads * HEAD_DIM];
    const [k, v] = [0, HEAD_DIM].map((start) => cacheOf(start, strides, [5, 16, 8]));
    if (k === undefined || v === undefined) throw new Error("there are two");
    expect([isAccepted(k, v), overlap(k, v)]).toEqual([true, false]);
    // A head further on, v lies over the next head of k.
    expect(isAccepted(k, { ...v, start: 2 * HEAD_DIM })).toBe(false);
  }
});
