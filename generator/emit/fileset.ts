/**
 * Writes the emitted files to disk, or compares them with it.
 *
 * In: a file set and the folder that it belongs in. Out: the changes, or the differences. Touches nothing outside the
 * folder, writes only changed files, and removes only files that are named like kernels.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, relative, sep } from "node:path";
import { createTwoFilesPatch } from "diff";
import { quoted, userError } from "../diagnostics.js";
import { makeFolder, removeLeftovers, STAGED } from "../folder.js";
import type { FileSet } from "../ir.js";
import { parseKernelId } from "../kernel_id.js";

export interface Difference {
  readonly path: string;
  readonly kind: "changed" | "missing" | "extra";
  /** A unified diff from the file on disk to the emitted one. */
  readonly patch: string;
}

/** The differences of a folder from a file set, sorted by path. */
export function compareFileSet(folder: string, files: FileSet): Difference[] {
  const onDisk = readFolder(folder);
  const wanted = new Map(files.map(({ path, text }) => [path, text]));
  const differences: Difference[] = [];
  for (const path of [...new Set([...onDisk.keys(), ...wanted.keys()])].sort()) {
    const [old, text] = [onDisk.get(path), wanted.get(path)];
    if (old === text) continue;
    const kind = old === undefined ? "missing" : text === undefined ? "extra" : "changed";
    differences.push({
      path,
      kind,
      patch: createTwoFilesPatch(path, path, old ?? "", text ?? "", "on disk", "emitted"),
    });
  }
  return differences;
}

export interface WriteResult {
  readonly written: readonly string[];
  readonly removed: readonly string[];
  /** Files that normrope did not write. They stay, and `check` fails on them. */
  readonly foreign: readonly string[];
}

/** Makes the folder hold the file set. Every text is on disk before the first file is replaced. */
export function writeFileSet(folder: string, files: FileSet): WriteResult {
  for (const subfolder of foldersOf(folder)) removeLeftovers(subfolder, STAGED);
  const differences = compareFileSet(folder, files);
  const extras = differences.filter(({ kind }) => kind === "extra").map(({ path }) => path);
  const removed = extras.filter(isKernelFile);
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  const written = differences.filter(({ kind }) => kind !== "extra").map(({ path }) => path);

  for (const path of written) requireReplaceable(join(folder, path));

  const suffix = `.${randomBytes(6).toString("hex")}.tmp`;
  const staged: string[] = [];
  try {
    for (const path of written) {
      const target = join(folder, path);
      makeFolder(dirname(target));
      staged.push(target + suffix);
      writeFileSync(target + suffix, texts.get(path) ?? "");
    }
    for (const path of written) renameSync(join(folder, path) + suffix, join(folder, path));
  } finally {
    for (const path of staged) rmSync(path, { force: true });
  }
  for (const path of removed) rmSync(join(folder, path), { force: true });
  return { written, removed, foreign: extras.filter((path) => !isKernelFile(path)) };
}

/** The folder and those below it. */
function foldersOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const below = readdirSync(folder, { recursive: true, withFileTypes: true });
  return [
    folder,
    ...below.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name)),
  ];
}

/** Finds paths that a rename cannot replace, before the first rename. */
function requireReplaceable(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || stat.isFile()) return;
  throw userError(
    "file-exists",
    `${quoted(path)} is not a file, and one is to be written there`,
    "move it elsewhere",
  );
}

function isKernelFile(path: string): boolean {
  const extension = extname(path);
  return (
    (extension === ".cu" || extension === ".cpp") && parseKernelId(basename(path, extension)) !== undefined
  );
}

function readFolder(folder: string): Map<string, string> {
  let entries: ReturnType<typeof listFiles>;
  try {
    entries = listFiles(folder);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return new Map();
    throw error;
  }
  return new Map(
    entries.flatMap((path) => {
      const text = readUnlessGone(path);
      return text === undefined ? [] : [[relative(folder, path).split(sep).join("/"), text] as const];
    }),
  );
}

/** A file's text; undefined if another process removed it since it was listed. */
function readUnlessGone(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !STAGED.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}
