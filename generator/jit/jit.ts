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
import { STAGES } from "../../dsl/axes.js";
import { cpuFeatures } from "../../runtime/cpu_features.js";
import {
  type BuiltManifest,
  type ConfigPoint,
  LIBRARY_NAME,
  MANIFEST_NAME,
  type ManifestOp,
  type Target,
} from "../../runtime/manifest.js";
import type { TargetCompiler } from "../build/target_compiler.js";
import { compilerFor } from "../build/toolchain.js";
import { cacheKey, findCached, keysIn } from "../cache/cache.js";
import { manifestIn } from "../cache/contents.js";
import { cacheRoot, KERNELS, readOnlyCaches } from "../cache/folder.js";
import { quoted, reasonOf, show, UserError, userError } from "../diagnostics.js";
import type { Op } from "../ir.js";
import { kernelId } from "../name.js";
import { readShippedOp } from "../op_file.js";
import { COMPILER_VERSION, PACKAGE_ROOT } from "../package_root.js";

export { UserError };

export interface JitRequest {
  /** Default: the op that ships with normrope. */
  readonly op?: ManifestOp | undefined;
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
 * The library of a point. Where there is a compiler its version is part of what is looked for; where there is none, none
 * that runs, or `NORMROPE_JIT` is 0, any library of this version of normrope serves that this machine can run.
 * @throws UserError `compile-failed`, `compile-timeout`, `cache-unusable`, `bad-option` for another NORMROPE_JIT.
 */
export async function provideLibrary(request: JitRequest): Promise<JitLibrary | JitMiss> {
  const op = withSource(request.op);
  const shelf = join(KERNELS, request.point === undefined ? NO_KERNEL : kernelId(op, request.point));
  const own = cacheRoot();
  const compiler = await chooseCompiler(request);
  if ("reason" in compiler) {
    const { found, problems } = search(own, (root) => findRunnable(root, shelf, op, request));
    if (found !== undefined) return { library: found, hit: true };
    return { reason: [compiler.reason, ...problems].join("; "), fix: compiler.fix };
  }
  const key = cacheKey([emitterKey(compiler.target), op, keyOf(compiler)]); // the point is in the shelf's name
  const { found } = search(own, (root) => findCached(root, key, FILES, shelf));
  if (found !== undefined) return { library: join(found, LIBRARY_NAME), hit: true };
  const { compilePoint } = await import("./compile.js");
  return compilePoint({ ...request, op, compiler, cacheRoot: own, shelf, key, files: FILES });
}

async function chooseCompiler({ target, archs }: JitRequest): Promise<TargetCompiler | JitMiss> {
  const { NORMROPE_JIT = "" } = process.env;
  if (NORMROPE_JIT === "0") {
    return { reason: "NORMROPE_JIT is 0", fix: "unset it to have kernels compiled when they are first used" };
  }
  if (NORMROPE_JIT !== "" && NORMROPE_JIT !== "1") {
    const fix = "write 0 to have nothing compiled on first use, or unset it";
    throw userError("bad-option", `NORMROPE_JIT is ${show(NORMROPE_JIT)}`, fix);
  }
  try {
    return await compilerFor(target, archs);
  } catch (error) {
    const [problem] = error instanceof UserError ? error.diagnostics : [];
    if (problem === undefined) throw error;
    return { reason: problem.message, fix: problem.fix };
  }
}

/** What is found in the first cache that has it; why others cannot be searched is of use only where nothing is found. */
function search(
  own: string,
  find: (root: string) => string | undefined,
): { readonly found?: string; readonly problems: readonly string[] } {
  const readOnly = readOnlyCaches();
  const problems = readOnly
    .filter((root) => !existsSync(root))
    .map((root) => `NORMROPE_CACHE_READONLY names ${quoted(root)}, which is not there or not to be read`);
  for (const root of [own, ...readOnly]) {
    try {
      const found = find(root);
      if (found !== undefined) return { found, problems };
    } catch (error) {
      if (error instanceof UserError) problems.push(...error.diagnostics.map(({ message }) => message));
      else if (error instanceof Error && "syscall" in error) {
        problems.push(`${quoted(root)} cannot be searched: ${reasonOf(error)}`);
      } else throw error;
    }
  }
  return { problems };
}

/** Everything of a compiler that decides what it makes. */
function keyOf({ target, path, identity, compileArgs, linkArgs }: TargetCompiler) {
  return { target, path, identity, compileArgs, linkArgs, arch: process.arch };
}

/** The modules that decide the emitted text: all that `plan`, `render` and `templates` import, as the tests see. */
export const EMITTERS = [
  ...["angle", "axes", "axis", "functions", "inputs", "points", "sides", "stage", "stages/index"].map(
    (name) => `dsl/${name}`,
  ),
  ...[...STAGES.keys()].map((name) => `dsl/stages/${name}`),
  ...["emit/kernel_view", "emit/render", "emit/spelling", "emit/templates", "emit/view"].map(
    (name) => `generator/${name}`,
  ),
  ...["name", "op_file", "plan/plan"].map((name) => `generator/${name}`),
];

/** What the emitted text is made from, besides op and plans. To render it would take as long as all else. */
function emitterKey(target: Target): readonly unknown[] {
  const self = fileURLToPath(import.meta.url);
  const code = EMITTERS.map((name) => join(self, "..", "..", "..", name + extname(self)));
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
function withSource(op: ManifestOp | undefined): Op {
  const { source, ...shipped } = readShippedOp();
  return op === undefined || isDeepStrictEqual(op, shipped)
    ? { ...shipped, source }
    : { ...op, source: "the op of an open library" };
}

/** The library of a shelf that this machine can run, whatever compiler made it; before others one for just its device. */
function findRunnable(root: string, shelf: string, op: Op, request: JitRequest): string | undefined {
  const entries = keysIn(root, shelf).flatMap((key) => findCached(root, key, FILES, shelf) ?? []);
  const runnable = entries.flatMap((entry) => {
    const manifest = manifestIn(entry);
    if (manifest === undefined || !canRun(manifest, op, request)) return [];
    const isForDevice = request.archs?.every((arch) => manifest.build.archs.includes(arch)) ?? true;
    return { library: join(entry, LIBRARY_NAME), isForDevice };
  });
  const [best] = runnable.sort((a, b) => Number(b.isForDevice) - Number(a.isForDevice));
  return best?.library;
}

function canRun(manifest: BuiltManifest, { source: _, ...op }: Op, { target, archs = [] }: JitRequest) {
  const { build, compiler } = manifest;
  const features = cpuFeatures();
  return (
    compiler === COMPILER_VERSION &&
    isDeepStrictEqual(manifest.ops, [op]) &&
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
