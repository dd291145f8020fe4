/** `normrope bench` and `normrope chart`, on a library for this CPU. */
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
import { expect, it } from "vitest";
import { parseBenchRecord, recordText } from "../generator/bench/record.js";
import { buildYardstick, openYardstick } from "../generator/bench/yardstick.js";
import { cpuCompiler } from "../generator/build/target_compiler.js";
import { findCxx } from "../generator/build/toolchain.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { addressOf } from "../runtime/library.js";
import { benchRecord } from "./bench_sample.js";
import { normrope, useSharedCache } from "./cli_helpers.js";
import { buildFixture, buildFolder, CACHE_ROOT, needed } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

useSharedCache();

async function project() {
  await buildFixture("default", "cpu");
  const folder = temporaryFolder();
  cpSync(join(buildFolder("default"), "cpu"), join(folder, "build", "cpu"), { recursive: true });
  const config = join(folder, "normrope.config.ts");
  const bench = (...args: string[]) => normrope(["bench", "--target", "cpu", "--config", config, ...args]);
  return { folder, record: join(folder, "build", "cpu", "bench.json"), bench };
}

it("bench measures, shows, and records, for report to draw", async () => {
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
    expect.stringMatching(
      /^\[2\/2\] qk_norm_rope__bf16_d128_r128_neox, 8\/1\/1 heads, 64 tokens, warm: [\d.]+ us$/,
    ),
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

  for (const { waited } of written.rows) expect(waited).toBeGreaterThanOrEqual(0);
  // As on a quiet machine: rows whose times spread too far would not be drawn.
  writeFileSync(
    record,
    recordText({ ...written, rows: written.rows.map((row) => ({ ...row, spread: 0, waited: 0 })) }),
  );
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
    "d128_r128_neox_h8-1-1_ratio.svg",
    "d128_r128_neox_h8-1-1_time.svg",
  ]);
});

it("bench --json prints the record that it writes where --out says", async () => {
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
  ["a fraction of a device", ["--model", "qwen3-8b", "--tp", "1.5"], /\[bad-option\]: --tp is "1\.5"/],
  ["many replays", ["--replays", "1e10"], /\[bad-option\]: --replays is "1e10"/],
  [
    "what is cold for few tokens",
    ["--memory", "cold", "--tokens", "1"],
    /\[bad-option\]: --memory cold: \d+ batches of 1 token would be needed/,
  ],
  ["a place that is no file", ["--out", "/dev/null"], /\[bad-option\]: --out .* is no file/],
  ["no name", ["--out", ""], /\[bad-option\]: --out "" is no file/],
  ["few replays", ["--replays", "3"], /\[bad-option\]: --replays is "3"[\s\S]*from 7/],
  [
    "a kernel that is not there",
    ["--model", "glm-4.5"],
    /\[bad-option\]: --model: .*holds no kernel for headDim 128, rotaryDim 64[\s\S]*normrope add rotaryDim 64/,
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

it("chart prints only the origin of a record without rows", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "record.json"), recordText({ ...benchRecord(), rows: [] }));
  const { code, out, err } = await normrope(["chart", join(folder, "record.json"), "--out", folder]);
  expect([code, out, err]).toEqual([0, expect.stringContaining("2026-11-22"), ""]);
});

it("bench writes through a link and keeps the link", async () => {
  const { folder, bench } = await project();
  const link = join(folder, "link.json");
  writeFileSync(join(folder, "file.json"), "{}");
  symlinkSync(join(folder, "file.json"), link);
  expect((await bench("--heads", "1/1/1", "--tokens", "1", "--out", link)).code).toBe(0);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(parseBenchRecord(readFileSync(join(folder, "file.json"), "utf8"), link).rows.length).toBeGreaterThan(
    0,
  );
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
    "d128_r128_neox_h32-8-8",
  ]);
  expect(drawn.out.split("\n")).toContain(join(folder, "d128_r128_neox_h32-8-8_time.svg"));
  expect(readdirSync(folder).filter((name) => name.endsWith(".svg"))).toHaveLength(2);
});

it("the floor flips signs in every vector of q and k, and leaves v alone", async () => {
  const { floor, time } = openYardstick(
    await buildYardstick(cpuCompiler(needed(await findCxx()), []), CACHE_ROOT),
    undefined,
  );
  const data = new Uint32Array(4 * 5 * 3);
  floor(addressOf(data), { rowVectors: 2, rowStride: 5, rows: 3 }, false);
  const flipped = [...data].flatMap((word, i) => (word === 0x80008000 ? [i] : []));
  expect(flipped).toEqual([0, 20, 40].flatMap((row) => Array.from({ length: 8 }, (_, i) => row + i)));
  expect([...data].filter((word) => word !== 0)).toHaveLength(flipped.length);
  const launched: number[] = [];
  expect(time((i) => launched.push(i), 3, 7)).toHaveLength(7);
  expect(launched).toEqual(Array.from({ length: 27 }, (_, i) => i % 3));
});
