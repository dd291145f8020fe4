/** The emitted files on disk: written where they differ, compared, and never half-written. */
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { compareFileSet, writeFileSet } from "../generator/emit/fileset.js";
import type { FileSet } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { type Texts, temporaryFolder, writeFiles } from "./helpers.js";

const KERNEL = "qk_norm_rope__bf16_d128_r128_neox";
const ORPHAN = "qk_norm_rope__bf16_d64_r64_neox";
const FILES: FileSet = [
  { path: `cpu/${KERNEL}.cpp`, text: "// cpu\n" },
  { path: `cuda/${KERNEL}.cu`, text: "// cuda\n" },
  { path: "manifest.json", text: "{}\n" },
];
const LONG_AGO = new Date("2020-01-01T00:00:00Z");

/** Every file below a folder, with its text. */
function readAll(folder: string): Texts {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).sort();
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path, "utf8")]));
}

const textsOf = (files: FileSet): Texts => Object.fromEntries(files.map(({ path, text }) => [path, text]));

function folderWith(files: FileSet): string {
  const folder = temporaryFolder();
  writeFiles(folder, textsOf(files));
  return folder;
}

describe("writeFileSet", () => {
  it("makes a folder that is not there yet", () => {
    const folder = join(temporaryFolder(), "deep", "generated");
    expect(writeFileSet(folder, FILES)).toEqual({
      written: FILES.map(({ path }) => path),
      removed: [],
      foreign: [],
    });
    expect(readAll(folder)).toEqual(textsOf(FILES));
    expect(compareFileSet(folder, FILES)).toEqual([]);
  });

  it("writes only what differs", () => {
    const folder = folderWith(FILES);
    for (const { path } of FILES) utimesSync(join(folder, path), LONG_AGO, LONG_AGO);
    const changed = FILES.map((file) => (file.path === "manifest.json" ? { ...file, text: "[]\n" } : file));
    expect(writeFileSet(folder, changed).written).toEqual(["manifest.json"]);
    expect(readAll(folder)).toEqual(textsOf(changed));
    const untouched = FILES.filter(({ path }) => statSync(join(folder, path)).mtimeMs === LONG_AGO.getTime());
    expect(untouched.map(({ path }) => path)).toEqual([`cpu/${KERNEL}.cpp`, `cuda/${KERNEL}.cu`]);
  });

  it("removes kernels of points that are gone, and leaves what no normrope wrote", () => {
    const folder = folderWith(FILES);
    const foreign = {
      "README.md": "mine",
      "cuda/helper.cu": "mine",
      [`cuda/${ORPHAN}.cu.orig`]: "mine",
      [`cuda/${ORPHAN}.txt`]: "mine",
    };
    writeFiles(folder, { ...foreign, [`cuda/${ORPHAN}.cu`]: "old", [`cpu/${ORPHAN}.cpp`]: "old" });
    const result = writeFileSet(folder, FILES);
    expect(result).toEqual({
      written: [],
      removed: [`cpu/${ORPHAN}.cpp`, `cuda/${ORPHAN}.cu`],
      foreign: Object.keys(foreign).sort(),
    });
    expect(readAll(folder)).toEqual({ ...textsOf(FILES), ...foreign });
  });

  it.each([
    ["a folder stands in a file's place", "manifest.json/inside"],
    ["a file stands in a folder's place", "include"],
  ])("leaves every old text, and nothing else, where %s", (_, obstacle) => {
    const old = FILES.filter(({ path }) => path !== "manifest.json");
    const folder = folderWith(old);
    writeFiles(folder, { [obstacle]: "in the way", [`cuda/${ORPHAN}.cu`]: "old" });
    const before = readAll(folder);
    const emitted = [
      ...FILES.map(({ path, text }) => ({ path, text: `${text}new\n` })),
      { path: "include/normrope.h", text: "new\n" },
    ];
    expect(() => writeFileSet(folder, emitted)).toThrow();
    expect(readAll(folder)).toEqual(before);
  });
});

describe("what a killed process left", () => {
  const young = `cuda/${KERNEL}.cu.0123456789ab.tmp`;
  const old = "cpu/abi.cpp.ba9876543210.tmp";

  it("is neither extra nor foreign, and is removed when it is old", () => {
    const folder = folderWith(FILES);
    writeFiles(folder, { [young]: "half", [old]: "half" });
    utimesSync(join(folder, old), LONG_AGO, LONG_AGO);
    expect(compareFileSet(folder, FILES)).toEqual([]);
    expect(writeFileSet(folder, FILES)).toEqual({ written: [], removed: [], foreign: [] });
    expect(Object.keys(readAll(folder))).toEqual([...FILES.map(({ path }) => path), young].sort());
  });
});

it("processes that write into one folder at once leave what one of them wrote", async () => {
  const folder = temporaryFolder();
  const files = (names: string[]) =>
    names.map((name) => ({ path: `cpu/${kernelOf(name)}.cpp`, text: `${name}\n` }));
  const kernelOf = (name: string) => `qk_norm_rope__bf16_d${name}_r${name}_neox`;
  const sets = [files(["64", "80", "96"]), files(["128"])];
  const module = join(PACKAGE_ROOT, "generator", "emit", "fileset.ts");
  const program = `const { writeFileSet } = await import(${JSON.stringify(module)});
const sets = ${JSON.stringify(sets)};
for (let i = 0; i < 200; i++) writeFileSet(${JSON.stringify(folder)}, sets[(i + Number(process.argv[1])) % 2]);`;
  const run = (turn: number) =>
    execa("node", ["--import", "tsx", "--input-type=module", "--eval", program, `${turn}`], {
      cwd: PACKAGE_ROOT,
    });
  await Promise.all([run(0), run(1)]);
  writeFileSet(folder, sets[0] ?? []);
  expect(compareFileSet(folder, sets[0] ?? [])).toEqual([]);
});

describe("compareFileSet", () => {
  it("reports changed, missing and extra files, each with a patch, and touches nothing", () => {
    const folder = temporaryFolder();
    writeFiles(folder, {
      [`cpu/${KERNEL}.cpp`]: "// old\n",
      "manifest.json": "{}\n",
      "cuda/extra.cu": "// extra\n",
    });
    const before = readAll(folder);
    const differences = compareFileSet(folder, FILES);
    expect(differences.map(({ path, kind }) => [path, kind])).toEqual([
      [`cpu/${KERNEL}.cpp`, "changed"],
      ["cuda/extra.cu", "extra"],
      [`cuda/${KERNEL}.cu`, "missing"],
    ]);
    const lines = differences.map(({ patch }) => patch.split("\n").filter((line) => /^[-+]\/\//.test(line)));
    expect(lines).toEqual([["-// old", "+// cpu"], ["-// extra"], ["+// cuda"]]);
    expect(readAll(folder)).toEqual(before);
  });

  it("finds every file missing where there is no folder", () => {
    const differences = compareFileSet(join(temporaryFolder(), "none"), FILES);
    expect(differences.map(({ kind }) => kind)).toEqual(["missing", "missing", "missing"]);
  });

  it("sees a difference in line ends and in the last line break", () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "cpu"));
    writeFiles(folder, { "a.h": "one\r\n", "b.h": "one" });
    const files = ["a.h", "b.h"].map((path) => ({ path, text: "one\n" }));
    expect(compareFileSet(folder, files).map(({ kind }) => kind)).toEqual(["changed", "changed"]);
  });
});
