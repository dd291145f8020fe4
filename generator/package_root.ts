/** The folder of the running normrope package, compiled or not. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { internalError } from "./diagnostics.js";

export const PACKAGE_ROOT = findPackageRoot(dirname(fileURLToPath(import.meta.url)));

/** The package's version, as in the emitted manifest. */
export const COMPILER_VERSION = `normrope ${readVersion()}`;

function findPackageRoot(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
    if (folder === dirname(folder)) throw internalError("package_root", `no package.json above ${start}`);
  }
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8"));
  return String(version);
}
