/**
 * Compiling on first use: one point → a library of its own in the cache.
 *
 * In: an op, a point and a target. Out: the library's file, from the user's cache or one that is read-only, or made now.
 * What only compiling needs is imported only then: execa and Handlebars take longer to import than to find a library.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { cpuFeatures } from "../runtime/cpu_features.js";
import {
  type BuiltManifest,
  type ConfigPoint,
  LIBRARY_NAME,
  MANIFEST_NAME,
  type Manifest,
  parseBuiltManifest,
  type Target,
} from "../runtime/manifest.js";
import { cacheKey, findCached } from "./cache.js";
import { cacheRoot, KERNELS, readOnlyCaches } from "./cache_folder.js";
import { UserError } from "./diagnostics.js";
import type { Op } from "./ir.js";
import { kernelId } from "./name.js";
import { readShippedOp } from "./op_file.js";
import { COMPILER_VERSION, PACKAGE_ROOT } from "./package_root.js";
import type { TargetCompiler } from "./target_compiler.js";
import { compilerFor } from "./toolchain.js";

export { UserError };

export interface JitRequest {
  /** Default: the op that ships with normrope. */
  readonly op?: Manifest["op"] | undefined;
  /** None: a library without kernels, for memory, devices and streams. */
  readonly point?: ConfigPoint | undefined;
  readonly target: Target;
  /** CUDA: what it has to run on, such as `sm_90`; without, the default of `build`. */
  readonly archs?: readonly string[] | undefined;
  /** Tries out a library that was made, before others can find it. What it throws is passed on. */
  readonly load: (library: string) => unknown;
}

export interface JitLibrary {
  readonly library: string;
  /** Whether it was there already. */
  readonly hit: boolean;
}

/** Why there is no library, where nothing is to be compiled or nothing can. */
export interface JitMiss {
  readonly reason: string;
  readonly fix: string;
}

const FILES = [LIBRARY_NAME, MANIFEST_NAME];

/** The folder of the libraries that have no kernel. */
const NO_KERNEL = "none";

/**
 * The library of a point. Where there is a compiler its version is part of what is looked for; where there is none, or
 * `NORMROPE_JIT` is 0, any library of this version of normrope serves that this machine can run.
 * @throws UserError `compile-failed`, `compile-timeout`, `cache-unusable`, `no-compiler` for one that is named wrongly.
 */
export async function provideLibrary(request: JitRequest): Promise<JitLibrary | JitMiss> {
  const op = withSource(request.op);
  const shelf = join(KERNELS, request.point === undefined ? NO_KERNEL : kernelId(op.name, request.point));
  const roots = [cacheRoot(), ...readOnlyCaches()];
  const found = await chooseCompiler(request);
  if ("reason" in found) {
    const library = findRunnable(roots, shelf, op, request);
    return library === undefined ? found : { library, hit: true };
  }
  const key = cacheKey([emitterKey(found.target), op, keyOf(found)]); // the point is in the shelf's name
  for (const root of roots) {
    const folder = findCached(root, key, FILES, shelf);
    if (folder !== undefined) return { library: join(folder, LIBRARY_NAME), hit: true };
  }
  const { compilePoint } = await import("./jit_compile.js");
  return compilePoint({ ...request, op, compiler: found, cacheRoot: cacheRoot(), shelf, key, files: FILES });
}

async function chooseCompiler({ target, archs }: JitRequest): Promise<TargetCompiler | JitMiss> {
  if (process.env.NORMROPE_JIT === "0") {
    return { reason: "NORMROPE_JIT is 0", fix: "Unset it to have kernels compiled when they are first used" };
  }
  try {
    return await compilerFor(target, archs);
  } catch (error) {
    const [problem] = error instanceof UserError ? error.diagnostics : [];
    if (problem === undefined) throw error;
    return { reason: problem.message, fix: problem.fix };
  }
}

/** Everything of a compiler that decides what it makes. */
function keyOf({ target, path, identity, compileArgs, linkArgs }: TargetCompiler) {
  return { target, path, identity, compileArgs, linkArgs, arch: process.arch };
}

/** The modules that decide the emitted text: all that `plan`, `render` and `templates` import, as the tests see. */
export const EMITTERS = ["name", "plan", "render", "spelling", "templates", "view"];

/** What the emitted text is made from, besides op and plans. To render it would take as long as all else. */
function emitterKey(target: Target): readonly unknown[] {
  const self = fileURLToPath(import.meta.url);
  const code = EMITTERS.map((name) => join(self, "..", name + extname(self)));
  const folders = [target, "common", "include"].map((folder) => join(PACKAGE_ROOT, "templates", folder));
  const texts = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.\w+$/.test(name))
      .sort()
      .map((name) => join(folder, name)),
  );
  return [COMPILER_VERSION, ...[...code, ...texts].map((path) => readFileSync(path, "utf8"))];
}

/** The op of an open library: that which ships, or one of the user's own. */
function withSource(op: Manifest["op"] | undefined): Op {
  const { source, ...shipped } = readShippedOp();
  return op === undefined || isDeepStrictEqual(op, shipped)
    ? { ...shipped, source }
    : { ...op, source: "the op of an open library" };
}

/** The library of a shelf that this machine can run, whatever compiler made it; before others one for just its device. */
function findRunnable(
  roots: readonly string[],
  shelf: string,
  op: Op,
  request: JitRequest,
): string | undefined {
  const runnable = roots.flatMap((root) => {
    const folder = join(root, shelf);
    const keys = existsSync(folder) ? readdirSync(folder).sort() : [];
    const found = keys.flatMap((key) => findCached(root, key, FILES, shelf) ?? []);
    return found
      .map((entry) => ({ entry, manifest: readManifest(entry) }))
      .filter(({ manifest }) => canRun(manifest, op, request));
  });
  const isForDevice = ({ build }: BuiltManifest) =>
    request.archs?.every((arch) => build.archs.includes(arch));
  const best = runnable.find(({ manifest }) => isForDevice(manifest)) ?? runnable[0];
  return best && join(best.entry, LIBRARY_NAME);
}

function readManifest(folder: string): BuiltManifest {
  const path = join(folder, MANIFEST_NAME);
  return parseBuiltManifest(readFileSync(path, "utf8"), path);
}

function canRun(manifest: BuiltManifest, { source: _, ...op }: Op, { target, archs = [] }: JitRequest) {
  const { build, compiler } = manifest;
  const features = cpuFeatures();
  return (
    compiler === COMPILER_VERSION &&
    isDeepStrictEqual(manifest.op, op) &&
    build.target === target &&
    build.cpuArch === process.arch &&
    build.cpuFeatures.every((feature) => features.includes(feature)) &&
    archs.every((arch) => runsOn(arch, build.archs))
  );
}

/** Code runs on later devices of its generation, and that for the newest architecture, which is there as PTX, on any later. */
function runsOn(arch: string, builtFor: readonly string[]): boolean {
  const numbers = builtFor.map((name) => Number(name.slice("sm_".length)));
  const device = Number(arch.slice("sm_".length));
  const generation = (number: number) => Math.floor(number / 10);
  return (
    Math.max(...numbers) <= device ||
    numbers.some((number) => generation(number) === generation(device) && number <= device)
  );
}
