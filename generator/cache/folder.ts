/**
 * The folder of the cache: its path, its owner, and why it cannot be used.
 *
 * In: the environment, or a path. Out: the real path, or a diagnostic. A folder that others may write to is never used, since
 * its contents will be run. Knows nothing of entries.
 */
import { randomBytes } from "node:crypto";
import { existsSync, realpathSync, rmSync, type Stats, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { UserError, userError } from "../diagnostics.js";
import { makeFolder, ownership, removeLeftovers, unusable } from "../folder.js";

const GROUP_MAY_WRITE = 0o020;
const OTHERS_MAY_WRITE = 0o002;
/** The sticky bit, as /tmp has it: nobody can replace another user's files. */
const STICKY = 0o1000;

const OTHERWISE = "set NORMROPE_CACHE_DIR to another folder";

/**
 * `NORMROPE_CACHE_DIR`; else the first usable of `$XDG_CACHE_HOME/normrope`, `~/.cache/normrope` and a temporary folder of this
 * user. If none is usable, the first, whose use reports the reason.
 */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  if (env.NORMROPE_CACHE_DIR) return resolve(env.NORMROPE_CACHE_DIR);
  const temporary = join(tmpdir(), `normrope-${process.getuid?.()}`);
  // XDG's specification says to ignore a relative path.
  const caches = [env.XDG_CACHE_HOME ?? "", join(homeFolder(), ".cache")].filter((path) => isAbsolute(path));
  const roots = [...caches.map((path) => join(path, "normrope")), temporary];
  return roots.find(isUsable) ?? roots[0] ?? temporary;
}

function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return ""; // an unknown user without HOME
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

/** `NORMROPE_CACHE_READONLY`: caches, separated by colons, that are searched and never written. */
export function readOnlyCaches(): string[] {
  const roots = (process.env.NORMROPE_CACHE_READONLY ?? "").split(delimiter);
  return roots.filter((root) => root !== "").map((root) => resolve(root));
}

/** The folder of compiler and linker runs, by key. */
export const OBJECTS = "objects";
/** The folder of single kernels' libraries, by kernel id and key. */
export const KERNELS = "jit";
/** The folder in which entries are made. */
export const stagingIn = (root: string) => join(root, "staging");

/**
 * Makes the cache's folder if it is missing. Links are followed once, here, so nobody can redirect them later.
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

/** The real path of a cache's folder. @throws UserError `cache-unusable` if others may write to it. */
export function trustedRoot(root: string): string {
  const real = realpathSync(root);
  requireTrusted(real, join(real, OBJECTS), join(real, KERNELS), stagingIn(real));
  for (let above = dirname(real); ; above = dirname(above)) {
    // Parents matter only if everybody may write to them: a home folder's group is often the user's own.
    const { mode } = statSync(above);
    if ((mode & OTHERS_MAY_WRITE) !== 0 && (mode & STICKY) === 0) throw untrusted(above);
    if (above === dirname(above)) return real;
  }
}

/** Removes what killed builds left in the staging folder of an open cache. */
export function tidyCache(root: string): void {
  removeLeftovers(stagingIn(root), /^[0-9a-f]{24}(\.damaged)?$/);
}

/** Tries to use the folder. @throws UserError `cache-unusable`. */
export function probeCache(root: string): void {
  const probe = join(openCache(root), `probe-${randomBytes(6).toString("hex")}`);
  try {
    writeFileSync(probe, "probe");
    rmSync(probe, { force: true });
  } catch (error) {
    throw cacheUnusable(root, error);
  }
}

/** @throws UserError `cache-unusable` if a path exists and a user other than root could have written to it. */
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

/** Turns the system's errors in the cache into a user error. Returns any other error unchanged. */
export function cacheUnusable(root: string, error: unknown): unknown {
  return unusable("cache-unusable", root, error, OTHERWISE);
}
