/**
 * The folder of the cache: where and whose it is, and why it cannot be used.
 *
 * In: the environment, or where it is to be. Out: its real path, or a diagnostic. What others may write to is never used:
 * it holds what will be loaded and run. Must not look at what the entries contain.
 */
import { randomBytes } from "node:crypto";
import { existsSync, realpathSync, rmSync, type Stats, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { UserError, userError } from "../diagnostics.js";
import { makeFolder, ownership, removeLeftovers, unusable } from "../folder.js";

const GROUP_MAY_WRITE = 0o020;
const OTHERS_MAY_WRITE = 0o002;
/** In such a folder, as /tmp is one, nobody can put theirs in the place of somebody else's. */
const STICKY = 0o1000;

const OTHERWISE = "set NORMROPE_CACHE_DIR to another folder";

/**
 * `NORMROPE_CACHE_DIR`, which is taken at its word; else the first that can be used of `$XDG_CACHE_HOME/normrope`,
 * `~/.cache/normrope` and a folder of this user's own for temporary files. Where none can, the first: its use says why.
 */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  if (env.NORMROPE_CACHE_DIR) return resolve(env.NORMROPE_CACHE_DIR);
  const temporary = join(tmpdir(), `normrope-${process.getuid?.()}`);
  // A relative path would be another folder in each working folder; XDG's specification says to ignore it.
  const caches = [env.XDG_CACHE_HOME ?? "", join(homeFolder(), ".cache")].filter((path) => isAbsolute(path));
  const roots = [...caches.map((path) => join(path, "normrope")), temporary];
  return roots.find(isUsable) ?? roots[0] ?? temporary;
}

function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return ""; // a user whom the system does not know, without HOME
  }
}

function isUsable(root: string): boolean {
  try {
    probeCache(root);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/** `NORMROPE_CACHE_READONLY`: caches, separated by colons, that kernels are looked for in and never written to. */
export function readOnlyCaches(env: NodeJS.ProcessEnv = process.env): string[] {
  const roots = (env.NORMROPE_CACHE_READONLY ?? "").split(delimiter);
  return roots.filter((root) => root !== "").map((root) => resolve(root));
}

/** Where the entries of compilers' and linkers' runs are, by key. */
export const OBJECTS = "objects";
/** Where the libraries of single kernels are, by kernel id and key. */
export const KERNELS = "jit";
/** Where entries are made. */
export const stagingIn = (root: string) => join(root, "staging");

/**
 * Makes the cache's folder where it is not there. Links are followed once, here: nobody can point them elsewhere
 * between this look and a later use.
 * @throws UserError `cache-unusable`.
 */
export function openCache(root: string): string {
  try {
    makeFolder(root, 0o700);
    return trustedRoot(root);
  } catch (error) {
    throw cacheUnusable(root, error);
  }
}

/** The real path of a cache's folder. @throws UserError `cache-unusable` where others may put what is theirs there. */
export function trustedRoot(root: string): string {
  const real = realpathSync(root);
  requireTrusted(real, join(real, OBJECTS), join(real, KERNELS), stagingIn(real));
  for (let above = dirname(real); ; above = dirname(above)) {
    // Only what everybody may write to: the group of a home folder is often the user's own.
    const { mode } = statSync(above);
    if ((mode & OTHERS_MAY_WRITE) !== 0 && (mode & STICKY) === 0) throw untrusted(above);
    if (above === dirname(above)) return real;
  }
}

/** Removes what builds that were killed left in the staging folder of an open cache. */
export function tidyCache(root: string): void {
  removeLeftovers(stagingIn(root), /^[0-9a-f]{24}(\.damaged)?$/);
}

/** Tries the folder out. @throws UserError `cache-unusable`. */
export function probeCache(root: string): void {
  const probe = join(openCache(root), `probe-${randomBytes(6).toString("hex")}`);
  try {
    writeFileSync(probe, "probe");
    rmSync(probe, { force: true });
  } catch (error) {
    throw cacheUnusable(root, error);
  }
}

/** @throws UserError `cache-unusable` where a path is there and another user than root could have written to it. */
export function requireTrusted(...paths: readonly string[]): void {
  for (const path of paths.filter((candidate) => existsSync(candidate))) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && !isTrusted(stat)) throw untrusted(path);
  }
}

function isTrusted({ uid, mode }: Stats): boolean {
  return (uid === 0 || uid === process.getuid?.()) && (mode & (GROUP_MAY_WRITE | OTHERS_MAY_WRITE)) === 0;
}

function untrusted(path: string): UserError {
  return userError(
    "cache-unusable",
    `the cache is not to be trusted, because others may write to it: ${ownership(path)}`,
    `make it your own and run \`chmod go-w\` on it, with -R on a whole cache, or ${OTHERWISE}`,
  );
}

/** What the system refuses in the cache as the user's error; any other error as it is. */
export function cacheUnusable(root: string, error: unknown): unknown {
  return unusable("cache-unusable", root, error, OTHERWISE);
}
