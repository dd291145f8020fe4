/** Buffers and layouts of a KV cache and FP8 that do not go together, by the caller's names; nothing is written then. */
import { describe, test } from "vitest";
import {
  type Bad,
  cacheOf,
  contents,
  D,
  expectRefused,
  floats,
  givenSlots,
  inCache,
  inSide,
  library,
  qkv,
  run,
  SLOTS,
  slots,
  validCall,
  weight,
} from "./cache_call.js";
import { NO_VALUES } from "./call.js";
import { expectRefusal } from "./unchanged.js";

const LEFT_OUT = /left out: this kernel does not take it/;
const BUFFER = /a buffer of this library/;
const APART = /apart from what else is read or written/;

const BAD: readonly Bad[] = [
  ["a cache", "plain", "k.cache", LEFT_OUT, inSide("k", () => ({ cache: cacheOf("k") }))],
  ["slots", "plain", "slots", LEFT_OUT, slots(() => ({}))],
  ["a scale", "cache", "k.cacheScale", LEFT_OUT, inSide("k", () => ({ cacheScale: floats(1) }))],
  ["a cache of q", "cache", "q.cache", LEFT_OUT, inSide("q", () => ({ cache: cacheOf("k") }))],
  [
    "an output of a v that is left alone",
    "cache",
    "v.out",
    LEFT_OUT,
    inSide("v", () => ({ out: { buffer: cacheOf("v"), tokenStride: D } })),
  ],
  ["no block", "cache", "k.cache.blocks", /a whole number from 1/, inCache("k", () => ({ blocks: 0 }))],
  [
    "more blocks than the buffer has",
    "cache",
    "k.cache.blocks",
    /they need 512 elements of 384/,
    inCache("k", () => ({ blocks: 4, blockStride: 2 * D })),
  ],
  [
    "fewer blocks than the slots need",
    "cache",
    "slots",
    /in the 256 elements of k.cache/,
    inCache("k", () => ({ blocks: 2 })),
  ],
  [
    "blocks of a size that is none",
    "cache",
    "slots.blockSize",
    /a whole number/,
    (call) => ({
      ...inCache("k", () => ({ blocks: 3 }))(call),
      ...slots(() => ({ blockSize: Symbol("none") }))(),
    }),
  ],
  ["no cache of k", "cache", "k.cache", BUFFER, inSide("k", () => ({ cache: undefined }))],
  ["no cache of v", "e4m3", "v.cache", BUFFER, inSide("v", () => ({ cache: undefined }))],
  ["no slots", "cache", "slots", BUFFER, () => ({ slots: undefined })],
  ["slots that are no layout", "cache", "slots.blockSize", /a whole number/, () => ({ slots: givenSlots })],
  [
    "a blockSize that is left out",
    "cache",
    "slots.blockSize",
    /a whole number/,
    slots(() => ({ blockSize: undefined })),
  ],
  [
    "a blockSize of half a slot",
    "cache",
    "slots.blockSize",
    /a whole number/,
    slots(() => ({ blockSize: 0.5 })),
  ],
  ["a blockSize of 0", "cache", "slots.blockSize", /from 1 to 2147483647/, slots(() => ({ blockSize: 0 }))],
  [
    "a blockSize below 0",
    "cache",
    "slots.blockSize",
    /from 1 to 2147483647/,
    slots(() => ({ blockSize: -2 })),
  ],
  [
    "a blockSize past 2^31",
    "cache",
    "slots.blockSize",
    /from 1 to 2147483647/,
    slots(() => ({ blockSize: 2 ** 40 })),
  ],
  ["too few slots", "cache", "slots", /at least 2 long/, slots(() => ({ offset: 1 }))],
  [
    "slots of another type",
    "cache",
    "slots.buffer",
    /int32 or int64/,
    slots(() => ({ buffer: floats(0, 1) })),
  ],
  [
    "a misspelt blockSize",
    "cache",
    "slots.blocksize",
    /one of buffer, offset, blockSize/,
    slots(() => ({ blocksize: 2 })),
  ],
  [
    "no output of q",
    "cache",
    "q.out",
    /this kernel writes nothing else of it/,
    inSide("q", () => ({ out: null })),
  ],
  [
    "no output of k",
    "plain",
    "k.out",
    /this kernel writes nothing else of it/,
    inSide("k", () => ({ out: null, cache: undefined })),
  ],
  ["a cache of bf16", "e4m3", "k.cache.buffer", /e4m3/, inCache("k", () => ({ buffer: cacheOf("k") }))],
  [
    "a cache of e4m3",
    "cache",
    "v.cache.buffer",
    /bf16/,
    inCache("v", () => ({ buffer: cacheOf("v", "e4m3") })),
  ],
  [
    "a cache of f16",
    "cache",
    "k.cache",
    /bf16/,
    inSide("k", () => ({ cache: library.allocate("f16", SLOTS * D) })),
  ],
  ["a scale of bf16", "e4m3", "k.cacheScale", /float32/, inSide("k", () => ({ cacheScale: weight }))],
  [
    "an output of bf16",
    "e4m3",
    "q.out.buffer",
    /e4m3/,
    inSide("q", () => ({ out: { buffer: qkv, tokenStride: 2 * D } })),
  ],
  [
    "e4m3 in place",
    "e4m3",
    "q.out",
    /given: e4m3 lies elsewhere than the input/,
    inSide("q", () => ({ out: undefined })),
  ],
  [
    "e4m3 at the address of the input",
    "e4m3",
    "q.out.buffer",
    /elsewhere: its elements are of another dtype/,
    inSide("q", () => ({ out: { buffer: overQkv(), tokenStride: 4 * D } })),
  ],
  [
    "e4m3 over another head of the input",
    "e4m3",
    "q.out.buffer",
    APART,
    inSide("q", () => ({ out: { buffer: overQkv(), offset: D, tokenStride: 4 * D } })),
  ],
  ["a cache over heads", "cache", "k.cache", APART, inCache("k", () => ({ buffer: qkv }))],
  ["one cache for k and v", "cache", "v.cache", APART, inCache("v", () => ({ buffer: cacheOf("k") }))],
  [
    "slots over each other",
    "cache",
    "k.cache",
    /of slots that are apart/,
    inCache("k", () => ({ slotStride: 4 })),
  ],
  [
    "blocks over each other",
    "cache",
    "k.cache",
    /of slots that are apart/,
    inCache("k", () => ({ blockStride: D })),
  ],
  [
    "a slot stride between vectors",
    "cache",
    "k.cache.slotStride",
    /a multiple of this kernel's vector, 4 elements/,
    inCache("k", () => ({ slotStride: D + 2 })),
  ],
  [
    "a block stride between vectors",
    "cache",
    "v.cache.blockStride",
    /a multiple of this kernel's vector/,
    inCache("v", () => ({ blockStride: 2 * D + 1 })),
  ],
  [
    "an offset between vectors",
    "cache",
    "k.cache",
    /a multiple of 8 bytes/,
    inCache("k", () => ({ offset: 2 })),
  ],
  [
    "a block stride below 0",
    "cache",
    "k.cache.blockStride",
    /not negative/,
    inCache("k", () => ({ blockStride: -2 * D })),
  ],
  [
    "a slot stride below 0",
    "cache",
    "k.cache.slotStride",
    /not negative/,
    inCache("k", () => ({ slotStride: -D })),
  ],
  [
    "half a block stride",
    "cache",
    "k.cache.blockStride",
    /a whole number/,
    inCache("k", () => ({ blockStride: 0.5 })),
  ],
  [
    "a cache of less than a block",
    "cache",
    "k.cache",
    /at least 128 long/,
    inCache("k", () => ({ offset: (SLOTS - 1) * D })),
  ],
  [
    "a cache that ends before it begins",
    "cache",
    "k.cache.offset",
    /before the buffer's end/,
    inCache("k", () => ({ offset: SLOTS * D })),
  ],
];

/** The memory of the packed heads, as e4m3. */
const overQkv = () => library.borrow("e4m3", { address: qkv.address, length: 2 * qkv.length });

describe("a call with", () => {
  test.each(BAD)("%s is refused by the kernel `%s`, naming %s", (...bad) => expectRefused(bad));

  test.each(NO_VALUES)("a blockSize of %s is refused", async (_, value) => {
    const call = { ...validCall("cache"), ...slots(() => ({ blockSize: value }))() };
    await expectRefusal(contents, () => run("cache", call), "invalid-argument", "slots.blockSize ");
  });
});
