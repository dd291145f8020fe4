/** Benchmarks: what is run, what is recorded, and what it is held against. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  casesOf,
  modelShape,
  modelsSchema,
  parseHeads,
  parseTokens,
  usualHeads,
} from "../generator/bench/cases.js";
import { benchCharts } from "../generator/bench/charts.js";
import { waitedIn } from "../generator/bench/measure.js";
import { parsePeers, peerOf } from "../generator/bench/peers.js";
import {
  type BenchRow,
  kernelsOf,
  methodOf,
  parseBenchRecord,
  recordText,
  toolkitOf,
} from "../generator/bench/record.js";
import { summarize } from "../generator/bench/summary.js";
import { formatDiagnostic } from "../generator/diagnostics.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { benchRecord } from "./bench_sample.js";
import { diagnosticsOf } from "./helpers.js";
import { cudaManifest } from "./report_samples.js";

const POINT = { headDim: 128, rotaryDim: 128, rope: "neox", dtype: "bf16" } as const;
const KERNEL = { id: "qk_norm_rope__bf16_d128_r128_neox", op: "qk_norm_rope", point: POINT };
const MODELS = modelsSchema.parse(JSON.parse(readFileSync(join(PACKAGE_ROOT, "bench/models.json"), "utf8")));
const peersText = readFileSync(join(PACKAGE_ROOT, "bench/peers/h100.json"), "utf8");

describe("cases", () => {
  it("are every shape, warm, and cold from 1024 tokens on", () => {
    const headsOf = () => [{ q: 8, k: 1, v: 1 }];
    const cases = casesOf([KERNEL], { headsOf, tokens: [1, 1023, 1024], pdl: false });
    expect(cases.map(({ tokens, memory, pdl }) => [tokens, memory, pdl])).toEqual([
      [1, "warm", false],
      [1023, "warm", false],
      [1024, "warm", false],
      [1024, "cold", false],
    ]);
    expect(casesOf([KERNEL], { headsOf, tokens: [1], memory: "cold", pdl: true })).toEqual(
      [false, true].map((pdl) => ({
        kernel: KERNEL,
        heads: { q: 8, k: 1, v: 1 },
        tokens: 1,
        memory: "cold",
        pdl,
      })),
    );
  });

  it("have heads for every geometry", () => {
    expect(usualHeads(POINT)).toHaveLength(3);
    expect(usualHeads({ ...POINT, rotaryDim: 64 })).toEqual([{ q: 32, k: 8, v: 8 }]);
    expect(usualHeads({ ...POINT, headDim: 96, rotaryDim: 96 })).toEqual([{ q: 32, k: 8, v: 8 }]);
    expect(usualHeads({ ...POINT, headDim: 256, rotaryDim: 256 })).toEqual([{ q: 16, k: 4, v: 4 }]);
  });

  it("may have no k and v heads", () => {
    expect(parseHeads("32/0/0,8/1/0")).toEqual([
      { q: 32, k: 0, v: 0 },
      { q: 8, k: 1, v: 0 },
    ]);
  });

  it.each([
    ["qwen3-30b-a3b", 1, { q: 32, k: 4, v: 4 }],
    ["qwen3-30b-a3b", 4, { q: 8, k: 1, v: 1 }],
    ["qwen3-30b-a3b", 8, { q: 4, k: 1, v: 1 }],
    ["glm-4.5", 8, { q: 12, k: 1, v: 1 }],
  ])("take the heads of %s on one of %d devices", (name, tp, heads) => {
    expect(modelShape(MODELS, name, tp).heads).toEqual(heads);
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      "a model that is not known",
      () => modelShape(MODELS, "qwen3-30b", 1),
      /qwen3-30b is not known[\s\S]*did you mean qwen3/,
    ],
    ["a model of the prototype chain", () => modelShape(MODELS, "toString", 1), /toString is not known/],
    [
      "devices that do not divide the heads",
      () => modelShape(MODELS, "qwen3-30b-a3b", 3),
      /--tp 3 does not divide the 32 q and 4 kv/,
    ],
    ["no tokens", () => parseTokens(""), /--tokens: ""/],
    ["a fraction of a token", () => parseTokens("1,2.5"), /--tokens: "2.5"/],
    ["no token at all", () => parseTokens("0"), /--tokens: "0"/],
    ["two counts of heads", () => parseHeads("32/8"), /--heads 32\/8/],
    ["four counts of heads", () => parseHeads("32/8/8/8"), /--heads 32\/8\/8\/8/],
    [
      "more heads than there are",
      () => parseHeads("32/8/99999"),
      /--heads: "99999" is no count[\s\S]*from 0 to 4096/,
    ],
  ])("refuse %s", (_, action, message) => {
    expect(diagnosticsOf(action).map(formatDiagnostic).join()).toMatch(message);
  });
});

describe("a record", () => {
  const record = benchRecord();

  it("is read as it was written, a line for each row", () => {
    const text = recordText({ ...record, kernels: [{ id: "a", gbps: 1 }] });
    expect(parseBenchRecord(text, "bench.json")).toEqual({ ...record, kernels: [{ id: "a", gbps: 1 }] });
    expect(text.split("\n").filter((line) => line.includes('"over_floor"'))).toHaveLength(record.rows.length);
  });

  it("holds registers, spills and the best bandwidth of each kernel that was measured", () => {
    const manifest = cudaManifest();
    const [kernel] = manifest.kernels;
    if (kernel === undefined) throw new Error("no kernel");
    const row = (gbps: number): BenchRow => ({ ...record.rows[0], ...kernel.point, gbps });
    const [found, ...others] = kernelsOf(manifest, [row(7), row(9), row(8)]);
    const [resources] = manifest.build.resources[kernel.id] ?? [];
    expect(others).toEqual([]);
    if (resources === undefined) throw new Error("no resources");
    const spillBytes = resources.spillStoreBytes + resources.spillLoadBytes;
    expect(found).toEqual({ id: kernel.id, registers: resources.registers, spillBytes, gbps: 9 });
    expect(toolkitOf(manifest)).toBe("CUDA 13.0.88");
    expect(methodOf("cuda", 9)).toContain("median of 9 replays of a CUDA graph");
  });

  it("is summed up by the size of its batches, with the worst row by name", () => {
    const [row] = record.rows;
    const rows = [
      { ...row, tokens: 1024, over_floor: 1 },
      { ...row, tokens: 4096, over_floor: 4 },
      { ...row, tokens: 64, over_floor: 1.25 },
      { ...row, tokens: 64, over_floor: 1.5, pdl: true },
    ];
    expect(summarize(rows, undefined)).toEqual([
      "heads of 8 MB and more: 2.000 times the floor over 2 rows, at most 4.00 (qk_norm_rope__bf16_d128_r128_neox, 32/8/8 heads, 4096 tokens, warm)",
      "heads of less than 8 MB: 1.250 times the floor over 1 row, at most 1.25 (qk_norm_rope__bf16_d128_r128_neox, 32/8/8 heads, 64 tokens, warm)",
      "heads of less than 8 MB, dependent launch: 1.500 times the floor over 1 row, at most 1.50 (qk_norm_rope__bf16_d128_r128_neox, 32/8/8 heads, 64 tokens, warm)",
    ]);
  });
});

describe("rows whose times spread too far, or that waited for a CPU", () => {
  const [row] = benchRecord().rows;
  const busy = { ...row, tokens: 64, over_floor: 2398, spread: 0.31 };

  it("waited for what Linux says", () => {
    expect(waitedIn("867117 2000000 2\n")).toBe(2);
    expect(waitedIn("")).toBe(0);
  });

  it("are left out of the means, and said", () => {
    const summary = summarize([{ ...row, tokens: 1, over_floor: 1.5, spread: 0.3 }, busy], undefined);
    expect(summary).toHaveLength(2);
    expect(summary[0]).toMatch(/^heads of less than 8 MB: 1\.500 times the floor over 1 row,/);
    expect(summary[1]).toMatch(
      /^unsteady, and left out: 1 row, such as qk_norm_rope__bf16_d128_r128_neox, .* 64 tokens/,
    );
    expect(summarize([{ ...busy, spread: 0, waited: 0.11 }], undefined)).toEqual([summary[1]]);
  });

  it("are not drawn", () => {
    const xs = (rows: readonly BenchRow[]) =>
      benchCharts(rows).flatMap(({ ratio }) =>
        ratio.series.flatMap(({ points }) => points.map(({ x }) => x)),
      );
    expect(xs([{ ...row, tokens: 1 }, busy])).toEqual([1]);
    expect(benchCharts([busy])).toEqual([]);
  });
});

describe("peers", () => {
  const peers = parsePeers(peersText, "h100.json");
  const row = (changed: Partial<BenchRow>): BenchRow => ({ ...benchRecord().rows[0], ...changed });

  it("are found by the whole shape, and only without dependent launch", () => {
    expect(peerOf(peers, row({ tokens: 64 }))?.us).toEqual({
      sglang_19059: 2.5,
      sglang_21654: 2.52,
      vllm: 2.64,
    });
    expect(peerOf(peers, row({ tokens: 64, pdl: true }))).toBeUndefined();
    expect(peerOf(peers, row({ tokens: 65 }))).toBeUndefined();
    expect(peerOf(peers, row({ tokens: 64, rotaryDim: 64 }))).toBeUndefined();
  });

  it("are compared by the ratio to the floor of their own run", () => {
    const rows = [row({ tokens: 64, over_floor: 1.08 }), row({ tokens: 256, over_floor: 1.1 })];
    expect(summarize(rows, peers)).toContain(
      "sglang_19059, neox: 1.73 times our ratio to the floor over 2 rows, at least 1.50 (qk_norm_rope__bf16_d128_r128_neox, 32/8/8 heads, 64 tokens, warm)",
    );
  });

  it("are drawn where they ran the same shape", () => {
    const [chart] = benchCharts([row({ tokens: 64 }), row({ tokens: 256 }), row({ tokens: 4000 })], peers);
    const vllm = chart?.ratio.series.find(({ name }) => name === "vllm");
    expect(vllm?.points).toEqual([
      { x: 64, y: 1.71 },
      { x: 256, y: 2.31 },
    ]);
    expect(chart?.time.series.find(({ name }) => name === "vllm")?.points[0]).toEqual({ x: 64, y: 2.64 });
    expect(benchCharts([row({ pdl: true })], peers)).toEqual([]);
  });
});
