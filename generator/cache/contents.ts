/**
 * What is in a cache: listed, and pruned.
 *
 * In: an open cache. Out: its libraries of single kernels, and how much all entries take; or it without those that were
 * not used for some time. Must not load what the entries hold.
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type BuiltManifest, LIBRARY_NAME, MANIFEST_NAME } from "../../dsl/manifest.js";
import { parseBuiltManifest } from "../../runtime/read_manifest.js";
import { makeFolder } from "../folder.js";
import { keysIn, SEAL } from "./cache.js";
import { cacheUnusable, KERNELS, OBJECTS, openCache, stagingIn } from "./folder.js";

interface Entry {
  readonly folder: string;
  readonly bytes: number;
  /** To a day. */
  readonly lastUsed: Date;
}

/** The library of one kernel, or the one without kernels that memory and devices come from. */
export interface CachedLibrary extends Entry {
  readonly library: string;
  /** Undefined where it is damaged. */
  readonly manifest: BuiltManifest | undefined;
}

export interface CacheContents {
  readonly libraries: readonly CachedLibrary[];
  /** Of compilers' and linkers' runs. */
  readonly objects: readonly Entry[];
}

/** @throws UserError `cache-unusable`. */
export function cacheContents(root: string): CacheContents {
  const base = openCache(root);
  try {
    return {
      libraries: entriesIn(base, KERNELS).map((entry) => ({
        ...entry,
        library: join(entry.folder, LIBRARY_NAME),
        manifest: manifestIn(entry.folder),
      })),
      objects: entriesIn(base, OBJECTS),
    };
  } catch (error) {
    throw cacheUnusable(root, error);
  }
}

/**
 * Removes the entries that were not used for so many days, and gives them. With 0 days every entry goes, also one that a
 * build at this moment has found.
 * @throws UserError `cache-unusable`.
 */
export function pruneCache(root: string, days: number): readonly Entry[] {
  const { libraries, objects } = cacheContents(root);
  const oldest = Date.now() - days * 24 * 3600 * 1000;
  const old = [...libraries, ...objects].filter(({ lastUsed }) => days === 0 || lastUsed.getTime() < oldest);
  try {
    const staging = stagingIn(openCache(root));
    makeFolder(staging, 0o700);
    return old.filter(({ folder }) => {
      // In one step: nobody finds half of it.
      const removed = join(staging, randomBytes(12).toString("hex"));
      try {
        renameSync(folder, removed);
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return false; // removed by another
        throw error;
      }
      rmSync(removed, { recursive: true, force: true });
      return true;
    });
  } catch (error) {
    throw cacheUnusable(root, error);
  }
}

function entriesIn(base: string, place: string): Entry[] {
  return namesIn(join(base, place)).flatMap((name) => {
    const shelf = join(place, name);
    return keysIn(base, shelf).map((key) => entryAt(join(base, shelf, key)));
  });
}

function namesIn(folder: string): string[] {
  const found = statSync(folder, { throwIfNoEntry: false });
  return found?.isDirectory() ? readdirSync(folder).sort() : [];
}

function entryAt(folder: string): Entry {
  const files = namesIn(folder).flatMap(
    (name) => statSync(join(folder, name), { throwIfNoEntry: false }) ?? [],
  );
  const seal = statSync(join(folder, SEAL), { throwIfNoEntry: false });
  return {
    folder,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    lastUsed: seal?.mtime ?? new Date(0), // damaged: of no use
  };
}

/** The manifest of an entry; undefined where it is damaged, or another version's. */
export function manifestIn(folder: string): BuiltManifest | undefined {
  const path = join(folder, MANIFEST_NAME);
  try {
    return parseBuiltManifest(readFileSync(path, "utf8"), path);
  } catch {
    return undefined;
  }
}
