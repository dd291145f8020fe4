/**
 * A target's compiler with its arguments: everything that decides a build, except the sources.
 *
 * In: a found compiler, architectures or CPU features. Out: arguments, and an identity for the cache key. Pure.
 */
import type { Target } from "../../dsl/manifest.js";
import { COMPILER_FLAGS } from "../../runtime/cpu_features.js";
import { show, userError } from "../diagnostics.js";
import type { Compiler } from "./toolchain.js";

export interface TargetCompiler {
  readonly target: Target;
  readonly path: string;
  /** The C++ compiler: itself, or the one that nvcc uses. */
  readonly hostPath: string;
  /** The version texts of the compilers involved. */
  readonly identity: string;
  readonly compileArgs: readonly string[];
  readonly linkArgs: readonly string[];
  readonly archs: readonly string[];
  readonly cpuFeatures: readonly string[];
}

/** The default without a GPU and without `--arch`: Hopper, with PTX for later GPUs. */
export const DEFAULT_ARCHS: readonly string[] = ["sm_90"];

const VERSION_SCRIPT = "common/exports.map";

/** Threads of the CPU kernels and of the CUDA runtime may outlive a call, so the library must never be unmapped. */
const NO_UNLOAD = "nodelete";
const INCLUDES = ["-Icommon", "-Iinclude"];

/**
 * nvcc for a list of architectures. The newest is also kept as PTX, for later GPUs.
 * @throws UserError `bad-option`, `no-compiler`.
 */
export function cudaCompiler(nvcc: Compiler, host: Compiler, archs: readonly string[]): TargetCompiler {
  for (const { path } of [nvcc, host]) requireNoShellSyntax(path);
  const numbers = [...new Set(archs.map(archNumber))].sort(
    (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10),
  );
  const newest = numbers.at(-1);
  const code = numbers.map((number) => {
    const targets = number === newest ? `[sm_${number},compute_${number}]` : `sm_${number}`;
    return `-gencode=arch=compute_${number},code=${targets}`;
  });
  return {
    target: "cuda",
    path: nvcc.path,
    hostPath: host.path,
    identity: `${nvcc.version}\n${host.version}`,
    compileArgs: [
      "-std=c++17",
      "-O3",
      "-ccbin",
      host.path,
      ...code,
      "-Xptxas=-v",
      "-Xcompiler=-fPIC,-Wall",
      ...INCLUDES,
    ],
    linkArgs: [
      "-shared",
      "-cudart=static",
      "-ccbin",
      host.path,
      "-Xlinker",
      `--version-script=${VERSION_SCRIPT}`,
      "-Xlinker",
      "-z",
      "-Xlinker",
      NO_UNLOAD,
    ],
    archs: numbers.map((number) => `sm_${number}`),
    cpuFeatures: [],
  };
}

/** nvcc pastes these paths unquoted into `sh` lines that run its tools and the C++ compiler. */
function requireNoShellSyntax(path: string): void {
  if (/^[\p{L}\p{N}_./+@%:,=-]+$/u.test(path)) return;
  throw userError(
    "no-compiler",
    `nvcc hands ${JSON.stringify(path)} to a shell, which would read it as something else`,
    "name the compiler by a path without spaces and special characters: a symbolic link will do",
  );
}

/** @throws UserError `bad-option` for an unknown architecture. */
export function parseArchs(list: string): string[] {
  return list.split(",").map((arch) => `sm_${archNumber(arch)}`);
}

function archNumber(arch: string): string {
  const number = /^sm_(\d{2,3})$/.exec(arch)?.[1];
  if (number !== undefined && Number.parseInt(number, 10) >= 80) return number;
  throw userError(
    "bad-option",
    `--arch ${show(arch)} is no architecture that normrope builds for`,
    "write sm_80 or newer, several with commas: --arch sm_90,sm_100",
  );
}

/** The C++ compiler for the features of this CPU. */
export function cpuCompiler(cxx: Compiler, features: readonly string[]): TargetCompiler {
  const instructions = features.flatMap((feature) => COMPILER_FLAGS[feature] ?? []);
  return {
    target: "cpu",
    path: cxx.path,
    hostPath: cxx.path,
    identity: cxx.version,
    compileArgs: [
      "-std=c++17",
      "-O3",
      "-fPIC",
      "-Wall",
      "-Wextra",
      "-fno-math-errno",
      "-fopenmp-simd",
      "-pthread",
      ...instructions,
      ...INCLUDES,
    ],
    linkArgs: ["-shared", "-pthread", `-Wl,--version-script=${VERSION_SCRIPT}`, `-Wl,-z,${NO_UNLOAD}`],
    archs: [],
    cpuFeatures: features,
  };
}
