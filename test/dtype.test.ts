/** Floats of 16 and 8 bits: every bit pattern, and rounding against its definition. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, decode, decodingTable, encode, encodeAll, ulp } from "../runtime/dtype.js";

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

/** OCP 8-bit floating point, 2023, table 2: S.EEEE.MMM with a bias of 7, no infinities, and one NaN of each sign. */
function e4m3(bits: number): number {
  const [sign, exponent, mantissa] = [bits & 0x80 ? -1 : 1, (bits >> 3) & 0xf, bits & 7];
  if (exponent === 15 && mantissa === 7) return Number.NaN;
  return exponent === 0 ? sign * 2 ** -6 * (mantissa / 8) : sign * 2 ** (exponent - 7) * (1 + mantissa / 8);
}

describe("e4m3", () => {
  const BITS = Array.from({ length: 256 }, (_, bits) => bits);
  const FINITE = BITS.slice(0, 0x7f);

  test("every pattern is the number of its definition, and survives", () => {
    expect(BITS.map((bits) => decode("e4m3", bits))).toEqual(BITS.map(e4m3));
    expect(Array.from(decodingTable("e4m3"))).toEqual(BITS.map(e4m3));
    const numbers = BITS.filter((bits) => !Number.isNaN(e4m3(bits)));
    expect(numbers.map((bits) => encode("e4m3", e4m3(bits)))).toEqual(numbers);
    expect([numbers.length, decode("e4m3", 0x7e), decode("e4m3", 1)]).toEqual([254, 448, 2 ** -9]);
    for (const bits of [-1, 256, 0.5]) expect(() => decode("e4m3", bits)).toThrow("from 0 to 255");
  });

  test("a NaN is the NaN, and stays one", () => {
    expect(encode("e4m3", Number.NaN)).toBe(0x7f);
    expect([decode("e4m3", 0x7f), decode("e4m3", 0xff)]).toEqual([Number.NaN, Number.NaN]);
  });

  test("between any two neighbours the nearest is taken, and a tie goes to the even one", () => {
    for (const bits of FINITE.slice(0, -1)) {
      const [low, high] = [e4m3(bits), e4m3(bits + 1)];
      const middle = (low + high) / 2; // exact, as are the neighbours of it
      const aside = middle * 2 ** -50;
      const [below, above] = [middle - aside, middle + aside];
      const found = [below, middle, above].map((value) => encode("e4m3", value));
      expect(found).toEqual([bits, bits + (bits & 1), bits + 1]);
      expect([below, middle, above].map((value) => encode("e4m3", -value) & 0x7f)).toEqual(found);
      expect(encode("e4m3", -above)).toBe((bits + 1) | 0x80);
    }
    // Half of the smallest number is a tie with 0.
    expect([encode("e4m3", 2 ** -10), encode("e4m3", -(2 ** -10))]).toEqual([0, 0x80]);
  });

  test.each([448 + 2 ** -40, 449, 463.9, 464, 464.1, 480, 512, 1e5, 1e300, Number.POSITIVE_INFINITY])(
    "%s saturates",
    (value) => {
      expect([encode("e4m3", value), encode("e4m3", -value)]).toEqual([0x7e, 0xfe]);
    },
  );

  test("ulp is the distance to the next number", () => {
    for (const bits of FINITE.slice(0, -1)) {
      expect(ulp("e4m3", e4m3(bits))).toBe(e4m3(bits + 1) - e4m3(bits));
      expect(ulp("e4m3", -e4m3(bits))).toBe(e4m3(bits + 1) - e4m3(bits));
    }
  });

  test("lists are encoded into bytes", () => {
    expect(encodeAll("e4m3", [1, -1, 1000, Number.NaN])).toEqual(Uint8Array.of(0x38, 0xb8, 0x7e, 0x7f));
    expect(encodeAll("e4m3", Float32Array.of(0.5))).toEqual(Uint8Array.of(0x30));
    expect([bytesOf("e4m3"), bytesOf("bf16")]).toEqual([1, 2]);
  });
});
