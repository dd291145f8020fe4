/**
 * Lists and prunes the contents of a cache.
 *
 * In: an open cache. Out: its libraries of single kernels and the size of all entries; or the cache without entries
 * that were not used for some time. Must not load a library.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type BuiltManifest, LIBRARY_NAME, MANIFEST_NAME } from "../../dsl/manifest.js";
import { parseBuiltManifest } from "../../runtime/read_manifest.js";
import { makeFolder } from "../folder.js";
import { keysIn, namesIn, SEAL } from "./cache.js";
import { cacheUnusable, KERNELS, OBJECTS, openCache, stagingIn } from "./folder.js";

interface Entry {
  readonly folder: string;
  readonly bytes: number;
  /** Within a day. */
  readonly lastUsed: Date;
}

/** The library of one kernel, or the one without kernels. */
export interface CachedLibrary extends Entry {
  readonly library: string;
  /** Undefined if damaged. */
  readonly manifest: BuiltManifest | undefined;
}

export interface CacheContents {
  readonly libraries: readonly CachedLibrary[];
  /** Entries of compiler and linker runs. */
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
 * Removes the entries that were not used for so many days, and returns them. With 0 days every entry goes, even one that a
 * running build has just found.
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
      // One rename: nobody finds half an entry.
      const removed = join(staging, randomBytes(12).toString("hex"));
      try {
        renameSync(folder, removed);
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return false; // another process removed it
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

function entryAt(folder: string): Entry {
  const files = namesIn(folder).flatMap(
    (name) => statSync(join(folder, name), { throwIfNoEntry: false }) ?? [],
  );
  const seal = statSync(join(folder, SEAL), { throwIfNoEntry: false });
  return {
    folder,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    lastUsed: seal?.mtime ?? new Date(0), // damaged
  };
}

/** The manifest of an entry; undefined if damaged or of another version. */
export function manifestIn(folder: string): BuiltManifest | undefined {
  const path = join(folder, MANIFEST_NAME);
  try {
    return parseBuiltManifest(readFileSync(path, "utf8"), path);
  } catch {
    return undefined;
  }
}
