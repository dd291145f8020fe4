/**
 * The content-addressed cache of compiled objects and libraries.
 *
 * In: a key that covers everything the content depends on, and a function that makes the content. Out: the folder of the
 * entry. An entry is made in a staging folder and published by one rename, so there are no half-made entries. While one
 * process makes an entry, others wait for it; the loser of a race uses the winner's entry. A damaged entry is made anew.
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
import { isFolder, makeFolder } from "../folder.js";
import { cacheUnusable, OBJECTS, openCache, requireTrusted, stagingIn, trustedRoot } from "./folder.js";
import { inTurn } from "./turn.js";

export const SEAL = "seal.json";

export interface CacheEntry {
  readonly folder: string;
  /** Whether it was there, or another process made it. */
  readonly hit: boolean;
}

export function cacheKey(content: unknown): string {
  return sha256(JSON.stringify(content));
}

export function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * The entry of a key. If there is none, `make` fills an empty folder with the named files. If `make` throws, nothing is
 * published.
 * @param shelf The entry's folder in the cache.
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
  const find = () => (isThere(folder, files) ? { folder, hit: true } : undefined);
  try {
    return find() ?? (await inTurn(turnFor(base, key), find, () => makeEntry(base, folder, files, make)));
  } catch (error) {
    throw cacheUnusable(root, error);
  }
}

async function makeEntry(
  base: string,
  folder: string,
  files: readonly string[],
  make: (folder: string) => Promise<void>,
): Promise<CacheEntry> {
  const staging = join(stagingIn(base), randomBytes(12).toString("hex"));
  const remove = () => rmSync(staging, { recursive: true, force: true });
  // Last, after the compilers that write to the folder were killed.
  const forget = onExit(remove, { alwaysLast: true });
  try {
    makeFolder(staging, 0o700);
    await make(staging);
    requireMade(staging, files);
    const seal = Object.fromEntries(files.map((file) => [file, sha256(readFileSync(join(staging, file)))]));
    writeFileSync(join(staging, SEAL), JSON.stringify(seal));
    // Overrides the umask: files that the group may write to are not trusted.
    for (const file of [SEAL, ...files]) chmodSync(join(staging, file), 0o755);
    makeFolder(dirname(folder), 0o700);
    publish(staging, folder, files);
  } finally {
    forget();
    remove();
  }
  return { folder, hit: false };
}

/** A name for making an entry, the same by whatever path a process reaches the cache. */
function turnFor(base: string, key: string): string {
  const { dev, ino } = statSync(base);
  return cacheKey([dev, ino, key]);
}

/**
 * The folder of an entry; undefined if there is no intact one. Writes nothing, so it serves read-only caches too.
 * @throws UserError `cache-unusable` if others may write to the entry; the system's error if it cannot be read.
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

/** The keys of the entries in a folder of the cache. */
export function keysIn(root: string, shelf: string): string[] {
  return namesIn(join(root, shelf)).filter((name) => /^[0-9a-f]{64}$/.test(name));
}

/** The names in a folder, sorted; none if there is no such folder. */
export function namesIn(folder: string): string[] {
  return isFolder(folder) ? readdirSync(folder).sort() : [];
}

function isThere(folder: string, files: readonly string[]): boolean {
  requireTrusted(dirname(folder), folder, ...[SEAL, ...files].map((file) => join(folder, file)));
  if (!isIntact(folder, files)) return false;
  noteUse(join(folder, SEAL));
  return true;
}

const DAY_MS = 24 * 3600 * 1000;

/** Updates the time of an entry's seal to its last use, within a day. Pruning goes by it. */
function noteUse(seal: string): void {
  try {
    const now = Date.now();
    if (now - statSync(seal).mtimeMs > DAY_MS) utimesSync(seal, now / 1000, now / 1000);
  } catch {
    // a read-only cache
  }
}

function requireMade(staging: string, files: readonly string[]): void {
  const missing = files.find((file) => !existsSync(join(staging, file)));
  if (missing === undefined) return;
  throw userError(
    "compile-failed",
    `a compiler reported success, but made no ${missing}`,
    "check that CXX and NORMROPE_NVCC name compilers; `normrope doctor` shows them",
  );
}

/** Puts an entry in place by one rename, unless an intact one is there. A damaged one is moved away. */
function publish(staging: string, folder: string, files: readonly string[]): void {
  while (!isIntact(folder, files) && !isRenamed(staging, folder, "ENOTEMPTY", "EEXIST", "ENOTDIR")) {
    const damaged = `${staging}.damaged`;
    if (isRenamed(folder, damaged, "ENOENT")) rmSync(damaged, { recursive: true, force: true });
  }
}

/** Renames. False if it fails for one of the reasons, because another build was faster. */
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
    return false; // missing or unreadable
  }
}
