/**
 * The key of a library that is compiled on first use.
 *
 * In: an op and a compiler. Out: a digest of everything that decides the library, except the point.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TargetCompiler } from "../build/target_compiler.js";
import { cacheKey } from "../cache/cache.js";
import { readTemplates } from "../emit/templates.js";
import type { Op } from "../ir.js";
import { COMPILER_VERSION } from "../package_root.js";

/** The folders of the code that decides the emitted text. */
export const EMITTING_FOLDERS = ["dsl", "dsl/stages", "generator/plan", "generator/emit", "generator"];

export function libraryKey(
  op: Op,
  { target, path, identity, compileArgs, linkArgs }: TargetCompiler,
): string {
  const compiler = { target, path, identity, compileArgs, linkArgs, arch: process.arch };
  // Rendering the text itself would take as long as everything else.
  return cacheKey([COMPILER_VERSION, emittingCode(), [...readTemplates()], op, compiler]);
}

function emittingCode(): string[] {
  const self = fileURLToPath(import.meta.url);
  const root = join(dirname(self), "..", "..");
  return EMITTING_FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => extname(name) === extname(self))
      .sort()
      .map((name) => readFileSync(join(root, folder, name), "utf8")),
  );
}
