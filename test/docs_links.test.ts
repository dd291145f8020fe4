/** The links of the README and the pages lead somewhere, and the files that the pages name exist. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";

const PAGES = [
  "README.md",
  "python/README.md",
  ...readdirSync(join(PACKAGE_ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const read = (page: string) => readFileSync(join(PACKAGE_ROOT, page), "utf8");

const LINK = /\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]*))?\)/g;
const NAME =
  /(?<![\w./-])(?:bench|docs|dsl|examples|generated|generator|python|runtime|templates|test)\/[\w./-]*\w\/?(?![\w<*/-])/g;

/** The headings of a page, as GitHub names them in links. */
const anchorsOf = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );

/** What is there: a file, or a folder where the name ends with a slash. */
function exists(path: string): boolean {
  const file = join(PACKAGE_ROOT, path);
  return existsSync(file) && (!path.endsWith("/") || statSync(file).isDirectory());
}

function deadLinks(page: string, text: string): string[] {
  return [...text.matchAll(LINK)].flatMap(([, path = "", anchor]) => {
    const target = join(page, "..", path);
    if (path !== "" && !exists(target)) return [path];
    const anchors = anchor === undefined ? [] : anchorsOf(path === "" ? text : read(target));
    return anchor === undefined || anchors.includes(anchor) ? [] : [`${path}#${anchor}`];
  });
}

/** Files and folders of the repository that a text names, and that are not there; links have a check of their own. */
const missingNames = (text: string) =>
  [...text.replace(LINK, "]").matchAll(NAME)].map(([name]) => name).filter((name) => !exists(name));

/** A page without its code blocks, which are a reader's own files. */
const withoutCode = (text: string) => text.replace(/^```[\s\S]*?^```$/gm, "");

describe.each(PAGES)("%s", (page) => {
  it("links to files and headings that exist", () => {
    expect(deadLinks(page, read(page))).toEqual([]);
  });

  it("names files that exist", () => {
    expect(missingNames(withoutCode(read(page)))).toEqual([]);
  });
});

describe("docs/architecture.md", () => {
  const page = read("docs/architecture.md");
  const foldersOf = (folder: string) =>
    readdirSync(join(PACKAGE_ROOT, folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `${folder}/${name}/`);

  it("shows every folder of the generator", () => {
    expect(foldersOf("generator").filter((folder) => !page.includes(folder))).toEqual([]);
  });

  it("links to a file for each step, and names files enough for the checks to mean something", () => {
    expect([...page.matchAll(LINK)].length).toBeGreaterThan(20);
    expect([...page.replace(LINK, "]").matchAll(NAME)].length).toBeGreaterThan(20);
  });
});

describe("the checks", () => {
  it("find a link to a file or a heading that is not there", () => {
    const text =
      "# Here\n[a](gone.md) [b](dsl.md#gone) [c](#gone) [d](dsl.md#the-axes) [e](#here) [f](https://gone)";
    expect(deadLinks("docs/page.md", text)).toEqual(["gone.md", "dsl.md#gone", "#gone"]);
  });

  it("find a name of a file or a folder that is not there", () => {
    const text =
      "`dsl/axes.ts`, dsl/gone.ts, `generator/plan/` (generator/gone/). `dsl/stages/<name>.ts` build/cpu/x";
    expect(missingNames(text)).toEqual(["dsl/gone.ts", "generator/gone/"]);
  });
});
