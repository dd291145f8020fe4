/** Sixteen-bit floats: every bit pattern, and rounding against its definition. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode, decodingTable, encode, ulp } from "../runtime/dtype.js";

const DTYPES = ["bf16", "f16"] as const;

describe.each(DTYPES)("%s", (dtype) => {
  test("every pattern survives decoding and encoding", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = decode(dtype, bits);
      if (Number.isNaN(value)) expect(decode(dtype, encode(dtype, value))).toBeNaN();
      else if (encode(dtype, value) !== bits)
        expect.fail(`${bits.toString(16)} became ${encode(dtype, value).toString(16)}`);
    }
  });

  test("rounds to the nearest, ties to even", () => {
    const table = decodingTable(dtype);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: dtype === "bf16" ? 0x7f7e : 0x7bfe }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (bits, t) => {
          const [low, high] = [table[bits] ?? 0, table[bits + 1] ?? 0];
          const value = low + (high - low) * t;
          const middle = low + (high - low) / 2;
          const expected = value < middle ? bits : value > middle ? bits + 1 : bits + (bits & 1);
          expect(encode(dtype, value)).toBe(expected);
          expect(encode(dtype, -value)).toBe(value === 0 ? 0x8000 : expected | 0x8000);
        },
      ),
      { numRuns: 2000 },
    );
    const [one, next] = [encode(dtype, 1), encode(dtype, 1) + 1];
    expect(encode(dtype, (decode(dtype, one) + decode(dtype, next)) / 2)).toBe(one);
    expect(encode(dtype, (decode(dtype, next) + decode(dtype, next + 1)) / 2)).toBe(next + 1);
  });

  test("overflows to infinity from half a unit beyond the largest", () => {
    const largest = decode(dtype, dtype === "bf16" ? 0x7f7f : 0x7bff);
    const half = ulp(dtype, largest) / 2;
    expect(decode(dtype, encode(dtype, largest + 0.99 * half))).toBe(largest);
    expect(decode(dtype, encode(dtype, largest + half))).toBe(Number.POSITIVE_INFINITY);
    expect(decode(dtype, encode(dtype, -1e300))).toBe(Number.NEGATIVE_INFINITY);
  });

  test("ulp is the distance to the next number", () => {
    for (const bits of [1, 0x0400, 0x1234, encode(dtype, 1), encode(dtype, 3.5)]) {
      expect(ulp(dtype, decode(dtype, bits))).toBe(decode(dtype, bits + 1) - decode(dtype, bits));
    }
  });
});
