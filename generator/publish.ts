/**
 * build/<target>/: the folder that a build leaves and that the runtime opens.
 *
 * In: linked files of the cache and their manifest. Out: the folder with those in it, each put in place by one rename;
 * the manifest of a library that was built before. Leaves other files of the folder alone, and compiles nothing.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BuiltManifest, LIBRARY_NAME, parseBuiltManifest, type Target } from "../runtime/manifest.js";
import { sha256 } from "./cache.js";
import { internalError } from "./diagnostics.js";

export const ARCHIVE_NAME = "libnormrope.a";
const MANIFEST_NAME = "manifest.json";

/** Two builds at once can undo each other's renames a few times, not for ever. */
const TRIES = 100;

/**
 * Puts a library, its manifest and, where there is one, its archive in place; what is there already stays untouched.
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
  mkdirSync(folder, { recursive: true });
  if (archived === undefined) rmSync(archive, { force: true });
  else replace(archive, readFileSync(archived));
  // Between the two renames, `open` finds that library and manifest do not belong together. A build that runs at the
  // same time may leave one of each: whoever renamed last sees it here.
  for (let tries = 0; !isWhole(folder) || tries === 0; tries++) {
    if (tries === TRIES) throw internalError("publish", `${folder} does not come to rest`);
    replace(library, readFileSync(linked));
    replace(join(folder, MANIFEST_NAME), text);
  }
  return { library, archive: archived === undefined ? undefined : archive };
}

/** Gives a file its content by one rename, where it has another. */
function replace(path: string, content: string | Buffer): void {
  if (readOrNothing(path)?.equals(Buffer.from(content))) return;
  const staged = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(staged, content);
    renameSync(staged, path);
  } finally {
    rmSync(staged, { force: true });
  }
}

function readOrNothing(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Whether the folder's library is the one that its manifest describes. */
function isWhole(folder: string): boolean {
  const path = join(folder, MANIFEST_NAME);
  try {
    const { build } = parseBuiltManifest(readFileSync(path, "utf8"), path);
    return build.librarySha256 === sha256(readFileSync(join(folder, LIBRARY_NAME)));
  } catch {
    return false; // not there, or half of another version's
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
