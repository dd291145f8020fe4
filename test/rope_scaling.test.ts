/** Every scaling against values worked out from its published definition, and what is refused. */
import { describe, expect, it } from "vitest";
import type { RopeScaling } from "../runtime/rope_scalings.js";
import { ropeTable, tableOf } from "../runtime/rope_table.js";

/** Each frequency as a multiple of the unscaled one. */
function ratios(base: number, rotaryDim: number, scaling: RopeScaling): number[] {
  const plain = ropeTable({ base, rotaryDim }).invFreq;
  return Array.from(
    ropeTable({ base, rotaryDim, scaling }).invFreq,
    (frequency, i) => frequency / (plain[i] ?? 0),
  );
}

const attention = (scaling: RopeScaling) => ropeTable({ base: 1e4, rotaryDim: 96, scaling }).attentionFactor;

describe("linear", () => {
  it("divides every frequency", () => {
    for (const ratio of ratios(1e6, 128, { type: "linear", factor: 8 })) expect(ratio).toBeCloseTo(1 / 8, 15);
  });
});

describe("dynamic", () => {
  const scaling = (length: number) =>
    ({ type: "dynamic", factor: 2, maxPositionEmbeddings: 2048, length }) as const;

  it("is no scaling up to the length that the model knows", () => {
    for (const ratio of ratios(1e4, 128, scaling(2048))) expect(ratio).toBe(1);
    for (const ratio of ratios(1e4, 128, scaling(100))) expect(ratio).toBe(1);
  });

  it("keeps the highest frequency and divides the lowest by 2 · 4096 / 2048 - 1 at twice that length", () => {
    const all = ratios(1e4, 128, scaling(4096));
    expect(all[0]).toBe(1);
    expect(all[63]).toBeCloseTo(1 / 3, 12);
  });
});

describe("alpha", () => {
  it.each([
    [128, 11158839.925],
    [80, 11937766.417],
  ])("of 1000 at rotary_dim %i is base %f", (rotaryDim, base) => {
    const { invFreq } = ropeTable({ base: 1e4, rotaryDim, scaling: { type: "alpha", alpha: 1000 } });
    expect((invFreq[1] ?? 0) ** (-rotaryDim / 2)).toBeCloseTo(base, 2);
  });
});

describe("llama3", () => {
  const bands = [
    { name: "Llama 3.1", base: 5e5, factor: 8, high: 4, kept: 28, smooth: 34 },
    { name: "Apertus", base: 1.2e7, factor: 8, high: 4, kept: 22, smooth: 28 },
    { name: "Llama 4 Scout, whose band is empty", base: 5e5, factor: 16, high: 1, kept: 34, smooth: 34 },
  ];
  it.each(bands)("of $name keeps frequencies to $kept and divides those behind $smooth", (band) => {
    const { base, factor, high, kept, smooth } = band;
    const scaling = {
      type: "llama3",
      factor,
      lowFreqFactor: 1,
      highFreqFactor: high,
      originalMaxPositionEmbeddings: 8192,
    } as const;
    ratios(base, 128, scaling).forEach((ratio, i) => {
      if (i <= kept) expect(ratio).toBe(1);
      else if (i > smooth) expect(ratio).toBeCloseTo(1 / factor, 14);
      else expect(ratio > 1 / factor && ratio < 1, `${i}`).toBe(true);
    });
  });

  it("smooths by the rotations in the original context", () => {
    const scaling = {
      type: "llama3",
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    } as const;
    const frequency = 5e5 ** (-60 / 128);
    const t = ((8192 * frequency) / (2 * Math.PI) - 1) / 3;
    expect(ratios(5e5, 128, scaling)[30]).toBeCloseTo((1 - t) / 8 + t, 14);
  });
});

describe("longrope", () => {
  const scaling = {
    type: "longrope",
    shortFactor: Array.from({ length: 48 }, (_, i) => 1 + i / 100),
    longFactor: Array.from({ length: 48 }, (_, i) => 2 + i),
    originalMaxPositionEmbeddings: 4096,
    maxPositionEmbeddings: 131072,
  } as const;

  it("takes the short list up to the original context, the long one above", () => {
    for (const length of [undefined, 4096])
      expect(ratios(1e4, 96, { ...scaling, length })[10]).toBeCloseTo(1 / 1.1, 14);
    expect(ratios(1e4, 96, { ...scaling, length: 4097 })[10]).toBeCloseTo(1 / 12, 14);
  });

  it("has the attention factor of Phi-3.5-mini at factor 32, however that is given", () => {
    expect(attention(scaling)).toBeCloseTo(1.1902380714238083, 15);
    expect(attention({ ...scaling, maxPositionEmbeddings: undefined, factor: 32 })).toBeCloseTo(
      1.1902380714238083,
      15,
    );
    expect(attention({ ...scaling, factor: 1 })).toBe(1);
    expect(attention({ ...scaling, attentionFactor: 1.25 })).toBe(1.25);
  });
});

describe("proportional", () => {
  it("of Gemma 4 turns 64 of 256 pairs, with frequencies over the whole head", () => {
    const scaling = { type: "proportional", partialRotaryFactor: 0.25 } as const;
    const { invFreq } = ropeTable({ base: 1e6, rotaryDim: 512, scaling });
    expect(invFreq[63]).toBeCloseTo(1e6 ** (-126 / 512), 15);
    expect([...invFreq.slice(64)]).toEqual(new Array(192).fill(0));
  });
});

describe("yarn-ramp", () => {
  it("is YaRN with the ends of the ramp given", () => {
    const yarn = {
      type: "yarn",
      factor: 8,
      originalMaxPositionEmbeddings: 8192,
      attentionFactor: 1.2,
    } as const;
    const given = { type: "yarn-ramp", factor: 8, low: 18, high: 35, attentionFactor: 1.2 } as const;
    expect(ropeTable({ base: 5e5, rotaryDim: 128, scaling: given })).toEqual(
      ropeTable({ base: 5e5, rotaryDim: 128, scaling: yarn }),
    );
  });

  it("with factor 1 is no scaling, whatever the ends", () => {
    const none = { type: "yarn-ramp", factor: 1, low: 0, high: 0, attentionFactor: 1 } as const;
    expect(ratios(1e4, 64, none)).toEqual(new Array(32).fill(1));
  });
});

describe("a scaling is refused, by the name of the parameter,", () => {
  it.each<[string, object]>([
    ["scaling.factor", { type: "linear", factor: 0 }],
    ["scaling.maxPositionEmbeddings", { type: "dynamic", factor: 2, maxPositionEmbeddings: -1, length: 1 }],
    ["scaling.length", { type: "dynamic", factor: 2, maxPositionEmbeddings: 1, length: Number.NaN }],
    ["scaling.alpha", { type: "alpha", alpha: -1 }],
    ["scaling.low", { type: "yarn-ramp", factor: 2, low: Number.NaN, high: 3, attentionFactor: 1 }],
    ["scaling.attentionFactor", { type: "yarn-ramp", factor: 2, low: 1, high: 3, attentionFactor: 0 }],
    [
      "scaling.highFreqFactor",
      { type: "llama3", factor: 8, lowFreqFactor: 4, highFreqFactor: 1, originalMaxPositionEmbeddings: 1 },
    ],
    [
      "scaling.shortFactor",
      { type: "longrope", shortFactor: [1], longFactor: [1], originalMaxPositionEmbeddings: 2, factor: 1 },
    ],
    ["scaling.partialRotaryFactor", { type: "proportional", partialRotaryFactor: 1.5 }],
    ["scaling.type", { type: "ntk" }],
    ["scaling.type", { rope_type: "yarn", factor: 2 }],
    ["scaling.beta_fast", { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32768, beta_fast: 16 }],
    [
      "scaling.betaFast",
      { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32768, betaFast: 1, betaSlow: 32 },
    ],
    [
      "scaling.truncate",
      { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32768, truncate: "false" },
    ],
    ["scaling.mscale", { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32768, mscale: Number.NaN }],
    ["scaling.factor", { type: "yarn", factor: 4n, originalMaxPositionEmbeddings: 32768 }],
    ["scaling.factor", { type: "linear", factor: "8" }],
    ["scaling.high", { type: "yarn-ramp", factor: 2, low: 9, high: 3, attentionFactor: 1 }],
    ["scaling.shortFactor", { type: "longrope", originalMaxPositionEmbeddings: 2, factor: 1 }],
    [
      "scaling.originalMaxPositionEmbeddings",
      { type: "longrope", shortFactor: [], longFactor: [], originalMaxPositionEmbeddings: 1 },
    ],
  ])("for a bad %s", (field, scaling) => {
    const call = () => ropeTable({ base: 1e4, rotaryDim: 96, scaling: scaling as RopeScaling });
    expect(call).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    expect(call).toThrow(`${field} `);
  });
});

it.each<[string, () => unknown]>([
  ["no parameters", () => ropeTable(undefined as never)],
  ["a parameter that is misspelt", () => ropeTable({ base: 1e4, rotary_dim: 64, rotaryDim: 64 } as never)],
  ["a base as text", () => ropeTable({ base: "10000" as never, rotaryDim: 64 })],
  ["more rotary dims than memory holds", () => ropeTable({ base: 1e4, rotaryDim: 1e9 })],
  ["frequencies that are no array of float64", () => tableOf([1, 2] as never, 1)],
  ["frequencies without an attention factor", () => tableOf(Float64Array.of(1), undefined as never)],
])("%s: no table is made", (_, make) => {
  expect(make).toThrow(expect.objectContaining({ code: "invalid-argument" }));
});
