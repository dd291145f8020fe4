/** nvcc's arguments, and what it makes of the kernels that take most. */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuildResult, build } from "../generator/build/build.js";
import { cudaCompiler } from "../generator/build/target_compiler.js";
import type { KernelPlan } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { gpuCount } from "../runtime/library.js";
import { open } from "../runtime/open.js";
import { cuda, JOBS, nvcc, project } from "./building.js";
import { neoxId, normrope } from "./cli_helpers.js";
import { CACHE_ROOT, CONFIGS } from "./fixture.js";
import { compileText, IS_LONG, spaceOf, temporaryFolder } from "./helpers.js";

const nvccMissing = nvcc === undefined ? " (skipped: needs nvcc, and none was found)" : "";

/** What builds share that are not about the cache; removed after the last test. */
const shared = mkdtempSync(join(tmpdir(), "normrope-build-"));
afterAll(() => rmSync(shared, { recursive: true, force: true }));
const sharedCache = join(shared, "cache");

describe("cudaCompiler", () => {
  const [host, device] = [
    { path: "g++", version: "g++ 12" },
    { path: "nvcc", version: "nvcc 13" },
  ];
  const archsOf = (...archs: string[]) => cudaCompiler(device, host, archs);

  it("names each architecture once, in order, and keeps the newest as PTX", () => {
    const { archs, compileArgs } = archsOf("sm_100", "sm_90", "sm_120", "sm_90");
    expect(archs).toEqual(["sm_90", "sm_100", "sm_120"]);
    expect(compileArgs.filter((argument) => argument.startsWith("-gencode"))).toEqual([
      "-gencode=arch=compute_90,code=sm_90",
      "-gencode=arch=compute_100,code=sm_100",
      "-gencode=arch=compute_120,code=[sm_120,compute_120]",
    ]);
  });

  it.each(["sm_70", "sm_79", "sm_9", "sm90", "90", "banana", "", "sm_90 ", "sm_90x"])(
    "refuses %j",
    (arch) => {
      expect(() => archsOf("sm_90", arch)).toThrow(`error [bad-option]: --arch ${JSON.stringify(arch)}`);
    },
  );
});

/** All geometries or, where there is no time for that, the first of each that is more than a fragment a lane over a power of two of lanes. */
function largest(plans: readonly KernelPlan[]): KernelPlan[] {
  if (IS_LONG) return [...plans];
  const pairs = ({ fragmentsPerLane, vectorElements }: KernelPlan) => vectorElements * fragmentsPerLane;
  const seen = new Set<string>();
  const isNew = (kind: string) => !seen.has(kind) && seen.add(kind);
  return plans.filter((plan) => {
    const { point, fragmentsPerLane, lanesPerHead, throughput } = plan;
    const isOdd = fragmentsPerLane > 1 || throughput.lanesPerHead !== lanesPerHead;
    return isOdd && isNew(`${point.rope} ${pairs(plan)} ${throughput.lanesPerHead}`);
  });
}

describe.skipIf(nvcc === undefined)(`nvcc${nvccMissing}`, () => {
  // sm_80 has no instruction for FP8.
  it("compiles a kernel of FP8 for every architecture that is promised", async () => {
    const archs = ["sm_80", "sm_89", "sm_90", "sm_100", "sm_120"];
    const files = emit(
      compileText(spaceOf('{ headDim: [16], rope: ["neox"], dtype: ["bf16"], cache: ["e4m3"] }')),
    );
    const { manifest } = await project().run(files, { compiler: cuda(...archs) });
    expect(manifest.build.archs).toEqual(archs);
    const resources = manifest.build.resources[`${neoxId(16)}_kv8`] ?? [];
    expect(resources.map(({ arch }) => arch).sort()).toEqual(archs.sort());
    expect(resources.filter(({ registers }) => registers < 8)).toEqual([]);
  });

  describe("on the default config", () => {
    let built: BuildResult | undefined;
    const result = (): BuildResult => {
      if (built === undefined) throw new Error("the build failed");
      return built;
    };
    beforeAll(async () => {
      const files = emit(compile(join(PACKAGE_ROOT, "normrope.config.ts")));
      const buildFolder = join(shared, "default");
      built = await build({
        files,
        compiler: cuda("sm_90"),
        buildFolder,
        cacheRoot: sharedCache,
        jobs: JOBS,
      });
    });

    it("spills nothing and needs no stack, nor in the largest geometries", async () => {
      const { plans, ...rest } = compile(CONFIGS.geometries);
      const geometries = await build({
        files: emit({ ...rest, plans: largest(plans) }),
        compiler: cuda("sm_90"),
        buildFolder: join(shared, "geometries"),
        cacheRoot: CACHE_ROOT,
        jobs: JOBS,
      });
      for (const { manifest, warnings } of [result(), geometries]) {
        const kernels = Object.entries(manifest.build.resources);
        expect(kernels.map(([id]) => id).sort()).toEqual(manifest.kernels.map(({ id }) => id).sort());
        expect(kernels.length).toBeGreaterThan(0);
        for (const [id, resources] of kernels) {
          expect(resources, id).toMatchObject([
            { arch: "sm_90", stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 },
          ]);
        }
        expect(warnings).toEqual([]);
      }
    });

    it("makes a library that is not opened as one for the CPU", async () => {
      const opening = open({ target: "cpu", path: result().library });
      await expect(opening).rejects.toMatchObject({ code: "invalid-argument" });
    });

    const gpus = gpuCount();
    it.skipIf(gpus > 0)(
      `makes a library that opens without a GPU, and says so on use${gpus > 0 ? ` (skipped: there are ${gpus})` : ""}`,
      async () => {
        using library = await open({ target: "cuda", path: join(shared, "default") });
        expect(library.target).toBe("cuda");
        expect(library.devices).toEqual([]);
        expect(() => library.allocate("bf16", 16)).toThrow(
          expect.objectContaining({ name: "NormropeError", code: "no-device" }),
        );
        const folder = temporaryFolder();
        symlinkSync(join(shared, "default"), join(folder, "build"));
        for (const command of ["verify", "bench"]) {
          const config = join(folder, "normrope.config.ts");
          const { code, err } = await normrope([command, "--target", "cuda", "--config", config]);
          expect([code, err]).toEqual([
            1,
            expect.stringMatching(/no GPU was found to .*\n {2}fix: add --target cpu/),
          ]);
        }
      },
    );
  });
});
