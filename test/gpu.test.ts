/** The CUDA library on a real GPU. Skipped by name where there is none, or no nvcc to build with. */
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { build } from "../generator/build.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { cudaCompiler } from "../generator/target_compiler.js";
import { findCxx } from "../generator/toolchain.js";
import { packedHeads } from "../runtime/call.js";
import { bytesOf, gpuCount } from "../runtime/library.js";
import { type Library, open } from "../runtime/open.js";
import { ropeTable } from "../runtime/rope_table.js";
import { randomBits, randomNumbers, verifyLibrary } from "../runtime/verify.js";
import { buildFixture, buildFolder, CACHE_ROOT, CONFIGS, type ConfigName, gpu, nvcc } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

const missing = [...(gpuCount() === 0 ? ["a GPU"] : []), ...(nvcc === undefined ? ["nvcc"] : [])];
const here = missing.length === 0;
const reason = here ? "" : ` (needs ${missing.join(" and ")})`;

async function openCuda(config: ConfigName): Promise<Library> {
  await buildFixture(config, "cuda");
  return open({ target: "cuda", path: buildFolder(config) });
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

  test("a head's bits depend neither on the batch, nor on the stream, nor on dependent launch", async () => {
    using library = await openCuda("default");
    const point = { headDim: 128, rope: "neox", dtype: "bf16" } as const;
    const kernel = await library.kernel(point);
    const [numQHeads, numKHeads, numVHeads, tokens] = [3, 2, 1, 20_000];
    const row = (numQHeads + numKHeads + numVHeads) * point.headDim;
    const random = randomNumbers(5);
    const data = randomBits("bf16", tokens * row, random);
    using weight = library.upload("bf16", randomBits("bf16", point.headDim, random));
    using rope = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: point.headDim }));
    using stream = library.createStream();
    const run = (first: number, count: number, pdl: boolean) => {
      using qkv = library.upload("bf16", data.slice(first * row, (first + count) * row));
      using positions = library.upload(
        "int32",
        Int32Array.from({ length: count }, (_, i) => 17 * (first + i)),
      );
      const counts = { headDim: point.headDim, numQHeads, numKHeads, numVHeads };
      const heads = packedHeads({ qkv, ...counts, qWeight: weight, kWeight: weight });
      kernel.run({ ...heads, numTokens: count, positions, rope, eps: 1e-6, stream, pdl });
      stream.synchronize();
      return qkv.read(new Uint16Array(count * row));
    };
    const together = run(0, tokens, false);
    expect(Buffer.compare(bytesOf(run(0, tokens, true)), bytesOf(together))).toBe(0);
    for (const token of [0, 1, 63, 9_999, tokens - 1]) {
      expect(run(token, 1, token % 2 === 0)).toEqual(together.slice(token * row, (token + 1) * row));
    }
  });

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
      const include = ["-I", join(PACKAGE_ROOT, "generated", "include")];
      const source = join(PACKAGE_ROOT, "test", "dependent_launch.cu");
      const link = [library, "-Xlinker", `-rpath=${dirname(library)}`];
      await execa(
        nvcc.path,
        [`-arch=${device}`, "-std=c++17", ...include, source, ...link, "-o", "program"],
        { cwd: folder },
      );
      const { stdout } = await execa(join(folder, "program"), { reject: false });
      expect(stdout).toBe("0 of 20 runs differ");
    },
  );
});
