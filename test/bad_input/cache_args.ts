/**
 * What cannot be used of a call that writes a KV cache or FP8: each bad value once, as in args.ts. The call that is spoilt is
 * `cacheFields`.
 */
import type { Given } from "../c_args.js";
import { packedFields } from "../c_args.js";
import type { BadArgs } from "./args.js";

export const HEAD_DIM = 64;
/** Bytes of the memory of a call. */
export const MEMORY = 3 * 4096;
/** Bytes of an element of each dtype that is written. */
export const WRITTEN = { same: 2, e4m3: 1 } as const;

const at = (offset: number): Given => ({ at: offset });

/** Where what is written begins, in bytes. */
const [K_CACHE, V_CACHE, OUT] = [4096, 6144, 8192];

/**
 * The call of `packedFields`, with one v head that is only written to the cache. The caches have blocks of two slots, and what is written
 * lies behind what is read. The slots are at byte 2080.
 */
export function cacheFields(written: keyof typeof WRITTEN): Readonly<Record<string, Given>> {
  const cache = (side: "k" | "v", offset: number): Readonly<Record<string, Given>> => ({
    [`${side}.cache`]: at(offset),
    [`${side}.cache_block_stride`]: 2 * HEAD_DIM,
    [`${side}.cache_slot_stride`]: HEAD_DIM,
    [`${side}.cache_head_stride`]: HEAD_DIM,
  });
  const outputs = { "q.out": at(OUT), "k.out": at(OUT + 2 * HEAD_DIM) };
  return {
    ...{ ...packedFields(HEAD_DIM), ...(written === "same" ? {} : outputs) },
    ...{ "v.in": at(1152), "v.in_token_stride": HEAD_DIM, "v.in_head_stride": HEAD_DIM, "v.num_heads": 1 },
    ...{ ...cache("k", K_CACHE), ...cache("v", V_CACHE), slots: at(2080), slot_bits: 32, block_size: 2 },
  };
}

const one = (
  field: string,
  value: number | bigint,
  wanted: RegExp,
  shown: string | RegExp = `${value}`,
): BadArgs => [...([field, shown, wanted] as const), { [field]: value }];
const ADDRESS = /^at 0x[0-9a-f]+$/;
const APART = /^apart from what/;
const SLOTS_APART = /^of slots that are apart$/;
const over = (strides: string) => `^of slots that lie over each other, with strides of ${strides}`;

/** Of a kernel that writes caches and outputs of its own dtype. */
export const BAD_CACHES: readonly BadArgs[] = [
  ...[0, -1, -(2n ** 63n), 2n ** 31n].map((size) =>
    one("block_size", size, /^a whole number from 1 to 2147483647$/),
  ),
  ...[0, 16, 33, -64].map((bits) => one("slot_bits", bits, /^32 or 64$/)),
  ...["slots", "k.cache", "v.cache", "q.out"].map((field) => one(field, 0n, /^given$/, "NULL")),
  ["slots", ADDRESS, /a multiple of 4 bytes/, { slots: at(2082) }],
  ["slots", ADDRESS, /a multiple of 8 bytes/, { slots: at(2084), slot_bits: 64 }],
  ["k.cache", ADDRESS, /a multiple of 8 bytes/, { "k.cache": at(K_CACHE + 4) }],
  ["v.cache", ADDRESS, /a multiple of 8 bytes/, { "v.cache": at(V_CACHE + 1) }],
  one("k.cache_block_stride", 130, /^a multiple of this kernel's vector, 4 elements$/),
  one("k.cache_slot_stride", 66, /^a multiple of this kernel's vector/),
  ["v.cache_head_stride", "65", /^a multiple of/, { "v.cache_head_stride": 65, "v.num_heads": 2 }],
  one("k.cache_block_stride", 2n ** 62n, /the last of 2 lies in memory/),
  one("v.cache_slot_stride", -(2n ** 63n), /the last of 2 lies in memory/),
  // Lengths.
  one("k.cache_length", -1, /^0, or a number of elements$/),
  ["k.cache", "127 elements long", /^at least 128 long for this call$/, { "k.cache_length": 127 }],
  ["v.cache", "1 element long", /^at least 128 long/, { "v.cache_length": 1 }],
  ["slots", "1 element long", /^at least 2 long/, { slots_length: 1 }],
  ["k.cache_block_stride", "-128", /^not negative/, { "k.cache_block_stride": -128, "k.cache_length": 512 }],
  ["k.cache_slot_stride", "-64", /^not negative/, { "k.cache_slot_stride": -64, "k.cache_length": 512 }],
  // Slots that lie over each other.
  [
    "k.cache",
    RegExp(over("0, 64 and 64 over blocks, slots and heads$")),
    SLOTS_APART,
    { "k.cache_block_stride": 0 },
  ],
  ["k.cache", RegExp(over("64, ")), SLOTS_APART, { "k.cache_block_stride": 64 }],
  ["v.cache", RegExp(over("128, 32 ")), SLOTS_APART, { "v.cache_slot_stride": 32 }],
  ["v.cache", RegExp(over("128, 0 ")), SLOTS_APART, { "v.cache_slot_stride": 0 }],
  ["v.cache", RegExp(over("128, 64 and 64 ")), SLOTS_APART, { "v.num_heads": 2 }],
  // What is written lies over something else.
  ["k.cache", "over the input of q", APART, { "k.cache": at(0) }],
  ["k.cache", "over the input of k", APART, { "k.cache": at(720) }],
  ["k.cache", "over the input of v", APART, { "k.cache": at(1400) }],
  ["v.cache", "over the input of v", APART, { "v.cache": at(1152) }],
  ["k.cache", "over the output of q", APART, { "q.out": at(OUT), "k.cache": at(OUT + 256) }],
  ["v.cache", "over the output of k", APART, { "k.out": at(OUT), "v.cache": at(OUT - 504) }],
  ["v.cache", "over the cache of k", APART, { "v.cache": at(K_CACHE) }],
  ["v.cache", "over the cache of k", APART, { "v.cache": at(K_CACHE + 504) }],
  ["v.cache", "over the cache of k", APART, { "v.cache": at(K_CACHE - 504) }],
  ["q.weight", "over the cache of k", APART, { "k.cache": at(1024 + 64), "v.in": at(OUT) }],
  ["positions", "over the cache of k", APART, { "k.cache": at(2048 - 504) }],
  ["slots", "over the cache of v", APART, { "v.cache": at(2056), rope_table: at(OUT) }],
  ["rope_table", "over the cache of v", APART, { "v.cache": at(2560) }],
  // What this kernel does not take.
  one("v.out", 1n, /^NULL: this kernel does not take it$/, /^0x/),
  one("q.cache", 1n, /^NULL: this kernel does not take it$/, /^0x/),
  one("k.cache_scale", 1n, /^NULL: this kernel does not take it$/, /^0x/),
  one("k.out_scale", 1n, /^NULL: this kernel does not take it$/, /^0x/),
  ["k.out_token_stride", "192", /^0: the tensor that it belongs to is NULL$/, { "k.out": 0n }],
];

/** Of a kernel that writes caches and outputs of e4m3. */
export const BAD_E4M3: readonly BadArgs[] = [
  ["k.cache", ADDRESS, /a multiple of 4 bytes/, { "k.cache": at(K_CACHE + 2) }],
  ["q.out", ADDRESS, /a multiple of 4 bytes/, { "q.out": at(OUT + 1) }],
  ["k.cache_scale", ADDRESS, /a multiple of 4 bytes/, { "k.cache_scale": at(OUT + 2050) }],
  ["q.out_scale", ADDRESS, /a multiple of 4 bytes/, { "q.out_scale": at(OUT + 2049) }],
  [
    "q.out_scale",
    "1 element long",
    /^at least 2 long/,
    scales({ "q.out_scale_length": 1, "q.out_scale_head_stride": 1 }),
  ],
  [
    "q.out_scale_head_stride",
    "1",
    /^0: the tensor that it belongs to is NULL$/,
    { "q.out_scale_head_stride": 1 },
  ],
  ["k.cache_scale_length", "1", /^0: the tensor that it belongs to is NULL$/, { "k.cache_scale_length": 1 }],
  ["q.out", "its input", /^elsewhere: its elements are of another dtype$/, { "q.out": at(0) }],
  ["k.out", "over the input of k", APART, { "k.out": at(256 + 64), "k.out_token_stride": 384 }],
  ["k.out", "over the output of q", APART, { "k.out": at(OUT + 124) }],
  ["v.cache", "over the cache of k", APART, { "v.cache": at(K_CACHE + 252) }],
  ["k.cache_scale", "over the cache of v", APART, { "k.cache_scale": at(V_CACHE + 252) }],
  ["q.out_scale", "over the output of q", APART, scales({ "q.out_scale": at(OUT + 124) })],
];

/** Two scales of q's output. */
function scales(changed: Readonly<Record<string, Given>>): Readonly<Record<string, Given>> {
  return { "q.out_scale": at(OUT + 2048), ...changed };
}

/** Layouts that are taken, though what is written lies close together. */
export const GOOD_CACHES: readonly (readonly [what: string, changed: Readonly<Record<string, Given>>])[] = [
  ["k and v of one buffer, side by side in each head", sideBySide(128, 256)],
  ["v right behind k", { "v.cache": at(K_CACHE + 512) }],
  ["heads before slots", { "k.cache_slot_stride": 192, "k.cache_block_stride": 64 }],
  ["slots of 64 bits", { slots: at(2080), slot_bits: 64 }],
  ["no output of k", { "k.out": 0n, "k.out_token_stride": 0, "k.out_head_stride": 0 }],
  [
    "a slot stride that one slot does not use",
    { block_size: 1, "k.cache_slot_stride": 1, "v.cache_slot_stride": 0 },
  ],
  [
    "a head stride that one head does not use",
    { "k.cache_head_stride": 1, "v.cache_head_stride": -(2n ** 63n) },
  ],
  ["one block of a known length, whatever its stride", { "k.cache_length": 128, "k.cache_block_stride": 1 }],
];

function sideBySide(slot: number, block: number): Readonly<Record<string, Given>> {
  const strides = (side: "k" | "v") => ({
    [`${side}.cache_slot_stride`]: slot,
    [`${side}.cache_block_stride`]: block,
  });
  return { ...strides("k"), ...strides("v"), "v.cache": at(K_CACHE + 2 * HEAD_DIM) };
}
