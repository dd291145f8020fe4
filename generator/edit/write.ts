/** Writes an edited config: whole, by a rename. */
import { randomBytes } from "node:crypto";
import { chmodSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";

/** Replaces the file that the path leads to, with its permissions and its byte order mark. */
export function writeAtOnce(path: string, text: string): void {
  const file = realpathSync(path);
  const mark = readFileSync(file, "utf8").startsWith("\ufeff") ? "\ufeff" : "";
  const staged = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(staged, mark + text);
    chmodSync(staged, statSync(file).mode);
    renameSync(staged, file);
  } finally {
    rmSync(staged, { force: true });
  }
}
