/** Benchmarks: what is run, what is recorded, and what the commands make of it. */
import {
  cpSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import {
  casesOf,
  modelShape,
  modelsSchema,
  parseHeads,
  parseTokens,
  usualHeads,
} from "../generator/bench/cases.js";
import { benchCharts } from "../generator/bench/charts.js";
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
import { buildYardstick, openYardstick } from "../generator/bench/yardstick.js";
import { UserError } from "../generator/diagnostics.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { cpuCompiler } from "../generator/target_compiler.js";
import { findCxx } from "../generator/toolchain.js";
import { addressOf } from "../runtime/library.js";
import { benchRecord } from "./bench_sample.js";
import { normrope, useCompileCache } from "./cli_helpers.js";
import { buildFixture, buildFolder } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";
import { cudaManifest } from "./report_samples.js";

const cache = useCompileCache();
const POINT = { headDim: 128, rotaryDim: 128, rope: "neox", dtype: "bf16" } as const;
const MODELS = modelsSchema.parse(JSON.parse(readFileSync(join(PACKAGE_ROOT, "bench/models.json"), "utf8")));
const peersText = readFileSync(join(PACKAGE_ROOT, "bench/peers/h100.json"), "utf8");

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  return "no error";
}

describe("cases", () => {
  it("are every shape, warm, and cold from 1024 tokens on", () => {
    const headsOf = () => [{ q: 8, k: 1, v: 1 }];
    const cases = casesOf([POINT], { headsOf, tokens: [1, 1023, 1024], pdl: false });
    expect(cases.map(({ tokens, cache, pdl }) => [tokens, cache, pdl])).toEqual([
      [1, "warm", false],
      [1023, "warm", false],
      [1024, "warm", false],
      [1024, "cold", false],
    ]);
    expect(casesOf([POINT], { headsOf, tokens: [1], cache: "cold", pdl: true })).toEqual(
      [false, true].map((pdl) => ({
        point: POINT,
        heads: { q: 8, k: 1, v: 1 },
        tokens: 1,
        cache: "cold",
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

  it("may be without k and v heads", () => {
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
    expect(messageOf(action)).toMatch(message);
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
      "q and k of 8 MB and more: 2.000 times the floor over 2 rows, at most 4.00 (neox 128, 32/8/8 heads, 4096 tokens, warm)",
      "q and k of less than 8 MB: 1.250 times the floor over 1 row, at most 1.25 (neox 128, 32/8/8 heads, 64 tokens, warm)",
      "q and k of less than 8 MB, dependent launch: 1.500 times the floor over 1 row, at most 1.50 (neox 128, 32/8/8 heads, 64 tokens, warm)",
    ]);
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

  it("are held against by the ratio to the floor of their own run", () => {
    const rows = [row({ tokens: 64, over_floor: 1.08 }), row({ tokens: 256, over_floor: 1.1 })];
    expect(summarize(rows, peers)).toContain(
      "sglang_19059, neox: 1.73 times our ratio to the floor over 2 rows, at least 1.50 (neox 128, 32/8/8 heads, 64 tokens, warm)",
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

test("the floor flips signs in every vector of q and k, and leaves v alone", async () => {
  const cxx = await findCxx();
  if (cxx === undefined) throw new Error("no C++ compiler");
  const { floor, time } = openYardstick(await buildYardstick(cpuCompiler(cxx, []), cache), undefined);
  const data = new Uint32Array(4 * 5 * 3);
  floor(addressOf(data), { rowVectors: 2, rowStride: 5, rows: 3 }, false);
  const flipped = [...data].flatMap((word, i) => (word === 0x80008000 ? [i] : []));
  expect(flipped).toEqual([0, 20, 40].flatMap((row) => Array.from({ length: 8 }, (_, i) => row + i)));
  expect([...data].filter((word) => word !== 0)).toHaveLength(flipped.length);
  const launched: number[] = [];
  expect(time((i) => launched.push(i), 3, 7)).toHaveLength(7);
  expect(launched).toEqual(Array.from({ length: 27 }, (_, i) => i % 3));
});

describe("the commands", () => {
  async function project() {
    await buildFixture("default", "cpu");
    const folder = temporaryFolder();
    cpSync(join(buildFolder("default"), "cpu"), join(folder, "build", "cpu"), { recursive: true });
    const config = join(folder, "normrope.config.ts");
    const bench = (...args: string[]) => normrope(["bench", "--target", "cpu", "--config", config, ...args]);
    return { folder, record: join(folder, "build", "cpu", "bench.json"), bench };
  }

  it("bench measures, shows, and records, for report to draw", { timeout: 60_000 }, async () => {
    const { folder, record, bench } = await project();
    const { code, out, err } = await bench(
      "--model",
      "qwen3-30b-a3b",
      "--tp",
      "4",
      "--tokens",
      "1,64",
      "--commit",
      "0123abc",
    );
    expect([code, err.split("\n").at(-1)]).toEqual([
      0,
      expect.stringMatching(/^\[2\/2\] neox 128\/128 bf16, 8\/1\/1 heads, 64 tokens, warm: [\d.]+ us$/),
    ]);
    expect(out).toContain(`${record} holds the record, measured on `);
    const written = parseBenchRecord(readFileSync(record, "utf8"), record);
    expect(written).toMatchObject({
      commit: "0123abc",
      kernels: [{ id: "qk_norm_rope__bf16_d128_r128_neox" }],
    });
    expect(
      written.rows.map(({ tokens, q_heads, k_heads, v_heads }) => [tokens, q_heads, k_heads, v_heads]),
    ).toEqual([
      [1, 8, 1, 1],
      [64, 8, 1, 1],
    ]);
    for (const { us, floor_us, over_floor, gbps, tokens } of written.rows) {
      expect(over_floor / (us / floor_us)).toBeCloseTo(1, 2);
      expect((gbps * us * 1000) / (4 * tokens * 9 * 128)).toBeCloseTo(1, 2);
    }

    const charts = join(folder, "charts");
    const chart = await normrope([
      "chart",
      record,
      "--out",
      charts,
      "--peers",
      join(PACKAGE_ROOT, "bench/peers/h100.json"),
    ]);
    expect(chart.code).toBe(0);
    expect(chart.out).toMatch(/vllm, neox: [\d.]+ times our ratio to the floor over 2 rows/);
    expect(readdirSync(charts).sort()).toEqual([
      "neox_d128_r128_h8-1-1_ratio.svg",
      "neox_d128_r128_h8-1-1_time.svg",
    ]);
  });

  it("bench --json prints the record that it writes where --out says", { timeout: 60_000 }, async () => {
    const { folder, record, bench } = await project();
    const path = join(folder, "mine.json");
    const { code, out } = await bench("--heads", "2/1/1,1/0/0", "--tokens", "1", "--json", "--out", path);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(JSON.parse(readFileSync(path, "utf8")));
    expect(existsSync(record)).toBe(false);
  });

  it.each<[string, string[], RegExp]>([
    ["--pdl on the CPU", ["--pdl"], /\[bad-option\]: --pdl is for CUDA/],
    ["--tp without a model", ["--tp", "2"], /\[bad-option\]: --tp 2 is for a model/],
    ["a fraction of a device", ["--model", "qwen3-8b", "--tp", "1.5"], /\[bad-option\]: --tp is 1.5/],
    ["many replays", ["--replays", "1e10"], /\[bad-option\]: --replays is 10000000000/],
    [
      "what is cold for few tokens",
      ["--cache", "cold", "--tokens", "1"],
      /\[bad-option\]: --cache cold: 1 tokens are too few/,
    ],
    ["a place that is no file", ["--out", "/dev/null"], /\[bad-option\]: --out .* is no file/],
    ["no name", ["--out", ""], /\[bad-option\]: --out "" is no file/],
    ["few replays", ["--replays", "3"], /\[bad-option\]: --replays is 3[\s\S]*from 7/],
    [
      "a kernel that is not there",
      ["--model", "glm-4.5"],
      /\[bad-option\]: --model: .*holds no kernel for headDim 128, rotaryDim 64[\s\S]*Add the entry/,
    ],
    [
      "more than the memory holds",
      ["--heads", "4096/4096/4096", "--tokens", "1048576"],
      /GiB, and the device has/,
    ],
    ["a place that is not there", ["--out", "no/such/folder/bench.json"], /\[bad-option\]: --out no\/such/],
  ])("bench refuses %s, and measures nothing", async (_, args, message) => {
    const { record, bench } = await project();
    const { code, err } = await bench(...args);
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
    expect(err).not.toContain("[1/");
    expect(existsSync(record)).toBe(false);
  });

  it("bench takes heads or a model, not both", async () => {
    const { code, err } = await normrope(["bench", "--model", "qwen3-8b", "--heads", "1/1/1"]);
    expect([code, err]).toEqual([2, expect.stringContaining("mutually exclusive")]);
  });

  it("bench of a library that was not built says what to run", async () => {
    const folder = temporaryFolder();
    const { code, err } = await normrope([
      "bench",
      "--target",
      "cuda",
      "--config",
      join(folder, "normrope.config.ts"),
    ]);
    expect([code, err]).toEqual([1, expect.stringContaining("normrope build")]);
  });

  it.each<[string, (folder: string) => string[], RegExp]>([
    ["a record that is not there", (folder) => [join(folder, "no.json")], /no\.json cannot be read/],
    ["what is no record", (folder) => [join(folder, "peers.json")], /\[bad-record\]: .*peers\.json/],
    [
      "peers that are none",
      (folder) => [join(folder, "record.json"), "--peers", join(folder, "record.json")],
      /\[bad-record\]/,
    ],
    [
      "a geometry that it lacks",
      (folder) => [join(folder, "record.json"), "--geometry", "neox"],
      /--geometry neox is not in [\s\S]*neox_d128_r128_h32-8-8/,
    ],
  ])("chart refuses %s", async (_, args, message) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "record.json"), recordText(benchRecord()));
    writeFileSync(join(folder, "peers.json"), peersText);
    const { code, err } = await normrope(["chart", ...args(folder)]);
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
  });

  it("chart says nothing of a record without rows but where it is from", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "record.json"), recordText({ ...benchRecord(), rows: [] }));
    const { code, out, err } = await normrope(["chart", join(folder, "record.json"), "--out", folder]);
    expect([code, out, err]).toEqual([0, expect.stringContaining("2026-11-22"), ""]);
  });

  it("bench writes through a link, and leaves it a link", { timeout: 60_000 }, async () => {
    const { folder, bench } = await project();
    const link = join(folder, "link.json");
    writeFileSync(join(folder, "file.json"), "{}");
    symlinkSync(join(folder, "file.json"), link);
    expect((await bench("--heads", "1/1/1", "--tokens", "1", "--out", link)).code).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(
      parseBenchRecord(readFileSync(join(folder, "file.json"), "utf8"), link).rows.length,
    ).toBeGreaterThan(0);
  });

  it("chart draws the one geometry that is asked for", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "record.json"), recordText(benchRecord()));
    const drawn = await normrope([
      "chart",
      join(folder, "record.json"),
      "--out",
      folder,
      "--geometry",
      "neox_d128_r128_h32-8-8",
    ]);
    expect(drawn.out.split("\n")).toContain(join(folder, "neox_d128_r128_h32-8-8_time.svg"));
    expect(readdirSync(folder).filter((name) => name.endsWith(".svg"))).toHaveLength(2);
  });
});
