/** Charts: where scales put values, what the ticks say, and that the text is a picture that stands alone. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Chart, chartSvg } from "../generator/bench/chart.js";
import { linearScale, logScale, type Scale } from "../generator/bench/chart_scale.js";
import { benchCharts } from "../generator/bench/charts.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { benchRecord } from "./bench_sample.js";
import { normrope } from "./cli_helpers.js";
import { temporaryFolder } from "./helpers.js";

const labelsOf = ({ ticks }: Scale) => ticks.map(({ label }) => label).filter((label) => label !== "");
const CHART: Chart = {
  title: "Time",
  subtitle: "of a test",
  xLabel: "tokens",
  yLabel: "microseconds",
  y: "log",
  referenceName: "floor",
  series: [{ name: "warm", points: [{ x: 1, y: 1 }] }],
};

interface Box {
  readonly text: string;
  readonly x: readonly [from: number, to: number];
  readonly y: readonly [from: number, to: number];
}

/** The boxes of a chart's texts, in a font as wide as the widest that is usual. */
function boxesOf(svg: string): Box[] {
  const texts = svg.matchAll(
    /<text class="[^"]*" font-size="([\d.]+)"[^>]*?(?: x="([\d.]+)" y="([\d.]+)"| transform="translate\(([\d.]+) ([\d.]+)\) rotate\(-90\)") text-anchor="(\w+)">([^<]*)</g,
  );
  return [...texts].map(([, size, x, y, turnedX, turnedY, anchor, text = ""]) => {
    const [height, width] = [Number(size), 0.64 * Number(size) * text.length];
    const start = { start: 0, middle: -width / 2, end: -width }[anchor ?? ""] ?? Number.NaN;
    const across = (at: number) => [at - 0.93 * height, at + 0.24 * height] as const;
    if (turnedX === undefined)
      return { text, x: [Number(x) + start, Number(x) + start + width], y: across(Number(y)) };
    return {
      text,
      x: across(Number(turnedX)),
      y: [Number(turnedY) + start, Number(turnedY) + start + width],
    };
  });
}

function clashesOf(svg: string): string[] {
  const boxes = boxesOf(svg);
  const [, width = 0, height = 0] = (/viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []).map(Number);
  const meet = (a: readonly [number, number], b: readonly [number, number]) => a[0] < b[1] && b[0] < a[1];
  return boxes.flatMap((a, i) => [
    ...(a.x[0] < 0 || a.x[1] > width || a.y[0] < 0 || a.y[1] > height ? [`${a.text} is outside`] : []),
    ...boxes
      .slice(i + 1)
      .filter((b) => meet(a.x, b.x) && meet(a.y, b.y))
      .map((b) => `${a.text} | ${b.text}`),
  ]);
}

describe("scales", () => {
  it("have ticks at powers of ten, and at 1, 2 and 5 times them where there is room", () => {
    expect(labelsOf(logScale([1, 16_384], 0, 1))).toEqual(["1", "10", "100", "1k", "10k"]);
    expect(labelsOf(logScale([1.3, 18], 0, 1))).toEqual(["1", "2", "5", "10", "20"]);
    expect(labelsOf(logScale([0.04, 0.3], 0, 1))).toEqual(["0.02", "0.05", "0.1", "0.2", "0.5"]);
    expect(labelsOf(logScale([1e-9, 1e9], 0, 1)).length).toBeLessThanOrEqual(7);
    expect(labelsOf(logScale([1e6, 5e6], 0, 1))).toEqual(["1M", "2M", "5M"]);
    expect(labelsOf(linearScale([1, 1.36], 0, 1))).toEqual(["1.0", "1.1", "1.2", "1.3", "1.4"]);
    expect(labelsOf(linearScale([0, 730], 0, 1))).toEqual(["0", "200", "400", "600", "800"]);
  });

  it("have an extent also for one value, and for none", () => {
    for (const make of [logScale, linearScale]) {
      for (const values of [[], [1], [64], [3, 3]]) {
        const scale = make(values, 0, 100);
        expect(scale.ticks.length).toBeGreaterThanOrEqual(2);
        for (const value of values) expect(scale.at(value)).toBeGreaterThanOrEqual(0);
      }
    }
  });

  const values = fc.array(fc.double({ min: 1e-6, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 9 });
  it.each([
    ["logarithmic", logScale],
    ["linear", linearScale],
  ] as const)("%s: are in order, hold every value, and begin and end on ticks", (_, make) => {
    fc.assert(
      fc.property(values, (list) => {
        const scale = make(list, 300, 20);
        const places = [...list].sort((a, b) => a - b).map(scale.at);
        const ticks = scale.ticks.map(({ value }) => scale.at(value));
        expect(places).toEqual([...places].sort((a, b) => b - a));
        expect(ticks).toEqual([...ticks].sort((a, b) => b - a));
        for (const place of [...places, ...ticks]) {
          expect(place).toBeGreaterThan(20 - 1e-6);
          expect(place).toBeLessThan(300 + 1e-6);
        }
        expect(labelsOf(scale).length).toBeGreaterThanOrEqual(1);
        expect(labelsOf(scale).length).toBeLessThanOrEqual(8);
        expect(new Set(labelsOf(scale)).size).toBe(labelsOf(scale).length);
      }),
    );
  });
});

describe("a chart", () => {
  it("is one SVG element that names itself and leads nowhere", () => {
    const svg = chartSvg(CHART);
    expect(svg).toMatch(
      /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^>]*role="img" aria-label="Time: of a test">/,
    );
    expect(svg).toMatch(/<\/svg>$/);
    expect(svg.match(/<svg/g)).toHaveLength(1);
    expect(svg).not.toMatch(/href|url\(|@import|<script/);
    expect(svg).toContain("prefers-color-scheme:dark");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("has plain colours in attributes, and a style for dark schemes only", () => {
    const svg = chartSvg({
      ...CHART,
      referenceY: 1,
      series: [{ name: "a", points: [1, 2].map((x) => ({ x, y: x })) }],
    });
    const style = /<style>(.*)<\/style>/s.exec(svg)?.[1] ?? "";
    expect(style).toMatch(/^@media \(prefers-color-scheme:dark\)\{(\s*[^{}]+\{[^{}]+\})+\s*\}$/);
    expect(svg).not.toMatch(/var\(|--\w/);
    for (const [element] of svg.matchAll(/<(text|path|rect)\b[^>]*>/g)) {
      expect(element).toMatch(/ (fill|stroke)="#[0-9a-f]{6}"/);
      if (element.includes(' fill="none"')) expect(element).toMatch(/ stroke="#/);
    }
  });

  it.each(["log", "linear"] as const)("keeps its labels apart where they are long: %s", (y) => {
    for (const digits of [1, 2, 3, 4, 5, 6, 9]) {
      for (const first of [1, 10 ** -digits, 0.99 * 10 ** digits, 16_384]) {
        const points = [
          { x: 16_384, y: first },
          { x: 131_072, y: 2.398 * 10 ** (digits - 1) },
        ];
        const svg = chartSvg({
          ...CHART,
          y,
          series: [{ name: "normrope bf16, warm", points }],
          referenceY: 1,
        });
        expect(boxesOf(svg).length).toBe(svg.match(/<text/g)?.length);
        expect(clashesOf(svg)).toEqual([]);
      }
    }
  });

  it("escapes every text that it is given", () => {
    const hostile = '<b>&"';
    const svg = chartSvg({
      ...CHART,
      ...{ title: hostile, subtitle: hostile, xLabel: hostile, yLabel: hostile, referenceName: hostile },
      referenceY: 1,
      series: [{ name: hostile, points: [{ x: 1, y: 1 }] }],
    });
    expect(svg).not.toContain("<b>");
    expect(svg.match(/&lt;b&gt;&amp;&quot;/g)?.length).toBeGreaterThanOrEqual(8);
  });

  it("has a mark for each point, a line for each series and a dashed one for what it is held against", () => {
    const points = [1, 10, 100].map((x) => ({ x, y: x }));
    const svg = chartSvg({
      ...CHART,
      series: [
        { name: "a", points, reference: points },
        { name: "b", points },
      ],
    });
    const count = (kind: string) => svg.match(new RegExp(`<path class="${kind}`, "g"))?.length;
    expect([count("chart-mark"), count("chart-line"), count("chart-reference")]).toEqual([
      6 + 2,
      2 + 2,
      1 + 1,
    ]);
    expect(svg).toContain("<title>a: tokens 10, microseconds 10</title>");
  });

  it("is drawn also of nothing", () => {
    expect(chartSvg({ ...CHART, series: [] })).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe("a benchmark record", () => {
  const charts = benchCharts(benchRecord().rows);

  it("becomes a pair of charts for each geometry", () => {
    expect(charts.map(({ id, title }) => [id, title])).toEqual([
      ["d128_r128_neox_h32-8-8", "headDim 128, neox, 32/8/8 heads"],
      ["d128_r64_interleaved_h32-8-8", "headDim 128, rotaryDim 64, interleaved, 32/8/8 heads"],
    ]);
    expect(charts.map(({ time, ratio }) => [time.y, ratio.y, ratio.referenceY])).toEqual([
      ["log", "linear", 1],
      ["log", "linear", 1],
    ]);
  });

  it("has a line for each way of running, in the order of tokens, each held against its own floor", () => {
    const { time, ratio } = charts[0] ?? {};
    const names = ["warm", "warm, dependent launch", "cold", "cold, dependent launch"].map(
      (how) => `normrope bf16, ${how}`,
    );
    expect(time?.series.map(({ name }) => name)).toEqual(names);
    expect(ratio?.series.map(({ name }) => name)).toEqual(names);
    expect(time?.series[0]?.points.map(({ x }) => x)).toEqual([1, 16, 64, 256, 4096, 16384]);
    for (const [i, { points, reference = [] }] of (time?.series ?? []).entries()) {
      const ratios = points.map(({ y }, at) => y / (reference[at]?.y ?? 0));
      ratios.forEach((value, at) => {
        expect(value).toBeCloseTo(ratio?.series[i]?.points[at]?.y ?? 0, 9);
      });
    }
  });
});

it("the charts that are committed are those that the command draws, with labels that are apart", async () => {
  const inRoot = (path: string) => join(PACKAGE_ROOT, path);
  const folder = temporaryFolder();
  for (const [record, peers] of [
    ["h100-2026-11-23", "h100"],
    ["h200_kv_cache-2026-11-30", "h100_kv_cache"],
  ]) {
    const files = [inRoot(`bench/results/${record}.json`), "--peers", inRoot(`bench/peers/${peers}.json`)];
    expect((await normrope(["chart", ...files, "--out", folder])).code).toBe(0);
  }
  const committed = readdirSync(inRoot("bench/charts"));
  expect(committed.length).toBeGreaterThan(0);
  for (const name of committed) {
    const svg = readFileSync(inRoot(`bench/charts/${name}`), "utf8");
    expect(svg).toBe(readFileSync(join(folder, name), "utf8"));
    expect(clashesOf(svg)).toEqual([]);
  }
});
