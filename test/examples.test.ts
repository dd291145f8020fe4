/** examples/: built with the plain C compiler against the emitted header, linked both ways, and run. */
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import type { Target } from "../dsl/manifest.js";
import { build } from "../generator/build/build.js";
import { cpuCompiler, cudaCompiler } from "../generator/build/target_compiler.js";
import { findCxx } from "../generator/build/toolchain.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { cpuFeatures } from "../runtime/cpu_features.js";
import { gpuCount } from "../runtime/library.js";
import { CACHE_ROOT, CONFIGS, gpu, needed, nvcc } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

const SOURCE = join(PACKAGE_ROOT, "examples", "c", "qk_norm_rope.c");
const INCLUDE = join(PACKAGE_ROOT, "generated", "include");
const WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"];
/** Builds the default config's library and the example on it, and runs it. */
async function runExample(target: Target, archive: boolean) {
  const cxx = needed(await findCxx());
  const folder = temporaryFolder();
  const built = await build({
    files: emit(compile(CONFIGS.default)),
    compiler:
      target === "cpu"
        ? cpuCompiler(cxx, cpuFeatures())
        : cudaCompiler(needed(nvcc), cxx, [gpu?.arch ?? "sm_90"]),
    buildFolder: join(folder, "build"),
    cacheRoot: CACHE_ROOT,
    jobs: 2,
    archive,
  });
  const where = dirname(built.library);
  const [object, program] = [join(folder, "qk_norm_rope.o"), join(folder, "qk_norm_rope")];
  await execa("cc", [...WARNINGS, "-c", SOURCE, "-I", INCLUDE, "-o", object]);
  if (built.archive === undefined) {
    await execa("cc", [object, "-L", where, "-lnormrope", `-Wl,-rpath,${where}`, "-lm", "-o", program]);
  } else if (target === "cpu") {
    await execa(cxx.path, ["-pthread", object, built.archive, "-o", program]);
  } else {
    await execa(needed(nvcc).path, ["-ccbin", cxx.path, object, built.archive, "-o", program]);
  }
  return execa(program, { reject: false });
}

const PASSES = "qk_norm_rope__bf16_d128_r128_neox: 0 of 2048 elements are wrong";

describe("examples/c", () => {
  it.each([
    ["library", false],
    ["archive", true],
  ])("runs on the CPU %s and finds every element right", async (_, archive) => {
    const { exitCode, stdout, stderr } = await runExample("cpu", archive);
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: PASSES, stderr: "" });
  });

  it.skipIf(nvcc === undefined)(
    "links the CUDA archive, and says it where there is no GPU (needs nvcc)",
    async () => {
      const { exitCode, stdout, stderr } = await runExample("cuda", true);
      if (gpuCount() > 0) expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: PASSES });
      else {
        expect(stderr).toMatch(/^allocate: no device: cudaMalloc: /);
        expect(exitCode).toBe(1);
      }
    },
  );

  it("is C++ too, as far as the header goes", async () => {
    const header = "#include <normrope.h>\nint main() { return normrope_abi() == NORMROPE_ABI; }\n";
    const flags = [
      "-std=c++11",
      "-Wall",
      "-Wextra",
      "-pedantic",
      "-Werror",
      "-fsyntax-only",
      "-x",
      "c++",
      "-",
    ];
    const { path } = needed(await findCxx());
    await execa(path, ["-I", INCLUDE, ...flags], { input: header });
  });
});
