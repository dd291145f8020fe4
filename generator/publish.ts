/**
 * build/<target>/: the folder that a build leaves and that the runtime opens.
 *
 * In: linked files of the cache and their manifest. Out: the folder with exactly those in it, each put in place by one
 * rename; the manifest of a library that was built before. Must not compile.
 */
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BuiltManifest, Target } from "../runtime/manifest.js";
import { parseBuiltManifest } from "../runtime/manifest.js";
import { sha256 } from "./cache.js";

export const LIBRARY_NAME = "libnormrope.so";
export const ARCHIVE_NAME = "libnormrope.a";
const MANIFEST_NAME = "manifest.json";

/**
 * Puts a library, its manifest and, where there is one, its archive in place; nothing is touched that is there already.
 * An archive of an earlier build is removed where none is given: it would be taken for this library's.
 */
export function publish(
  folder: string,
  manifest: BuiltManifest,
  linked: string,
  archived: string | undefined,
): { library: string; archive: string | undefined } {
  const library = join(folder, LIBRARY_NAME);
  const archive = join(folder, ARCHIVE_NAME);
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
  if (archived === undefined) rmSync(archive, { force: true });
  if (!isPublished(folder, text, manifest.build.librarySha256)) {
    mkdirSync(folder, { recursive: true });
    const suffix = `.${process.pid}.tmp`;
    copyFileSync(linked, library + suffix);
    writeFileSync(join(folder, MANIFEST_NAME + suffix), text);
    // The manifest holds the library's hash: between the two renames, `open` finds that they do not belong together.
    renameSync(library + suffix, library);
    renameSync(join(folder, MANIFEST_NAME + suffix), join(folder, MANIFEST_NAME));
  }
  if (archived === undefined) return { library, archive: undefined };
  copyFileSync(archived, `${archive}.${process.pid}.tmp`);
  renameSync(`${archive}.${process.pid}.tmp`, archive);
  return { library, archive };
}

function isPublished(folder: string, manifest: string, librarySha256: string): boolean {
  try {
    const old = readFileSync(join(folder, MANIFEST_NAME), "utf8");
    return old === manifest && sha256(readFileSync(join(folder, LIBRARY_NAME))) === librarySha256;
  } catch {
    return false; // not there, or not readable: to be written
  }
}

/** The manifest of a library that was built, or undefined where there is none. */
export function readBuiltManifest(buildFolder: string, target: Target): BuiltManifest | undefined {
  const path = join(buildFolder, target, MANIFEST_NAME);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  return parseBuiltManifest(text, path);
}
