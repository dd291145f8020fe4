/**
 * Objects → shared library, or static archive.
 *
 * In: objects of the cache, and a folder of the cache that is being filled. Out: the file in that folder, and no other
 * new file.
 */
import { rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { LIBRARY_NAME } from "../../dsl/manifest.js";
import type { EmittedFile } from "../ir.js";
import { type CompiledUnit, OBJECT } from "./objects.js";
import { runCompiler, writeInputs } from "./run_compiler.js";
import type { TargetCompiler } from "./target_compiler.js";

export const ARCHIVE_NAME = "libnormrope.a";

export interface LinkRequest {
  readonly compiler: TargetCompiler;
  readonly objects: readonly CompiledUnit[];
  /** common/exports.map of the file set. */
  readonly exports: EmittedFile;
  readonly timeoutSeconds?: number | undefined;
}

/** @throws UserError `compile-failed`, `compile-timeout`. */
export async function linkInto(folder: string, request: LinkRequest): Promise<void> {
  const { compiler, objects, exports, timeoutSeconds } = request;
  writeInputs(folder, [exports]);
  await withObjects(folder, objects, (names) => {
    const args = [...compiler.linkArgs, "-o", LIBRARY_NAME, ...names];
    return runCompiler({ path: compiler.path, args, cwd: folder, name: LIBRARY_NAME, timeoutSeconds });
  });
  rmSync(join(folder, dirname(exports.path)), { recursive: true });
}

/** @throws UserError `compile-failed`, `compile-timeout`. */
export async function archiveInto(folder: string, request: LinkRequest): Promise<void> {
  const { compiler, objects, timeoutSeconds } = request;
  const run = (path: string, args: readonly string[]) =>
    runCompiler({ path, args, cwd: folder, name: ARCHIVE_NAME, timeoutSeconds });
  const archiver = await run(compiler.hostPath, ["-print-prog-name=ar"]);
  await withObjects(folder, objects, (names) => run(archiver.trim(), ["Dcrs", ARCHIVE_NAME, ...names]));
}

/** The libraries and the versions of their symbols that a library needs, in the words of readelf. */
export async function neededBy(library: string, { hostPath }: TargetCompiler): Promise<string> {
  const env = { LC_ALL: "C" }; // the words that others look for
  const run = (path: string, args: readonly string[]) =>
    runCompiler({ path, args, cwd: dirname(library), name: LIBRARY_NAME, env });
  const readelf = await run(hostPath, ["-print-prog-name=readelf"]);
  return run(readelf.trim(), ["--wide", "--dynamic", "--version-info", LIBRARY_NAME]);
}

/** Links the objects into the folder while `use` runs: nvcc splits paths at spaces. */
async function withObjects(
  folder: string,
  objects: readonly CompiledUnit[],
  use: (names: readonly string[]) => Promise<unknown>,
): Promise<void> {
  const names = objects.map(({ unit, entry }) => {
    symlinkSync(join(entry.folder, OBJECT), join(folder, `${unit.name}.o`));
    return `${unit.name}.o`;
  });
  await use(names);
  for (const name of names) rmSync(join(folder, name));
}
