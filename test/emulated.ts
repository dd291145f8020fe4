/**
 * CUDA libraries for a machine without a GPU: emitted files, compiled by the C++ compiler to run on test/emulator.
 *
 * In: a file set. Out: a library that the runtime opens as a CUDA one. Every emitted file is compiled as it is, but for
 * ptx.cuh, whose inline assembly has a stand-in.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildResult, build } from "../generator/build/build.js";
import { runCompiler, writeInputs } from "../generator/build/run_compiler.js";
import type { TargetCompiler } from "../generator/build/target_compiler.js";
import { type Compiler, findCxx } from "../generator/build/toolchain.js";
import { cached, cacheKey } from "../generator/cache/cache.js";
import type { FileSet } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { emit } from "../generator/pipeline.js";
import { buildFolder, CACHE_ROOT, type ConfigName, compilationOf, needed } from "./fixture.js";

const EMULATOR = join(PACKAGE_ROOT, "test", "emulator");

const EMULATOR_FILES: FileSet = readdirSync(EMULATOR)
  .filter((name) => /\.(cpp|hpp|h|cuh)$/.test(name))
  .sort()
  .map((name) => ({ path: name, text: readFileSync(join(EMULATOR, name), "utf8") }));

// Without _FORTIFY_SOURCE, which takes the change to another fibre's stack for a fault.
const CUDA = [
  "-std=c++17",
  "-g1",
  "-U_FORTIFY_SOURCE",
  "-fPIC",
  "-Wall",
  "-Wno-unknown-pragmas",
  "-include",
  "cuda_runtime.h",
];

/**
 * For emulated code: a call before every access to memory and before what is undefined, variables that start as what
 * is far from any number in use, and no two places in the source made into one or one into two.
 */
const WATCHED = [
  "-O1",
  "-ffp-contract=off",
  "-fsanitize=thread",
  "-fsanitize=alignment,null,shift,signed-integer-overflow,integer-divide-by-zero,bounds,float-cast-overflow",
  "-ftrivial-auto-var-init=pattern",
  "-fno-thread-jumps",
];

/** Emitted files with the stand-in for what only a GPU can run. */
export function emulatedFiles(files: FileSet): FileSet {
  return files.map((file) => {
    const standIn = EMULATOR_FILES.find(({ path }) => file.path === `cuda/${path}`);
    return standIn === undefined ? file : { ...file, text: standIn.text };
  });
}

/**
 * Builds the library of emitted files, or finds it built, in `folder`, which `open` takes as `path`.
 *
 * @param buildWith the `build` of the package that emitted them
 */
export async function buildEmulated(
  files: FileSet,
  folder: string,
  buildWith: typeof build = build,
): Promise<BuildResult> {
  const cxx = needed(await findCxx());
  const emulated = emulatedFiles(files);
  const { objects, key } = await compileEmulator(cxx, emulated);
  const compiler: TargetCompiler = {
    target: "cuda",
    path: cxx.path,
    hostPath: cxx.path,
    identity: key,
    compileArgs: [...CUDA, ...WATCHED, "-I", EMULATOR, "-Icommon", "-Iinclude", "-x", "c++"],
    linkArgs: ["-shared", "-Wl,--version-script=common/exports.map", "-Wl,-z,defs", ...objects],
    archs: ["sm_90"],
    cpuFeatures: [],
  };
  return buildWith({ files: emulated, compiler, buildFolder: folder, cacheRoot: CACHE_ROOT, jobs: 2 });
}

/** Builds the emulated library of a config of the tests, or finds it built. */
export function buildEmulatedFixture(name: ConfigName): Promise<BuildResult> {
  return buildEmulated(emit(compilationOf(name)), `${buildFolder(name)}-emulated`);
}

/** Builds a program of test/emulator, kernels and host code in one file, and gives its path. */
export async function buildEmulatedProgram(files: FileSet, source: string): Promise<string> {
  const cxx = needed(await findCxx());
  const emulated = emulatedFiles(files);
  const { objects, key } = await compileEmulator(cxx, emulated);
  const inputs = emulated.filter(({ path }) => /^(cuda|common)\/.*\.(cuh|hpp)$/.test(path));
  const args = [
    ...CUDA,
    ...WATCHED,
    "-I",
    EMULATOR,
    "-Icuda",
    "-Icommon",
    "-x",
    "c++",
    "-c",
    join(EMULATOR, source),
  ];
  const text = readFileSync(join(EMULATOR, source), "utf8");
  const { folder } = await cached(
    CACHE_ROOT,
    cacheKey([key, args, text, inputs]),
    ["program"],
    async (staging) => {
      writeInputs(staging, inputs);
      const run = { path: cxx.path, cwd: staging, name: source };
      await runCompiler({ ...run, args: [...args, "-o", "program.o"] });
      // Without -fsanitize here: the hooks are the emulator's, not the sanitizers' own.
      await runCompiler({ ...run, args: ["program.o", ...objects, "-o", "program"] });
    },
  );
  return join(folder, "program");
}

/** The emulator itself, for kernels whose parameters are what the files' params.hpp says. */
async function compileEmulator(cxx: Compiler, files: FileSet) {
  const params = files.filter(({ path }) => path === "cuda/params.hpp");
  const inputs = [...EMULATOR_FILES, ...params.map(({ text }) => ({ path: "params.hpp", text }))];
  const sources = EMULATOR_FILES.map(({ path }) => path).filter((path) => path.endsWith(".cpp"));
  const names = sources.map((source) => source.replace(/cpp$/, "o"));
  const args = [...CUDA, "-O2", "-I.", "-c", ...sources];
  const key = cacheKey([cxx.version, args, WATCHED, inputs]);
  const { folder } = await cached(CACHE_ROOT, key, names, async (staging) => {
    writeInputs(staging, inputs);
    await runCompiler({ path: cxx.path, args, cwd: staging, name: "emulator" });
  });
  return { key, objects: names.map((name) => join(folder, name)) };
}
