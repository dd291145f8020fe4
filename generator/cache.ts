/**
 * The content-addressed cache of compiled objects and libraries.
 *
 * In: a key that covers everything the content depends on, and a function that makes the content. Out: the folder of
 * the entry. An entry is made in a staging folder and published by one rename, so there are no locks and nothing
 * half-made is ever seen; whoever loses a race uses the winner's. An entry whose files are not those that were
 * published is made anew.
 */
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onExit } from "signal-exit";
import { cacheUnusable, objectsIn, openCache, requireTrusted, stagingIn } from "./cache_folder.js";
import { userError } from "./diagnostics.js";
import { makeFolder } from "./folder.js";

const SEAL = "seal.json";

/** Builds that find the same damage can undo each other's renames a few times, not for ever. */
const TRIES = 100;

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
 * @throws UserError `cache-unusable`.
 */
export async function cached(
  root: string,
  key: string,
  files: readonly string[],
  make: (folder: string) => Promise<void>,
): Promise<CacheEntry> {
  const base = openCache(root);
  try {
    const shelf = join(objectsIn(base), key.slice(0, 2));
    const folder = join(shelf, key);
    requireTrusted(shelf, folder, ...[SEAL, ...files].map((file) => join(folder, file)));
    if (isIntact(folder, files)) return { folder, hit: true };

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
      makeFolder(shelf, 0o700);
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

function requireMade(staging: string, files: readonly string[]): void {
  const missing = files.find((file) => !existsSync(join(staging, file)));
  if (missing === undefined) return;
  throw userError(
    "compile-failed",
    `a compiler ended as if all was well, and made no ${missing}`,
    "see that CXX and NORMROPE_NVCC name compilers; `normrope doctor` shows them",
  );
}

function publish(staging: string, folder: string, files: readonly string[]): void {
  for (let tries = 1; ; tries++) {
    try {
      renameSync(staging, folder);
      return;
    } catch (error) {
      if (isIntact(folder, files)) return;
      if (tries === TRIES || !isCode(error, "ENOTEMPTY", "EEXIST", "ENOTDIR")) throw error;
    }
    // What stands there is damaged: put it out of the way.
    const damaged = `${staging}.damaged`;
    try {
      renameSync(folder, damaged);
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error; // else another build was faster
    }
    rmSync(damaged, { recursive: true, force: true });
  }
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
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
