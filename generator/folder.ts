/**
 * Makes folders, clears them of leftovers, and explains why the system refuses them.
 *
 * In: a path, or the error of a system call. Out: the folder, or a diagnostic. Knows nothing of the folders' use.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DiagnosticCode, userError } from "./diagnostics.js";

/** The age at which leftovers of killed processes are removed. No run of a compiler may last as long. */
const LEFTOVER_MS = 24 * 3600 * 1000;

/** The name of a file before its rename: the final name, a random number and `.tmp`. */
export const STAGED = /\.[0-9a-f]{12}\.tmp$/;

/** Makes a folder and those that lead to it. Node's own recursive mkdir never returns below /proc. */
export function makeFolder(path: string, mode = 0o777): void {
  if (isFolder(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (!isFolder(path)) throw error; // otherwise another process was faster
  }
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Removes entries with such names that are older than a day. Others stay until the next time. */
export function removeLeftovers(folder: string, name: RegExp): void {
  for (const entry of entriesOf(folder).filter((candidate) => name.test(candidate))) {
    const path = join(folder, entry);
    try {
      const { mtimeMs } = statSync(path);
      if (Date.now() - mtimeMs > LEFTOVER_MS) rmSync(path, { recursive: true, force: true });
    } catch {
      // not ours to remove, or another process removes the same
    }
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // not there, or not readable
  }
}

const NOT_WRITABLE = ["this user may not write there", "change its owner or its mode"] as const;
const NO_FOLDER = ["something that is no folder is in its path", "move that away"] as const;

/** The problem and the fix for each code of a system error. */
const REASONS: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  EACCES: NOT_WRITABLE,
  EPERM: NOT_WRITABLE,
  EROFS: ["its file system is read-only", "mount it writable"],
  ENOSPC: ["its file system is full", "make room there"],
  EDQUOT: ["the quota of its file system is used up", "make room there"],
  EISDIR: ["a folder is where a file is to be", "move that away"],
  ENOTDIR: NO_FOLDER,
  EEXIST: NO_FOLDER,
  ENOENT: ["it is not there, and cannot be made", "make it"],
};

/** Turns the system's errors in a folder into a user error. Returns any other error unchanged. */
export function unusable(code: DiagnosticCode, folder: string, error: unknown, otherwise: string): unknown {
  if (!(error instanceof Error && "syscall" in error && "code" in error)) return error;
  const [reason, remedy] = REASONS[String(error.code)] ?? ["the system refuses it", "see the reason"];
  const who = reason === NOT_WRITABLE[0] ? `: ${ownership(folder)}` : "";
  return userError(
    code,
    `the folder ${folder} cannot be used: ${reason}${who} (${error.message})`,
    `${remedy}, or ${otherwise}`,
  );
}

/** The owner and permissions of a path, or of the first visible folder above it. */
export function ownership(path: string): string {
  try {
    const { uid, mode } = statSync(path);
    return `${path} belongs to uid ${uid} with mode ${(mode & 0o7777).toString(8)}, and this is uid ${process.getuid?.()}`;
  } catch (error) {
    if (dirname(path) === path) throw error;
    return ownership(dirname(path));
  }
}
