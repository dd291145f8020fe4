/**
 * The compilers and the GPU of this machine.
 *
 * In: the environment. Out: nvcc and the C++ compiler with their versions, the GPU, and the compiler of a target. Compiles
 * nothing: it asks each tool for its version only.
 */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import type { Target } from "../../dsl/manifest.js";
import { cpuFeatures } from "../../runtime/cpu_features.js";
import { userError } from "../diagnostics.js";
import { bothEnds, guardGroup } from "./process_group.js";
import { cpuCompiler, cudaCompiler, DEFAULT_ARCHS, type TargetCompiler } from "./target_compiler.js";

/** A tool that does not print its version in this time counts as broken. */
const QUERY_TIMEOUT_S = 30;

export interface Compiler {
  readonly path: string;
  /** The compiler's whole version text. Keys contain it. */
  readonly version: string;
}

export interface Gpu {
  readonly name: string;
  /** The architecture in nvcc's spelling: `sm_90`. */
  readonly arch: string;
  readonly driver: string;
}

/**
 * nvcc by `NORMROPE_NVCC` (a path, or `none` to do without), then `CUDA_HOME`, the PATH, /usr/local/cuda.
 * @throws UserError `no-compiler` if NORMROPE_NVCC names a file that cannot be run.
 */
export async function findNvcc(env: NodeJS.ProcessEnv = process.env): Promise<Compiler | undefined> {
  const named = env.NORMROPE_NVCC;
  if (named === "none") return undefined;
  if (named) {
    const path = resolve(named); // runs start in other folders
    const compiler = isExecutable(path) ? await askVersion(path) : undefined;
    if (compiler !== undefined) return compiler;
    throw userError(
      "no-compiler",
      `NORMROPE_NVCC is ${named}, which does not run`,
      "set it to the path of nvcc, or to `none` to do without CUDA",
    );
  }
  const candidates = [
    ...(env.CUDA_HOME ? [join(env.CUDA_HOME, "bin", "nvcc")] : []),
    ...onPath("nvcc", env),
    "/usr/local/cuda/bin/nvcc",
  ];
  return firstThatRuns(candidates);
}

/**
 * The C++ compiler: `CXX`, else g++, c++ or clang++ on the PATH.
 * @throws UserError `no-compiler` if CXX names a file that cannot be run.
 */
export async function findCxx(): Promise<Compiler | undefined> {
  const { env } = process;
  const names = env.CXX ? [env.CXX] : ["g++", "c++", "clang++"];
  const found = await firstThatRuns(
    names.flatMap((name) => (name.includes("/") ? [resolve(name)] : onPath(name, env))),
  );
  if (found !== undefined || !env.CXX) return found;
  throw userError(
    "no-compiler",
    `CXX is ${env.CXX}, which does not run`,
    "set it to the path of a C++ compiler",
  );
}

/**
 * The compiler of a target on this machine.
 * @throws UserError `no-compiler`, `bad-option`.
 */
export async function compilerFor(
  target: Target,
  archs: readonly string[] | undefined,
): Promise<TargetCompiler> {
  const [cxx, nvcc] = await Promise.all([findCxx(), target === "cuda" ? findNvcc() : undefined]);
  if (cxx === undefined) {
    throw userError("no-compiler", "no C++ compiler was found", "install g++, or set CXX to the path of one");
  }
  if (target === "cpu") return cpuCompiler(cxx, cpuFeatures());
  if (nvcc === undefined) {
    const fix = "install the CUDA toolkit, or set NORMROPE_NVCC to the path of nvcc; --target cpu needs none";
    throw userError("no-compiler", "nvcc was not found, and target cuda needs it", fix);
  }
  const gpu = archs === undefined ? await findGpu() : undefined;
  return cudaCompiler(nvcc, cxx, archs ?? (gpu === undefined ? DEFAULT_ARCHS : [gpu.arch]));
}

/** The first GPU that the driver shows; undefined without a driver or GPU. */
export async function findGpu(): Promise<Gpu | undefined> {
  const [tool] = onPath("nvidia-smi", process.env).filter(isExecutable);
  if (tool === undefined) return undefined;
  const query = ["--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"];
  const [line = ""] = (await ask(tool, query))?.split("\n") ?? [];
  const [name, capability, driver] = line.split(",").map((part) => part.trim());
  const number = /^(\d+)\.(\d+)$/.exec(capability ?? "");
  if (!name || !driver || number === null) return undefined;
  return { name, arch: `sm_${number[1]}${number[2]}`, driver };
}

/** The commit of a folder's sources, with `-dirty` after it if they differ; undefined outside of git. */
export async function sourceCommit(folder: string): Promise<string | undefined> {
  const args = ["-C", folder, "describe", "--always", "--dirty", "--exclude=*"];
  return (await ask("git", args)) || undefined;
}

async function firstThatRuns(candidates: readonly string[]): Promise<Compiler | undefined> {
  for (const path of candidates.filter(isExecutable)) {
    const compiler = await askVersion(path);
    if (compiler !== undefined) return compiler;
  }
  return undefined;
}

async function askVersion(path: string): Promise<Compiler | undefined> {
  const version = await ask(path, ["--version"]);
  return version === undefined ? undefined : { path, version: version.trim() };
}

/**
 * The output of a tool; undefined if it fails or takes too long. Not by execa, whose import takes longer than finding a
 * compiled kernel.
 */
async function ask(path: string, args: readonly string[]): Promise<string | undefined> {
  const child = spawn(path, args, { stdio: ["ignore", "pipe", "ignore"], detached: true });
  const guard = guardGroup(child, child.stdout, QUERY_TIMEOUT_S);
  try {
    const ended = new Promise<number | null>((resolve) => {
      child.once("error", () => resolve(null)).once("exit", resolve);
    });
    const [exitCode, output] = await Promise.all([ended, bothEnds(child.stdout)]);
    return exitCode === 0 && !guard.timedOut() ? output : undefined;
  } finally {
    guard.release();
  }
}

/** The paths that a program of this name could have, in the order of PATH. */
export function onPath(name: string, env: NodeJS.ProcessEnv): string[] {
  return (env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => resolve(folder, name));
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
