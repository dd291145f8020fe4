/** RoPE tables: the fixed-point turns against exact integers, YaRN against worked values, and bad parameters. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { type RopeParameters, ropeTable, tableOf } from "../runtime/rope_table.js";
import { buildFixture } from "./fixture.js";

const FREQUENCIES = Float64Array.of(
  ...[0, 1, Math.PI, 2 * Math.PI, 1e-6, 1e-300, 5e-324, 2 ** -64, 2 ** -70, 0.1, 3, 1e6, 2 ** 63, 1.8e19],
  ...Array.from({ length: 64 }, (_, i) => 1e6 ** (-i / 64)),
);

/** floor(2^bits / 2π), by Machin's formula. */
function inverseTwoPi(bits: bigint): bigint {
  const guard = 64n;
  const one = 1n << (bits + guard);
  const arctan = (n: bigint) => {
    let [power, sum, k] = [one / n, one / n, 3n];
    for (let sign = -1n; power !== 0n; sign = -sign, k += 2n) {
      power /= n * n;
      sum += (sign * power) / k;
    }
    return sum;
  };
  const pi = 4n * (4n * arctan(5n) - arctan(239n));
  return (one << bits) / (2n * pi);
}

/** round(frac(x / 2π) · 2⁶⁴) with 1500 bits of 1/2π. */
function exactTurns(x: number): bigint {
  const bits = 1500n;
  const [numerator, denominator] = asFraction(x);
  const product = numerator * inverseTwoPi(bits);
  const shifted = (product << 65n) / (denominator << bits);
  return BigInt.asUintN(64, (shifted + 1n) >> 1n);
}

function asFraction(x: number): [bigint, bigint] {
  let denominator = 1n;
  let value = x;
  while (!Number.isInteger(value)) {
    value *= 2;
    denominator *= 2n;
  }
  return [BigInt(value), denominator];
}

describe("turns per position", () => {
  let library: Library;
  beforeAll(async () => {
    library = await open({ target: "cpu", path: (await buildFixture("default", "cpu")).library });
  });
  afterAll(() => library?.close());

  test("are exact for every kind of frequency", () => {
    const { turns } = library.uploadRope(tableOf(FREQUENCIES, 1));
    const table = turns.read(new BigUint64Array(turns.length));
    FREQUENCIES.forEach((frequency, i) => {
      expect(table[i], `${frequency}`).toBe(exactTurns(frequency));
    });
  });

  test.each([-1, Number.NaN, 2 ** 64])("are refused of %s, in a table of the caller's own", (bad) => {
    const table = { rotaryDim: 4, invFreq: Float64Array.of(1, bad), attentionFactor: 1 };
    expect(() => library.uploadRope(table)).toThrow(/table\.invFreq\[1\] is .* must be a number from 0/);
  });
});

describe("frequencies", () => {
  test("default is base^(-2i / rotaryDim)", () => {
    const { invFreq, attentionFactor } = ropeTable({ base: 10_000, rotaryDim: 8 });
    [1, 0.1, 0.01, 0.001].forEach((frequency, i) => {
      expect(invFreq[i]).toBeCloseTo(frequency, 15);
    });
    expect(attentionFactor).toBe(1);
    expect(ropeTable({ base: 10_000, rotaryDim: 8, scaling: null })).toEqual(
      ropeTable({ base: 10_000, rotaryDim: 8 }),
    );
  });

  /** The first and last index between which frequencies are neither kept nor divided; from the YaRN formula by hand. */
  const WORKED = [
    {
      name: "OLMo-3",
      base: 5e5,
      rotaryDim: 128,
      original: 8192,
      factor: 8,
      low: 18,
      high: 35,
      attention: 1.2079441541679836,
    },
    {
      name: "Ministral-3",
      base: 1e6,
      rotaryDim: 128,
      original: 16384,
      factor: 16,
      low: 20,
      high: 37,
      attention: 1.2772588722239782,
    },
    {
      name: "Kimi-K2",
      base: 5e4,
      rotaryDim: 64,
      original: 4096,
      factor: 32,
      betaFast: 1,
      low: 19,
      high: 20,
      attention: 1.3465735902799727,
    },
  ];
  test.each(WORKED)(
    "YaRN of $name",
    ({ base, rotaryDim, original, factor, betaFast, low, high, attention }) => {
      const plain = ropeTable({ base, rotaryDim }).invFreq;
      const scaling = { type: "yarn", factor, originalMaxPositionEmbeddings: original, betaFast } as const;
      const { invFreq, attentionFactor } = ropeTable({ base, rotaryDim, scaling });
      const ratios = Array.from(invFreq, (frequency, i) => frequency / (plain[i] ?? 0));
      ratios.slice(0, low + 1).forEach((ratio) => {
        expect(ratio).toBeCloseTo(1, 14);
      });
      ratios.slice(high).forEach((ratio) => {
        expect(ratio).toBeCloseTo(1 / factor, 14);
      });
      ratios.slice(low + 1, high).forEach((ratio, i) => {
        const t = (i + 1) / (high - low);
        expect(ratio).toBeCloseTo(t / factor + 1 - t, 14);
      });
      expect(attentionFactor).toBeCloseTo(attention, 15);
    },
  );

  test("YaRN without truncation ramps between the exact indices of gpt-oss", () => {
    const [low, high, factor] = [8.092779115512402, 17.39802450158856, 32];
    const plain = ropeTable({ base: 150_000, rotaryDim: 64 }).invFreq;
    const scaling = { type: "yarn", factor, originalMaxPositionEmbeddings: 4096, truncate: false } as const;
    const { invFreq } = ropeTable({ base: 150_000, rotaryDim: 64, scaling });
    for (const i of [8, 9, 12, 17, 18]) {
      const t = Math.min(Math.max((i - low) / (high - low), 0), 1);
      expect((invFreq[i] ?? 0) / (plain[i] ?? 1)).toBeCloseTo(t / factor + 1 - t, 10);
    }
  });

  test("YaRN's attention factor: given, from mscale, or from the factor", () => {
    const factorOf = (rest: object) =>
      ropeTable({
        base: 1e4,
        rotaryDim: 64,
        scaling: { type: "yarn", factor: 40, originalMaxPositionEmbeddings: 4096, ...rest },
      }).attentionFactor;
    expect(factorOf({ attentionFactor: 1.5 })).toBe(1.5);
    expect(factorOf({ mscale: 1, mscaleAllDim: 1 })).toBe(1);
    expect(factorOf({ mscale: 0.8, mscaleAllDim: 1 })).toBeCloseTo(
      (0.08 * Math.log(40) + 1) / (0.1 * Math.log(40) + 1),
      14,
    );
    expect(factorOf({})).toBeCloseTo(0.1 * Math.log(40) + 1, 14);
    expect(factorOf({ factor: 1 })).toBe(1);
  });
});

const BAD: [field: string, parameters: object][] = [
  ["base", { base: 0 }],
  ["base", { base: Number.NaN }],
  ["rotaryDim", { rotaryDim: 7 }],
  ["rotaryDim", { rotaryDim: 0 }],
  ["rotaryDim", { rotaryDim: 6.5 }],
  ["scaling.type", { scaling: { type: "yarm", factor: 2, originalMaxPositionEmbeddings: 1 } }],
  ["scaling.factor", { scaling: { type: "yarn", factor: -2, originalMaxPositionEmbeddings: 4096 } }],
  [
    "scaling.originalMaxPositionEmbeddings",
    { scaling: { type: "yarn", factor: 2, originalMaxPositionEmbeddings: 0 } },
  ],
  [
    "scaling.attentionFactor",
    { scaling: { type: "yarn", factor: 2, originalMaxPositionEmbeddings: 1, attentionFactor: Number.NaN } },
  ],
];
test.each(BAD)("a bad %s is refused by name: %j", (field, change) => {
  const parameters = { base: 1e4, rotaryDim: 64, ...change } as RopeParameters;
  expect(() => ropeTable(parameters)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  expect(() => ropeTable(parameters)).toThrow(field);
});
