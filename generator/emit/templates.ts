/** Reads the texts of templates/. In: the files. Out: text by path, with `/` between folders. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { PACKAGE_ROOT } from "../package_root.js";
import type { Templates } from "./render.js";

const TEMPLATES = join(PACKAGE_ROOT, "templates");

export function readTemplates(): Templates {
  const files = readdirSync(TEMPLATES, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(
    paths.map((path) => [relative(TEMPLATES, path).split(sep).join("/"), readFileSync(path, "utf8")]),
  );
}
