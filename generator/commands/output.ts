/** Files that a command writes where it is told to: whole or not at all. */
import { randomBytes } from "node:crypto";
import { existsSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { userError } from "../diagnostics.js";

/** What would keep --out from being written, for a command to say before its work. @throws UserError `bad-option`. */
export function requirePlace(out: string): void {
  const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder(out)) throw userError("bad-option", `--out ${out} is a folder`, "name a file in it");
  if (out === "" || (existsSync(out) && !statSync(out).isFile())) {
    throw userError(
      "bad-option",
      `--out ${JSON.stringify(out)} is no file`,
      "name a file, new or to be replaced",
    );
  }
  const fix = "make the folder, or name a file in another";
  if (!isFolder(dirname(out))) {
    throw userError("bad-option", `--out ${out}: there is no folder ${dirname(out)}`, fix);
  }
  const probe = temporaryName(out);
  try {
    writeFileSync(probe, "");
    rmSync(probe);
  } catch {
    throw userError("bad-option", `--out ${out}: the folder cannot be written to`, "name a file in another");
  }
}

const temporaryName = (path: string) => `${path}.${randomBytes(6).toString("hex")}.tmp`;

/** A reader of the file never meets half of one. A link is followed. */
export function writeWhole(path: string, text: string): void {
  const file = existsSync(path) ? realpathSync(path) : path;
  const temporary = temporaryName(file);
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}
