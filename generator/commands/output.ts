/** Writes files and folders that the user names: whole or not at all. */
import { randomBytes } from "node:crypto";
import { existsSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { quoted, reasonOf, userError } from "../diagnostics.js";
import { makeFolder } from "../folder.js";

/** Reports what would keep --out from being written, before a command's work. @throws UserError `bad-option`. */
export function requirePlace(out: string): void {
  const isFolder = (path: string) => existsSync(path) && statSync(path).isDirectory();
  if (isFolder(out)) throw userError("bad-option", `--out ${quoted(out)} is a folder`, "name a file in it");
  if (out === "" || (existsSync(out) && !statSync(out).isFile())) {
    throw userError(
      "bad-option",
      `--out ${quoted(out)} is no file`,
      "name a regular file; an old one is replaced",
    );
  }
  const fix = "make the folder, or name a file in another";
  if (!isFolder(dirname(out))) {
    throw userError("bad-option", `--out ${quoted(out)}: there is no folder ${quoted(dirname(out))}`, fix);
  }
  probe(out);
}

/** Makes the folder of --out, for files of the given names. @throws UserError `bad-option`. */
export function requireFolder(out: string, names: readonly string[]): void {
  try {
    makeFolder(out);
  } catch (cause) {
    const message = `--out ${quoted(out)} is no folder, and none can be made there: ${reasonOf(cause)}`;
    throw userError("bad-option", message, "name another folder");
  }
  const taken = names.find((name) => existsSync(join(out, name)) && !statSync(join(out, name)).isFile());
  if (taken !== undefined) {
    const message = `--out ${quoted(out)}: ${taken} in it is no file, and one is to be written there`;
    throw userError("bad-option", message, "move it elsewhere, or name another folder");
  }
  probe(join(out, "probe"));
}

/** A file must be writable beside its final place, to be renamed. */
function probe(path: string): void {
  const file = temporaryName(path);
  try {
    writeFileSync(file, "");
    rmSync(file);
  } catch (cause) {
    const message = `--out: ${quoted(dirname(path))} cannot be written to: ${reasonOf(cause)}`;
    throw userError("bad-option", message, "name another folder");
  }
}

const temporaryName = (path: string) => `${path}.${randomBytes(6).toString("hex")}.tmp`;

/** Writes a file by a rename, so that no reader sees half of it. A link is followed. */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const file = existsSync(path) ? realpathSync(path) : path;
  const temporary = temporaryName(file);
  try {
    writeFileSync(temporary, content);
    renameSync(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}
