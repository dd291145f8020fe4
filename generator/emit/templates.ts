/** Reads the texts of templates/. In: its folder. Out: text by path, with `/` between folders. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { PACKAGE_ROOT } from "../package_root.js";
import type { Templates } from "./render.js";

const TEMPLATES_FOLDER = join(PACKAGE_ROOT, "templates");

export function readTemplates(folder = TEMPLATES_FOLDER): Templates {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(
    paths.map((path) => [relative(folder, path).split(sep).join("/"), readFileSync(path, "utf8")]),
  );
}
