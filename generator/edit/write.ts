/** Writes an edited config: whole, by a rename. */
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { quoted, reasonOf, userError } from "../diagnostics.js";

const MARK = "\ufeff";

/**
 * Replaces a file and keeps its permissions and byte order mark. A link is followed.
 *
 * @param read the text that the edit started from, without the mark
 * @throws UserError `bad-file` with nothing written, if the file has changed or may not be written
 */
export function writeAtOnce(path: string, read: string, text: string): void {
  const file = realpathSync(path);
  requireWritable(path, file);
  const mark = readFileSync(file, "utf8").startsWith(MARK) ? MARK : "";
  const staged = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(staged, mark + text);
    chmodSync(staged, statSync(file).mode);
    // Another command may have changed it meanwhile.
    if (readFileSync(file, "utf8") !== mark + read) {
      throw userError(
        "bad-file",
        `${quoted(path)} was changed meanwhile: nothing is written`,
        "run it again",
      );
    }
    renameSync(staged, file);
  } finally {
    rmSync(staged, { force: true });
  }
}

/** A rename would replace a read-only file, so ask first. */
function requireWritable(path: string, file: string): void {
  try {
    accessSync(file, constants.W_OK);
  } catch (error) {
    const message = `${quoted(path)} cannot be written: ${reasonOf(error)}`;
    throw userError("bad-file", message, "give yourself the permission to write it");
  }
}
