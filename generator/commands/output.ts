/** Files that a command writes where it is told to: whole or not at all. */
import { randomBytes } from "node:crypto";
import { accessSync, constants, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { userError } from "../diagnostics.js";

/** What would keep --out from being written, for a command to say before its work. @throws UserError `bad-option`. */
export function requirePlace(out: string): void {
  const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder(out)) throw userError("bad-option", `--out ${out} is a folder`, "name a file in it");
  const fix = "make the folder, or name a file in another";
  if (!isFolder(dirname(out))) {
    throw userError("bad-option", `--out ${out}: there is no folder ${dirname(out)}`, fix);
  }
  try {
    accessSync(dirname(out), constants.W_OK);
  } catch {
    throw userError("bad-option", `--out ${out}: the folder cannot be written to`, "name a file in another");
  }
}

/** A reader of the file never meets half of one. */
export function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}
