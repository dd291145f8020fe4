/** Libraries that several tests share: built once into a folder that git and npm ignore, from the real compilers. */
import { join } from "node:path";
import { type BuildResult, build } from "../generator/build.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { cpuCompiler, cudaCompiler, DEFAULT_ARCHS } from "../generator/target_compiler.js";
import { type Compiler, findCxx, findGpu, findNvcc } from "../generator/toolchain.js";
import { cpuFeatures } from "../runtime/cpu_features.js";
import type { Target } from "../runtime/manifest.js";

export const CONFIGS = {
  default: join(PACKAGE_ROOT, "normrope.config.ts"),
  geometries: join(PACKAGE_ROOT, "test", "geometries.config.ts"),
} as const;
export type ConfigName = keyof typeof CONFIGS;

const FOLDER = join(PACKAGE_ROOT, "node_modules", ".cache", "normrope-test");
export const CACHE_ROOT = join(FOLDER, "cache");

export const nvcc = await findNvcc();
export const gpu = await findGpu();

/** A compiler without which a test should have skipped, or cannot run at all. */
export function needed(compiler: Compiler | undefined): Compiler {
  if (compiler === undefined) throw new Error("the tests need a C++ compiler, and the CUDA ones nvcc");
  return compiler;
}

/** The folder that `open` takes as `path`. */
export function buildFolder(config: ConfigName): string {
  return join(FOLDER, config);
}

/** Builds a config's library, or finds it built. */
export async function buildFixture(config: ConfigName, target: Target): Promise<BuildResult> {
  const cxx = needed(await findCxx());
  return build({
    files: emit(compile(CONFIGS[config])),
    compiler: target === "cpu" ? cpuCompiler(cxx, cpuFeatures()) : cudaFixtureCompiler(cxx),
    buildFolder: buildFolder(config),
    cacheRoot: CACHE_ROOT,
    jobs: 2,
  });
}

function cudaFixtureCompiler(cxx: Compiler) {
  return cudaCompiler(needed(nvcc), cxx, gpu === undefined ? DEFAULT_ARCHS : [gpu.arch]);
}
