/**
 * The content-addressed cache of compiled objects and libraries.
 *
 * In: a key that covers everything the content depends on, and a function that makes the content. Out: the folder of
 * the entry. An entry is made in a staging folder and published by one rename, so there are no locks and nothing
 * half-made is ever seen; whoever loses a race uses the winner's. An entry whose files are not those that were
 * published is made anew.
 */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const SEAL = "seal.json";

export interface CacheEntry {
  readonly folder: string;
  /** Whether it was there already. */
  readonly hit: boolean;
}

/** `NORMROPE_CACHE_DIR`, else `$XDG_CACHE_HOME/normrope`, else `~/.cache/normrope`. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  if (env.NORMROPE_CACHE_DIR) return env.NORMROPE_CACHE_DIR;
  return join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "normrope");
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
 */
export async function cached(
  root: string,
  key: string,
  files: readonly string[],
  make: (folder: string) => Promise<void>,
): Promise<CacheEntry> {
  const folder = join(root, "objects", key.slice(0, 2), key);
  if (isIntact(folder, files)) return { folder, hit: true };

  const staging = join(root, "staging", randomBytes(12).toString("hex"));
  mkdirSync(staging, { recursive: true, mode: 0o700 });
  try {
    await make(staging);
    const seal = Object.fromEntries(files.map((file) => [file, sha256(readFileSync(join(staging, file)))]));
    writeFileSync(join(staging, SEAL), JSON.stringify(seal));
    publish(staging, folder, files);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  return { folder, hit: false };
}

function publish(staging: string, folder: string, files: readonly string[]): void {
  mkdirSync(join(folder, ".."), { recursive: true, mode: 0o700 });
  try {
    renameSync(staging, folder);
  } catch (error) {
    if (isIntact(folder, files)) return;
    // What stands there is damaged: put it out of the way and publish over it.
    if (!existsSync(folder)) throw error;
    const damaged = `${staging}.damaged`;
    renameSync(folder, damaged);
    rmSync(damaged, { recursive: true, force: true });
    renameSync(staging, folder);
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
