/** Kernels of the CPU library against the oracle: those of the default space, and geometries of every kind. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findKernel } from "../dsl/manifest.js";
import type { KernelPlan, PlannedBody, PlannedStage } from "../generator/ir.js";
import { readShippedOp } from "../generator/op_file.js";
import { compile } from "../generator/pipeline.js";
import { REL_ERROR_LIMIT } from "../generator/verify/accuracy.js";
import { runBatch } from "../generator/verify/batch.js";
import { batchesFor, branchesOf, unseenBranches, VERIFY_POSITIONS } from "../generator/verify/batches.js";
import { rowsOf } from "../generator/verify/made_batch.js";
import { verifyLibrary } from "../generator/verify/verify.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { type RopeTable, ropeTable } from "../runtime/rope_table.js";
import { waysThatDiffer } from "./batch_bits.js";
import { buildFixture, buildFolder, CONFIGS, type ConfigName, compilationOf } from "./fixture.js";
import { DEFAULTS } from "./helpers.js";

const names = Object.keys(CONFIGS) as ConfigName[];

/** Whether a stage rounds as a model's code does. */
const rounds = ({ parts: { scaling, rotation } }: PlannedStage) =>
  [scaling, rotation].some((part) => part !== undefined && part !== "once");
/** Whether the last stage of a body does. */
const isRoundedLast = ({ stages }: PlannedBody) =>
  stages
    .filter(({ isSink }) => !isSink)
    .slice(-1)
    .every(rounds);

/** The least of the limit that the relative error reaches. It is of what is written in the kernel's dtype, where copies have none. */
function leastOfLimit(plan: KernelPlan | undefined): number {
  const { inputs = [], inputDtypes = {}, bodies = [] } = plan ?? {};
  const written = inputs.filter((path) => /\.(out|cache)$/.test(path));
  if (written.every((path) => inputDtypes[path] === "e4m3")) return 0;
  return bodies.some(({ stages }) => stages.every(({ isSink }) => isSink)) ? 1 / 4 : 1 / 2;
}

describe.each(names)("the %s config on the CPU", (name) => {
  let library: Library;
  beforeAll(async () => {
    await buildFixture(name, "cpu");
    library = await open({ target: "cpu", path: buildFolder(name) });
  });
  afterAll(() => library?.close());

  const { plans } = compilationOf(name);

  test("holds a kernel for each point", () => {
    expect(library.manifest.kernels.map(({ id }) => id)).toEqual(plans.map(({ id }) => id));
  });

  const tokens = 64;
  test(`gives a batch of ${tokens} tokens the bits of its tokens one by one`, async () => {
    for (const entry of plans) {
      const counts = { numTokens: tokens, numQHeads: 3, numKHeads: 1, numVHeads: 2 };
      expect(await waysThatDiffer(library, entry, counts)).toEqual([]);
    }
  });

  test("passes on every batch, with every byte around the heads unchanged", async () => {
    const results = await verifyLibrary(library);
    expect(results.filter(({ pass }) => !pass)).toEqual([]);
    expect(results.map(({ id }) => id)).toEqual(plans.map(({ id }) => id));
    for (const [i, { maxError, relError, id }] of results.entries()) {
      const limit = REL_ERROR_LIMIT[id.includes("bf16") ? "bf16" : "f16"];
      if (plans[i]?.bodies.every(isRoundedLast)) {
        // It rounds where its reference does, so that few elements differ at all.
        expect(relError, id).toBeLessThan(limit / 10);
        continue;
      }
      // What is allowed is wider behind a stage that rounds, since that may round another way.
      const isRoundedWithin = plans[i]?.bodies.some(({ stages }) => stages.some(rounds));
      if (!isRoundedWithin) expect(maxError, id).toBeGreaterThan(0.5); // it rounded something: the batches were not empty
      expect(relError, id).toBeGreaterThanOrEqual(limit * leastOfLimit(plans[i]));
    }
  });
});

test("the geometries are at least 40 beyond the default space", () => {
  const ids = (name: ConfigName) => compile(CONFIGS[name]).plans.map(({ id }) => id);
  expect(ids("geometries").filter((id) => !ids("default").includes(id)).length).toBeGreaterThanOrEqual(40);
});

test("the batches take every position, layout and count that the op allows", () => {
  const point = { headDim: 128, rotaryDim: 64, rope: "neox", dtype: "bf16", ...DEFAULTS } as const;
  const entry = findKernel(compile(CONFIGS.geometries).plans, readShippedOp(), point);
  const batches = entry === undefined ? [] : batchesFor(entry, []);
  const positions = new Set(batches.flatMap((batch) => Array.from(batch.positions, Number)));
  for (const position of VERIFY_POSITIONS) expect(positions).toContain(position);
  expect(new Set(batches.map(({ target }) => target === undefined))).toEqual(new Set([true, false]));
  expect(new Set(batches.map(({ source }) => source.q.headStride))).toEqual(new Set([128, 136]));
  expect(batches.some(({ numTokens }) => numTokens === 0)).toBe(true);
  expect(batches.some(({ numKHeads }) => numKHeads === 0)).toBe(true);
  expect(batches.some(({ positions }) => positions instanceof BigInt64Array)).toBe(true);
  expect(batches.some(({ weightForEachHead }) => weightForEachHead)).toBe(true);
});

describe("the branches of dispatch", () => {
  const point = { headDim: 96, rotaryDim: 96, rope: "neox", dtype: "bf16", ...DEFAULTS } as const;
  const entry = findKernel(compile(CONFIGS.geometries).plans, readShippedOp(), point);
  if (entry === undefined) throw new Error("the geometries lack head_dim 96");
  const groupsOf = (tokens: number) => (tokens < 100 ? 1 : tokens < 1000 ? 2 : 4);
  const launched = (tokens: number) => ({
    ...{ layout: tokens < 100 ? 0 : 1, headsPerTask: groupsOf(tokens), isDependent: false },
    slices: tokens < 5000 ? 1 : 7,
  });

  test("are each taken by the smallest batch that takes it", () => {
    const branches = branchesOf(entry, 2 ** 26, (_, tokens) => launched(tokens));
    expect(branches.map(({ tokens }) => tokens)).toEqual([1, 102, 1025, 5161, 102, 102, 102, 102, 5161]);
    const others = branches.map(({ isForThroughput }) => isForThroughput);
    expect(others).toEqual([...Array(4).fill(false), ...Array(4).fill(true), false]);
    expect(branches.map(({ weightForEachHead }) => weightForEachHead === true)).toEqual([
      ...Array(8).fill(false),
      true,
    ]);
    expect(unseenBranches(entry, branches)).toEqual([]);
  });

  test.each<[string, object, RegExp]>([
    ["a layout that is never taken", { layout: 0 }, /only 1 of 2 layouts/],
    ["tasks of one size", { headsPerTask: 1 }, /only 1 sizes of a task/],
    ["slices that are never taken", { slices: 1 }, /one slice or several/],
  ])("fail for %s", (_, always, message) => {
    const branches = branchesOf(entry, 2 ** 26, (_shape, tokens) => ({ ...launched(tokens), ...always }));
    expect(unseenBranches(entry, branches)).toEqual([expect.stringMatching(message)]);
  });

  test("fail for a shape that never takes the throughput layout", () => {
    const branches = branchesOf(entry, 2 ** 26, ({ name }, tokens) => ({
      ...launched(tokens),
      ...(name === "many tokens of few heads" ? { layout: 0 } : {}),
    }));
    expect(unseenBranches(entry, branches)).toEqual([
      expect.stringMatching(/^"many tokens of few heads, .*not seen in the throughput layout$/),
    ]);
  });
});

describe("the judge of a batch", () => {
  let library: Library;
  beforeAll(async () => {
    await buildFixture("default", "cpu");
    library = await open({ target: "cpu", path: buildFolder("default") });
  });
  afterAll(() => library?.close());

  const point = { headDim: 64, rotaryDim: 64, rope: "neox", dtype: "bf16", ...DEFAULTS } as const;
  const batch = {
    name: "small",
    numTokens: 5,
    numQHeads: 3,
    numKHeads: 2,
    source: rowsOf(64, { numTokens: 5, numQHeads: 3, numKHeads: 2 }),
    positions: Int32Array.of(0, 1, 7, 100, 4095),
    rope: ropeTable({ base: 10_000, rotaryDim: 64 }),
    eps: 1e-6,
  } as const;

  /** Runs the kernel of `point` and judges it as if it were another, or with changed entry. */
  async function judge(change: { point?: object; batch?: object; library?: Parameters<typeof runBatch>[0] }) {
    const entry = findKernel(library.manifest.kernels, readShippedOp(), point);
    if (entry === undefined) throw new Error("the default config lacks the kernel");
    const kernel = await library.kernel(point);
    const judged = { ...entry, point: { ...entry.point, ...change.point } };
    return runBatch(change.library ?? library, kernel, judged, { ...batch, ...change.batch }, 3);
  }

  test("passes the right kernel", async () => {
    const { accuracy, touched } = await judge({});
    expect(accuracy.maxError).toBeLessThanOrEqual(1);
    expect(touched).toBeUndefined();
  });

  test("fails a kernel of the other rope style", async () => {
    const { accuracy } = await judge({ point: { rope: "interleaved" } });
    expect(accuracy.maxError).toBeGreaterThan(10);
  });

  test("fails a kernel that rotates too much", async () => {
    const { accuracy } = await judge({ point: { rotaryDim: 32 } });
    expect(accuracy.maxError).toBeGreaterThan(10);
  });

  test("fails a table that is off by one part in a million at a far position", async () => {
    const off = {
      manifest: library.manifest,
      upload: library.upload.bind(library),
      synchronize: () => library.synchronize(),
      uploadRope: (table: RopeTable) =>
        library.uploadRope({ ...table, invFreq: table.invFreq.map((frequency) => frequency * (1 + 1e-6)) }),
    };
    const positions = Int32Array.of(131071, 131071, 131071, 131071, 131071);
    expect((await judge({ library: off, batch: { positions } })).accuracy.maxError).toBeGreaterThan(10);
  });
});

test("a head's bits do not depend on the batch that it came in", async () => {
  await buildFixture("default", "cpu");
  using library = await open({ target: "cpu", path: buildFolder("default") });
  const kernel = await library.kernel({ headDim: 64, rope: "interleaved", dtype: "bf16" });
  const tokens = 33;
  const data = Uint16Array.from({ length: tokens * 64 }, (_, i) => 0x3e00 + ((i * 2654435761) >>> 23));
  const positions = Int32Array.from({ length: tokens }, (_, i) => 1000 * i);
  using weight = library.upload("bf16", new Uint16Array(64).fill(0x3f80));
  using rope = library.uploadRope(ropeTable({ base: 10_000, rotaryDim: 64 }));
  const run = (bits: Uint16Array, at: Int32Array) => {
    using buffer = library.upload("bf16", bits);
    using where = library.upload("int32", at);
    const q = { in: { buffer, tokenStride: 64 }, numHeads: 1, weight };
    kernel.run({ q, numTokens: at.length, positions: where, ropeTable: rope, eps: 1e-6 });
    return buffer.read(new Uint16Array(bits.length));
  };
  const together = run(data, positions);
  const alone = positions
    .map((_, i) => i)
    .reduce((all, i) => {
      all.set(run(data.slice(64 * i, 64 * (i + 1)), positions.slice(i, i + 1)), 64 * i);
      return all;
    }, new Uint16Array(data.length));
  expect(alone).toEqual(together);
});
