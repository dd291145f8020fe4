/** The CUDA library on a real GPU. Skipped by name where there is none, or no nvcc to build with. */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { SIDES } from "../dsl/inputs.js";
import { build } from "../generator/build/build.js";
import { cudaCompiler } from "../generator/build/target_compiler.js";
import { findCxx } from "../generator/build/toolchain.js";
import type { KernelPlan } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { type Counts, headsOf } from "../generator/verify/made_call.js";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { verifyLibrary } from "../generator/verify/verify.js";
import { gpuCount } from "../runtime/library.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import { anyCall, kernelOf, rowOf } from "./any_call.js";
import { waysThatDiffer } from "./batch_bits.js";
import { buildFixture, buildFolder, CACHE_ROOT, CONFIGS, type ConfigName, gpu, nvcc } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

const missing = [...(gpuCount() === 0 ? ["a GPU"] : []), ...(nvcc === undefined ? ["nvcc"] : [])];
const here = missing.length === 0;
const reason = here ? "" : ` (needs ${missing.join(" and ")})`;

async function openCuda(config: ConfigName): Promise<Library> {
  await buildFixture(config, "cuda");
  return open({ target: "cuda", path: buildFolder(config) });
}

/** Builds a CUDA program of this folder on a library, runs it, and gives its last word. */
async function runProgram(source: string, library: string): Promise<string> {
  const folder = temporaryFolder();
  const include = ["-I", join(PACKAGE_ROOT, "generated", "include")];
  const link = [library, "-Xlinker", `-rpath=${dirname(library)}`];
  const args = [`-arch=${gpu?.arch}`, "-std=c++17", ...include, join(PACKAGE_ROOT, "test", source), ...link];
  await execa(nvcc?.path ?? "", [...args, "-o", "program"], { cwd: folder });
  const { stdout } = await execa(join(folder, "program"), { reject: false });
  return stdout;
}

/** Heads of every side, and as many tokens as fill the L2 cache with those that the kernel takes: they go in slices. */
function slicedCounts({ devices }: Library, { inputs, point }: KernelPlan) {
  const heads = { numQHeads: 32, numKHeads: 8, numVHeads: 8 };
  const ofSide = headsOf({ numTokens: 0, ...heads });
  const taken = SIDES.filter((side) => inputs.includes(`${side}.in`)).map((side) => ofSide[side]);
  const tokenBytes = 2 * point.headDim * taken.reduce((sum, count) => sum + count, 0);
  const l2Bytes = Math.max(...devices.map((device) => device.l2Bytes));
  return { ...heads, numTokens: Math.max(4096, Math.ceil(l2Bytes / tokenBytes)) };
}

/** In how many slices a batch goes. Nothing is read, so there need be no memory. */
async function slicesOf(library: Library, entry: KernelPlan, counts: Counts): Promise<number> {
  const kernel = await kernelOf(library, entry);
  const length = counts.numTokens * rowOf(entry, counts);
  using buffer = library.borrow(entry.point.dtype, { address: 2n ** 46n, length });
  using positions = library.borrow("int32", { address: 2n ** 47n, length: counts.numTokens });
  return kernel.launchInfo(anyCall(library, entry, counts)(buffer, positions)).slices;
}

describe.skipIf(!here)(`on the GPU${reason}`, () => {
  test.each(Object.keys(CONFIGS) as ConfigName[])(
    "every kernel of the %s config passes",
    { timeout: 600_000 },
    async (config) => {
      using library = await openCuda(config);
      const results = await verifyLibrary(library);
      expect(results.filter(({ pass }) => !pass)).toEqual([]);
    },
  );

  test.each(Object.keys(CONFIGS) as ConfigName[])(
    "bits of the %s config depend neither on the batch, nor on layout, slices, stream or dependent launch",
    async (config) => {
      using library = await openCuda(config);
      // Of most configs those whose heads do not lie over a power of two of lanes, a fragment each.
      const isWhole = config === "default" || config === "kv_cache";
      const plans = compile(CONFIGS[config]).plans.filter(
        ({ throughput, lanesPerHead, fragmentsPerLane }) =>
          isWhole || throughput.lanesPerHead !== lanesPerHead || fragmentsPerLane > 1,
      );
      expect(plans.length).toBeGreaterThan(3);
      for (const entry of plans) {
        const counts = slicedCounts(library, entry);
        expect(await slicesOf(library, entry, counts), entry.id).toBeGreaterThan(1);
        expect(await waysThatDiffer(library, entry, counts)).toEqual([]);
      }
    },
  );

  test.each(["the GPU's own", "an older"])(
    "a dependent launch waits, with code for %s architecture",
    async (which) => {
      const [cxx, device] = [await findCxx(), gpu?.arch];
      if (nvcc === undefined || cxx === undefined || device === undefined)
        throw new Error("should have skipped");
      const folder = temporaryFolder();
      const { library } = await build({
        files: emit(compile(CONFIGS.default)),
        compiler: cudaCompiler(nvcc, cxx, [which === "an older" ? "sm_80" : device]),
        buildFolder: folder,
        cacheRoot: CACHE_ROOT,
        jobs: 2,
      });
      expect(await runProgram("dependent_launch.cu", library)).toBe("0 of 20 runs differ");
    },
  );

  test.each(Object.keys(CONFIGS) as ConfigName[])(
    "the first run of every kernel of the %s config can be captured in a graph, which reads its inputs anew",
    async (config) => {
      const { library, manifest } = await buildFixture(config, "cuda");
      const replays = 3 * manifest.kernels.length;
      expect(await runProgram("graph_capture.cu", library)).toBe(`0 of ${replays} replays differ`);
    },
  );

  test("100 runs of the same input give the same bits", async () => {
    using library = await openCuda("default");
    for (const { point } of compile(CONFIGS.default).plans) {
      const { headDim, dtype, rotaryDim } = point;
      const kernel = await library.kernel(point);
      const data = randomBits(dtype, 2048 * 12 * headDim, randomNumbers(6));
      using buffer = library.allocate(dtype, data.length);
      using weight = library.upload(dtype, randomBits(dtype, headDim, randomNumbers(7)));
      using positions = library.upload("int32", new Int32Array(2048).fill(131_071));
      using rope = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: rotaryDim ?? 0 }));
      const q = { in: { buffer, tokenStride: 12 * headDim }, numHeads: 9, weight };
      const k = { ...q, in: { ...q.in, offset: 9 * headDim }, numHeads: 2 };
      const runs = Array.from({ length: 100 }, () => {
        buffer.write(data);
        kernel.run({ q, k, numTokens: 2048, positions, ropeTable: rope, eps: 1e-6 });
        return createHash("sha256")
          .update(buffer.read(new Uint16Array(data.length)))
          .digest("hex");
      });
      expect(new Set(runs).size, kernel.id).toBe(1);
    }
  });

  test("rows of 72 heads are right at both ends of 240,000 tokens, past 2^31 elements", async () => {
    using library = await openCuda("default");
    const [tokens, row] = [240_000, 72 * 128];
    for (const style of ["neox", "interleaved"] as const) {
      const kernel = await library.kernel({ headDim: 128, rope: style, dtype: "bf16" });
      const ends = randomBits("bf16", 2 * row, randomNumbers(4));
      using weight = library.upload("bf16", randomBits("bf16", 128, randomNumbers(5)));
      using rope = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: 128 }));
      const run = (at: Int32Array) => {
        const numTokens = at.length;
        using buffer = library.allocate("bf16", numTokens * row);
        using positions = library.upload("int32", at);
        buffer.write(ends.subarray(0, row));
        buffer.write(ends.subarray(row), (numTokens - 1) * row);
        const q = { in: { buffer, tokenStride: row }, numHeads: 56, weight };
        const k = { ...q, in: { ...q.in, offset: 56 * 128 }, numHeads: 8 };
        kernel.run({ q, k, numTokens, positions, ropeTable: rope, eps: 1e-6 });
        const first = buffer.read(new Uint16Array(row));
        return [first, buffer.read(new Uint16Array(row), (numTokens - 1) * row)];
      };
      const alone = run(Int32Array.of(0, tokens - 1));
      expect(run(Int32Array.from({ length: tokens }, (_, i) => i))).toEqual(alone);
      expect(alone).not.toEqual([ends.subarray(0, row), ends.subarray(row)]);
    }
  });

  test("a prepared call does what run does, and refuses host arrays and what was freed", async () => {
    using library = await openCuda("default");
    const kernel = await library.kernel({ headDim: 64, rope: "interleaved", dtype: "bf16" });
    const random = randomNumbers(8);
    const [before, ones] = [randomBits("bf16", 100 * 64, random), new Uint16Array(64).fill(0x3f80)];
    expect(() => library.borrow("bf16", before)).toThrow("device memory");
    using owner = library.upload("bf16", before);
    using buffer = library.borrow("bf16", { address: owner.address, length: owner.length });
    using weight = library.upload("bf16", ones);
    using positions = library.upload(
      "int64",
      BigInt64Array.from({ length: 100 }, (_, i) => 2n ** 40n + BigInt(i)),
    );
    using rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: 64 }));
    const q = { in: { buffer, tokenStride: 64 }, numHeads: 1, weight };
    const options = { q, numTokens: 100, positions, ropeTable: rope, eps: 1e-6 };
    const prepared = kernel.prepare(options);
    prepared.run();
    const after = owner.read(new Uint16Array(before.length));
    owner.write(before);
    kernel.run(options);
    expect(owner.read(new Uint16Array(before.length))).toEqual(after);
    expect(after).not.toEqual(before);
    weight.free();
    expect(() => prepared.run()).toThrow(expect.objectContaining({ code: "closed" }));
  });

  test("a kernel that is compiled on first use gives the bits of the built one, in memory and streams of another library", async () => {
    using built = await openCuda("geometries");
    const held = built.manifest.kernels.find(({ point }) => point.headDim === 96);
    if (held === undefined) throw new Error("the geometries have no head_dim 96");
    await buildFixture("default", "cuda");
    using jit = await open({ target: "cuda", path: buildFolder("default"), jit: true }); // lacks it
    const bitsOf = async (from: Library) => {
      const kernel = await from.kernel(held.point);
      const { headDim, rotaryDim, dtype } = kernel.point;
      const random = randomNumbers(9);
      const x = randomBits(dtype, 512 * 2 * headDim, random);
      using buffer = from.upload(dtype, x);
      using weight = from.upload(dtype, randomBits(dtype, headDim, random));
      using positions = from.upload(
        "int32",
        Int32Array.from({ length: 512 }, (_, i) => 1000 * i),
      );
      using rope = from.uploadRope(ropeTable({ base: 1e6, rotaryDim: rotaryDim ?? 0 }));
      using stream = from.createStream();
      using start = from.createEvent();
      using end = from.createEvent();
      const q = { in: { buffer, tokenStride: 2 * headDim }, numHeads: 2, weight };
      start.record(stream);
      kernel.run({ q, numTokens: 512, positions, ropeTable: rope, eps: 1e-6, stream });
      end.record(stream);
      expect(end.millisecondsSince(start)).toBeGreaterThan(0);
      kernel.prepare({ q, numTokens: 512, positions, ropeTable: rope, eps: 1e-6, stream, pdl: true }).run();
      stream.synchronize();
      expect(from.launches.get(kernel.id)).toBe(2);
      return buffer.read(new Uint16Array(x.length));
    };
    expect(await bitsOf(jit)).toEqual(await bitsOf(built));
  });

  test("10,000 calls with buffers, streams and events of their own leave no device memory behind", async () => {
    using library = await openCuda("default");
    const used = async () => {
      const query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
      return Number((await execa("nvidia-smi", query)).stdout.split("\n")[0]);
    };
    const kernel = await library.kernel({ headDim: 64, rope: "neox", dtype: "bf16" });
    using weight = library.upload("bf16", new Uint16Array(64));
    using positions = library.upload("int32", new Int32Array(16));
    using rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: 64 }));
    const once = () => {
      using stream = library.createStream();
      using event = library.createEvent();
      using buffer = library.allocate("bf16", 2 ** 20);
      const q = { in: { buffer, tokenStride: 64 }, numHeads: 1, weight };
      kernel.run({ q, numTokens: 16, positions, ropeTable: rope, eps: 1e-6, stream });
      event.record(stream);
    };
    for (let i = 0; i < 100; i++) once();
    const before = await used();
    for (let i = 0; i < 10_000; i++) once();
    expect((await used()) - before).toBeLessThan(64); // MiB, of 20 GiB that were allocated
  });

  test.skipIf(gpuCount() < 2)(
    `every device runs the kernels, each in its own library (needs two GPUs)`,
    async () => {
      const { library: path } = await buildFixture("default", "cuda");
      const libraries = await Promise.all(
        Array.from({ length: gpuCount() }, (_, device) => open({ target: "cuda", path, device })),
      );
      // In turns, so that each call must find its own device.
      const results = await Promise.all(libraries.map((library) => verifyLibrary(library)));
      expect(results.flat().filter(({ pass }) => !pass)).toEqual([]);
      const buffers = libraries.map((library) => library.upload("int32", Int32Array.of(7)));
      for (const buffer of buffers) expect(buffer.read(new Int32Array(1))).toEqual(Int32Array.of(7));
      for (const library of libraries) library.close();
      await expect(open({ target: "cuda", path, device: gpuCount() })).rejects.toThrow("device is");
    },
  );
});
