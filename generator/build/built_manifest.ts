/**
 * Adds to the emitted manifest how the library was built, and the resources of its kernels.
 *
 * In: a file set, the objects, the linked library. Out: the manifest that lies beside the library.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type BuiltManifest, manifestSchema, type Resources } from "../../dsl/manifest.js";
import { type CacheEntry, sha256 } from "../cache/cache.js";
import { internalError } from "../diagnostics.js";
import type { EmittedFile, FileSet } from "../ir.js";
import { type CompiledUnit, REPORT } from "./objects.js";
import { parsePtxasReport } from "./ptxas.js";
import type { TargetCompiler } from "./target_compiler.js";

export function builtManifest(
  files: FileSet,
  compiler: TargetCompiler,
  objects: readonly CompiledUnit[],
  library: string,
): BuiltManifest {
  const emitted = manifestSchema.parse(JSON.parse(requireFile(files, "manifest.json").text));
  const entryOf = (id: string) => objects.find(({ unit }) => unit.name === id)?.entry;
  return {
    ...emitted,
    build: {
      target: compiler.target,
      toolchain: compiler.identity,
      flags: [...compiler.compileArgs],
      archs: [...compiler.archs],
      cpuFeatures: [...compiler.cpuFeatures],
      cpuArch: process.arch,
      librarySha256: sha256(readFileSync(library)),
      resources: Object.fromEntries(emitted.kernels.map(({ id }) => [id, resourcesOf(entryOf(id), id)])),
    },
  };
}

/** The text of the manifest's file. */
export const manifestText = (manifest: BuiltManifest) => `${JSON.stringify(manifest, undefined, 2)}\n`;

/** The text of a file that every file set has. */
export function requireFile(files: FileSet, path: string): EmittedFile {
  const file = files.find((candidate) => candidate.path === path);
  if (file === undefined) throw internalError("build", `the file set lacks ${path}`);
  return file;
}

function resourcesOf(entry: CacheEntry | undefined, id: string): Resources[] {
  if (entry === undefined) throw internalError("build", "the kernel was not compiled", id);
  const report = parsePtxasReport(readFileSync(join(entry.folder, REPORT), "utf8"));
  const others = [...report].flatMap(([symbol, found]) => (symbol.startsWith(`${id}__`) ? found : []));
  return (report.get(id) ?? []).map((own) =>
    others.filter(({ arch }) => arch === own.arch).reduce(worst, own),
  );
}

/** The larger of two entries' resources. */
function worst(a: Resources, b: Resources): Resources {
  return {
    arch: a.arch,
    registers: Math.max(a.registers, b.registers),
    stackBytes: Math.max(a.stackBytes, b.stackBytes),
    spillStoreBytes: Math.max(a.spillStoreBytes, b.spillStoreBytes),
    spillLoadBytes: Math.max(a.spillLoadBytes, b.spillLoadBytes),
  };
}
