/** Python for the tests: whether there is one, what it can import, and the package on its path. */
import { join } from "node:path";
import { execa } from "execa";
import type { Target } from "../dsl/manifest.js";
import { build } from "../generator/build/build.js";
import { cpuCompiler, cudaCompiler } from "../generator/build/target_compiler.js";
import { findCxx } from "../generator/build/toolchain.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { cpuFeatures } from "../runtime/cpu_features.js";
import { CACHE_ROOT, gpu, needed, nvcc } from "./fixture.js";

const PROBE = `
import importlib.util, json, sys
has_torch = importlib.util.find_spec("torch") is not None
has_gpu = False
if has_torch:
    import torch
    has_torch = [int(part) for part in torch.__version__.split(".")[:2]] >= [2, 4]
    has_gpu = has_torch and torch.cuda.is_available()
print(json.dumps({"isNewEnough": sys.version_info >= (3, 10), "hasTorch": has_torch, "hasGpu": has_gpu}))
`;

interface Python {
  readonly path: string;
  /** One that is new enough for tensors. */
  readonly hasTorch: boolean;
  readonly hasGpu: boolean;
}

/** `NORMROPE_PYTHON`, else `python3`: undefined where it is not there, or older than 3.10. */
async function findPython(): Promise<Python | undefined> {
  const path = process.env.NORMROPE_PYTHON ?? "python3";
  const { stdout, exitCode } = await execa(path, ["-c", PROBE], { reject: false });
  if (exitCode !== 0) return undefined;
  const { isNewEnough, hasTorch, hasGpu } = JSON.parse(stdout);
  return isNewEnough ? { path, hasTorch, hasGpu } : undefined;
}

export const python = await findPython();

export async function canImport(module: string): Promise<boolean> {
  if (python === undefined) return false;
  return (await execa(python.path, ["-c", `import ${module}`], { reject: false })).exitCode === 0;
}

/** What the package and its tests are imported from. */
export const PYTHON_FOLDER = join(PACKAGE_ROOT, "python");
export const pythonEnvironment = {
  PYTHONPATH: PYTHON_FOLDER,
  PYTHONDONTWRITEBYTECODE: "1",
};

/** Where the tests of the package find its libraries. */
export const BUILDS = join(CACHE_ROOT, "..", "python");
const TESTS = join(PYTHON_FOLDER, "tests");
const CONFIGS = {
  tests: TESTS,
  single: join(TESTS, "single"),
  sentences: join(TESTS, "sentences"),
  axes: join(TESTS, "axes"),
  caches: join(TESTS, "caches"),
  dropins: join(TESTS, "dropins"),
};

/** Builds the library of a config of the package's tests, or finds it built. */
export async function buildFor(config: keyof typeof CONFIGS, target: Target): Promise<string> {
  const cxx = needed(await findCxx());
  const { library } = await build({
    files: emit(compile(join(CONFIGS[config], "normrope.config.ts"))),
    compiler:
      target === "cpu"
        ? cpuCompiler(cxx, cpuFeatures())
        : cudaCompiler(needed(nvcc), cxx, [gpu?.arch ?? "sm_90"]),
    buildFolder: join(BUILDS, config),
    cacheRoot: CACHE_ROOT,
    jobs: 2,
  });
  return library;
}
