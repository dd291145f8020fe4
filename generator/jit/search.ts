/**
 * Finds a compiled library in the caches, without a compiler.
 *
 * In: the user's cache and the read-only ones, a shelf, the target and device that the library must run on. Out: its file, or
 * why caches could not be searched. Makes and writes nothing.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type BuiltManifest, LIBRARY_NAME } from "../../dsl/manifest.js";
import { cpuFeatures } from "../../runtime/cpu_features.js";
import { findCached, keysIn } from "../cache/cache.js";
import { manifestIn } from "../cache/contents.js";
import { readOnlyCaches } from "../cache/folder.js";
import { quoted, reasonOf, UserError } from "../diagnostics.js";
import type { Op } from "../ir.js";
import { COMPILER_VERSION } from "../package_root.js";
import type { JitRequest } from "./jit.js";

/** Searches the caches in turn. Problems with a cache matter only if nothing is found. */
export function search(
  own: string,
  find: (root: string) => string | undefined,
): { readonly found?: string; readonly problems: readonly string[] } {
  const readOnly = readOnlyCaches();
  const problems = readOnly
    .filter((root) => !existsSync(root))
    .map((root) => `NORMROPE_CACHE_READONLY names ${quoted(root)}, which is missing or cannot be read`);
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

/** A library of the shelf that this machine can run, whatever compiler made it. One for exactly its device is preferred. */
export function findRunnable(
  root: string,
  shelf: string,
  files: readonly string[],
  op: Op,
  request: JitRequest,
): string | undefined {
  const entries = keysIn(root, shelf).flatMap((key) => findCached(root, key, files, shelf) ?? []);
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

/** Code runs on later devices of its generation. The newest architecture is also there as PTX, which runs on any later device. */
function runsOn(arch: string, builtFor: readonly string[]): boolean {
  const numbers = builtFor.map((name) => Number(name.slice("sm_".length)));
  const device = Number(arch.slice("sm_".length));
  const generation = (number: number) => Math.floor(number / 10);
  return (
    Math.max(...numbers) <= device ||
    numbers.some((number) => generation(number) === generation(device) && number <= device)
  );
}
