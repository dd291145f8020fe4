/** Slots and scales that no call can use: the CPU target reads them before it writes anything. */
import { describe, expect, test } from "vitest";
import { decode } from "../../runtime/dtype.js";
import {
  type Bad,
  bitsOfBuffer,
  cacheOf,
  contents,
  D,
  E4M3_FILL,
  expectRefused,
  floats,
  inCache,
  inSide,
  int32,
  library,
  run,
  SLOTS,
  slots,
  validCall,
} from "./cache_call.js";

const BAD: readonly Bad[] = [
  [
    "a slot behind the cache",
    "cache",
    "slots",
    /^slots is 6 for token 1\. slots must be in the 384 elements of k\.cache, or below 0/,
    slots(() => ({ buffer: int32(0, SLOTS) })),
  ],
  [
    "a slot far behind the cache",
    "cache",
    "slots",
    /^slots is 2147483647 for token 0\./,
    slots(() => ({ buffer: int32(2 ** 31 - 1, 0) })),
  ],
  [
    "a slot of 64 bits behind the cache",
    "cache",
    "slots",
    /^slots is 4294967296 for token 1\./,
    slots(() => ({ buffer: library.upload("int64", BigInt64Array.of(-1n, 2n ** 32n)) })),
  ],
  [
    "the largest slot of 64 bits",
    "cache",
    "slots",
    /^slots is 9223372036854775807 for token 0\./,
    slots(() => ({ buffer: library.upload("int64", BigInt64Array.of(2n ** 63n - 1n, 0n)) })),
  ],
  [
    "a slot behind v's cache alone",
    "cache",
    "slots",
    /in the 128 elements of v\.cache/,
    inCache("v", () => ({ offset: 4 * D })),
  ],
  [
    "a slot of a second block where blocks have no stride",
    "cache",
    "slots",
    /^slots is 4 for token 0/,
    inCache("k", () => ({ blockStride: 0 })),
  ],
  ...[0, -0, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** -127, 2 ** 127].flatMap(
    (scale): Bad[] =>
      (["k.cacheScale", "v.cacheScale", "q.outScale", "v.outScale"] as const).map((field) => {
        const [side = "", name = ""] = field.split(".");
        return [
          `${field} ${scale}`,
          "e4m3",
          field,
          /for head 0\..*from 2\^-126 to 2\^100/,
          inSide(side, () => ({ [name]: floats(scale) })),
        ];
      }),
  ),
  [
    "a bad scale of the second head",
    "e4m3",
    "q.outScale",
    /^q\.outScale is 0 for head 1\./,
    inSide("q", () => ({ outScale: { buffer: floats(1, 0), headStride: 1 } })),
  ],
  [
    "scales of fewer heads than there are",
    "e4m3",
    "q.outScale",
    /at least 2 long/,
    inSide("q", () => ({ outScale: { buffer: floats(1), headStride: 1 } })),
  ],
];

describe("a call with", () => {
  test.each(BAD)("%s is refused by the kernel `%s`, naming %s", (...bad) => expectRefused(bad));
});

test.each(["cache", "e4m3"] as const)(
  "the valid call of the kernel `%s` writes v into its slots alone",
  (name) => {
    const before = contents();
    run(name, validCall(name));
    expect(contents()).not.toEqual(before);
    const dtype = name === "e4m3" ? "e4m3" : "bf16";
    const numbers = Array.from(bitsOfBuffer(cacheOf("v", name)), (bits) => decode(dtype, bits));
    // Of e4m3 the other slots are as they were made. Of bf16 they were made of the same number as v: the caches of k tell.
    const fill = name === "e4m3" ? decode("e4m3", E4M3_FILL) : 1;
    for (let slot = 0; slot < SLOTS; slot++) {
      const expected = [1, 4].includes(slot) ? 1 : fill;
      expect(numbers.slice(slot * D, (slot + 1) * D)).toEqual(new Array(D).fill(expected));
    }
    const k = Array.from(bitsOfBuffer(cacheOf("k", name)), (bits) => decode(dtype, bits));
    const isChanged = Array.from({ length: SLOTS }, (_, slot) =>
      k.slice(slot * D, (slot + 1) * D).some((number) => number !== fill),
    );
    expect(isChanged).toEqual([false, true, false, false, true, false]);
  },
);
