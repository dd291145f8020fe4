/**
 * The content-addressed cache of compiled objects and libraries.
 *
 * In: a key that covers everything the content depends on, and a function that makes the content. Out: the folder of
 * the entry. An entry is made in a staging folder and published by one rename, so there are no locks and nothing
 * half-made is ever seen; whoever loses a race uses the winner's. An entry whose files are not those that were
 * published is made anew.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { onExit } from "signal-exit";
import { userError } from "../diagnostics.js";
import { makeFolder } from "../folder.js";
import { cacheUnusable, OBJECTS, openCache, requireTrusted, stagingIn, trustedRoot } from "./folder.js";

export const SEAL = "seal.json";

export interface CacheEntry {
  readonly folder: string;
  /** Whether it was there already. */
  readonly hit: boolean;
}

export function cacheKey(content: unknown): string {
  return sha256(JSON.stringify(content));
}

export function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * The entry of a key; `make` fills an empty folder with the named files where there is none yet.
 * What `make` throws is passed on, and nothing is published.
 * @param shelf The folder of the cache that it is in.
 * @throws UserError `cache-unusable`.
 */
export async function cached(
  root: string,
  key: string,
  files: readonly string[],
  make: (folder: string) => Promise<void>,
  shelf = join(OBJECTS, key.slice(0, 2)),
): Promise<CacheEntry> {
  const base = openCache(root);
  const folder = join(base, shelf, key);
  try {
    if (isThere(folder, files)) return { folder, hit: true };

    const staging = join(stagingIn(base), randomBytes(12).toString("hex"));
    const remove = () => rmSync(staging, { recursive: true, force: true });
    // After those of the compilers, which write to it.
    const forget = onExit(remove, { alwaysLast: true });
    try {
      makeFolder(staging, 0o700);
      await make(staging);
      requireMade(staging, files);
      const seal = Object.fromEntries(files.map((file) => [file, sha256(readFileSync(join(staging, file)))]));
      writeFileSync(join(staging, SEAL), JSON.stringify(seal));
      // Whatever the umask says: what the group may write to is not trusted.
      for (const file of [SEAL, ...files]) chmodSync(join(staging, file), 0o755);
      makeFolder(join(base, shelf), 0o700);
      publish(staging, folder, files);
    } finally {
      forget();
      remove();
    }
    return { folder, hit: false };
  } catch (error) {
    throw cacheUnusable(root, error);
  }
}

/**
 * The folder of an entry, or undefined where there is none that is whole. Makes and writes nothing: it serves a cache
 * that is read-only, too.
 * @throws UserError `cache-unusable` where others may write to what is there; what the system says where it is not to be
 * read.
 */
export function findCached(
  root: string,
  key: string,
  files: readonly string[],
  shelf: string,
): string | undefined {
  if (statSync(root, { throwIfNoEntry: false }) === undefined) return undefined;
  const folder = join(trustedRoot(root), shelf, key);
  return isThere(folder, files) ? folder : undefined;
}

/** The keys of the entries on a shelf. */
export function keysIn(root: string, shelf: string): string[] {
  const folder = join(root, shelf);
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isFolder
    ? readdirSync(folder)
        .filter((name) => /^[0-9a-f]{64}$/.test(name))
        .sort()
    : [];
}

function isThere(folder: string, files: readonly string[]): boolean {
  requireTrusted(dirname(folder), folder, ...[SEAL, ...files].map((file) => join(folder, file)));
  if (!isIntact(folder, files)) return false;
  noteUse(join(folder, SEAL));
  return true;
}

const DAY_MS = 24 * 3600 * 1000;

/** An entry's seal is as old as its last use, to a day: what is not used can be pruned. */
function noteUse(seal: string): void {
  try {
    const now = Date.now();
    if (now - statSync(seal).mtimeMs > DAY_MS) utimesSync(seal, now / 1000, now / 1000);
  } catch {
    // a cache that is read-only
  }
}

function requireMade(staging: string, files: readonly string[]): void {
  const missing = files.find((file) => !existsSync(join(staging, file)));
  if (missing === undefined) return;
  throw userError(
    "compile-failed",
    `a compiler ended as if all was well, and made no ${missing}`,
    "see that CXX and NORMROPE_NVCC name compilers; `normrope doctor` shows them",
  );
}

/** Puts an entry in place by one rename, unless one that is whole is there. A damaged one is put out of the way. */
function publish(staging: string, folder: string, files: readonly string[]): void {
  while (!isIntact(folder, files) && !isRenamed(staging, folder, "ENOTEMPTY", "EEXIST", "ENOTDIR")) {
    const damaged = `${staging}.damaged`;
    if (isRenamed(folder, damaged, "ENOENT")) rmSync(damaged, { recursive: true, force: true });
  }
}

/** False where it fails for one of the reasons, by what another build did meanwhile. */
function isRenamed(from: string, to: string, ...reasons: readonly string[]): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && reasons.includes(String(error.code))) return false;
    throw error;
  }
}

function isIntact(folder: string, files: readonly string[]): boolean {
  try {
    const seal: unknown = JSON.parse(readFileSync(join(folder, SEAL), "utf8"));
    if (typeof seal !== "object" || seal === null) return false;
    const sums = new Map(Object.entries(seal));
    return files.every((file) => sums.get(file) === sha256(readFileSync(join(folder, file))));
  } catch {
    return false; // missing or unreadable: to be made anew
  }
}
