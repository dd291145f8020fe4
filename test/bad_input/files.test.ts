/** Files that are missing, are something else, or cannot be written: each command says so, and touches nothing. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { recordText } from "../../generator/bench/record.js";
import { benchRecord } from "../bench_sample.js";
import { neoxId, neoxSpace, normrope, useSharedCache } from "../cli_helpers.js";
import { readMarks, spaceOf, temporaryFolder, writeFiles } from "../helpers.js";
import { LEFTOVERS, project } from "./project.js";
import { filesIn, leaving } from "./unchanged.js";

useSharedCache();
/** One for each way in which commands read a config. */
const COMMANDS = ["list", "emit", "demo", "add headDim 32"];

/** Makes what is to be the config, below a folder, and gives its path. */
type Make = (folder: string) => string;
const written = (content: string | Buffer) => (folder: string) => {
  const path = join(folder, "mine.config.ts");
  writeFileSync(path, content);
  return path;
};
const valid = neoxSpace(16);

describe("a config", () => {
  it.each<[string, Make, RegExp]>([
    [
      "that is not there",
      (folder) => join(folder, "no.ts"),
      /\[config-not-found\]: there is no .*no\.ts\n.*init/,
    ],
    ["in a folder that is not there", (folder) => join(folder, "no/c.ts"), /\[config-not-found\].*no\/c\.ts/],
    ["below a file", (folder) => join(written(valid)(folder), "c.ts"), /\[config-not-found\].*mine.*\/c\.ts/],
    ["without a name", () => "", /\[config-not-found\]: there is no ""/],
    ["with a line break in its name", (folder) => join(folder, "a\nb.ts"), /there is no ".*a\\nb\.ts"/],
    [
      "with a colour in its name",
      (folder) => join(folder, "\u001b[31mb.ts"),
      /there is no ".*\\u001b\[31mb\.ts"/,
    ],
    ["with NUL in its name", (folder) => join(folder, "a\0b.ts"), /\[config-unreadable\]: ".*a\\u0000b\.ts"/],
    [
      "whose name is too long",
      (folder) => join(folder, "x".repeat(300)),
      /\[config-unreadable\].*ENAMETOOLONG/,
    ],
    ["that is a folder", (folder) => folder, /\[config-unreadable\]: .* is a folder\n/],
    ["that is a pipe", pipe, /\[config-unreadable\]: .*pipe\.ts is not a file\n/],
    ["that is a link to itself", selfLink, /\[config-unreadable\]: .*link\.ts cannot be read: ELOOP/],
    ["of 10 MB of junk", written("x ".repeat(5_000_000)), /\[config-unreadable\].* has 10000000 bytes/],
    ["of zero bytes", written(Buffer.alloc(1000)), /\[config-unreadable\].* is no text in UTF-8/],
    ["of random bytes", written(randomBytes(5000)), /\[config-unreadable\].* is no text in UTF-8/],
    [
      "in UTF-16",
      written(Buffer.from(`\ufeff${valid}`, "utf16le")),
      /\[config-unreadable\].* is no text in UTF-8/,
    ],
    [
      "in Latin-1",
      written(Buffer.from(`// Müller\n${valid}`, "latin1")),
      /\[config-unreadable\].* no text in UTF-8/,
    ],
    ["of many words", written("x ".repeat(500)), /TS1434[\s\S]*… and \d+ more$|and 469 more/],
    [
      "of deep brackets",
      written(spaceOf("[".repeat(20_000))),
      /\[config-unreadable\].* is nested too deeply/,
    ],
    [
      "of deep parentheses",
      written(spaceOf(`${"(".repeat(9000)}1`)),
      /\[config-unreadable\].* nested too deeply/,
    ],
    ["that is empty", written(""), /\[not-a-space\]/],
    ["of a byte order mark alone", written("\ufeff"), /\[not-a-space\]/],
    ["that is JSON", written('{ "headDim": [64] }'), /\[(not-a-space|type-error)\]/],
  ])("%s, to every command", async (_, make, message) => {
    const { folder } = project();
    const config = make(folder);
    for (const command of COMMANDS) {
      const target = command === "build" ? ["--target", "cpu"] : [];
      const { code, out, err } = await leaving(filesIn(folder), () =>
        normrope([...command.split(" "), "--config", config, ...target]),
      );
      expect(err).toMatch(message);
      expect([code, out]).toEqual([1, ""]);
    }
  });

  it.skipIf(process.getuid?.() === 0)("that may not be read (root may read everything)", async () => {
    const { folder, config } = project();
    chmodSync(config, 0);
    const { code, err } = await normrope(["list", "--config", config]);
    expect([code, err]).toEqual([1, expect.stringMatching(/\[config-unreadable\].*EACCES/)]);
    expect(filesIn(join(folder, "build"))()).toBeDefined();
  });

  it.each(["list", "emit", "check", "build"])("with two errors, to %s", async (command) => {
    const { text, places } = readMarks(
      spaceOf(`{\n  headDim: [16, ▸20],\n  rope: [▸"neo"],\n  dtype: ["bf16"],\n}`),
    );
    const { folder, config } = project(text);
    const { code, out, err } = await leaving(filesIn(folder), () => normrope([command, "--config", config]));
    expect([code, out]).toEqual([1, ""]);
    expect(places).toHaveLength(2);
    for (const { line, column } of places) {
      expect(err).toContain(`${config}:${line}:${column}: error [value-not-in-axis]`);
    }
  });
});

describe("init", () => {
  it.each<[string, (folder: string) => string, RegExp]>([
    [
      "a file that is there",
      (folder) => join(folder, "normrope.config.ts"),
      /\[file-exists\].*config\.ts is there/,
    ],
    ["a folder", (folder) => folder, /\[file-exists\].* is there already, a folder/],
    [
      "a folder that is not there",
      (folder) => join(folder, "no/c.ts"),
      /\[bad-option\].*no\/c\.ts cannot.*ENOENT/,
    ],
    ["a file below a file", (folder) => join(folder, "normrope.config.ts/c.ts"), /\[bad-option\].*ENOTDIR/],
    ["no name", () => "", /\[bad-option\]: "" cannot be written/],
    ["a line break", (folder) => join(folder, "no\n/c.ts"), /\[bad-option\]: ".*no\\n\/c\.ts" cannot/],
  ])("does not write over, or into, %s", async (_, pathIn, message) => {
    const { folder } = project("// mine\n");
    const { code, out, err } = await leaving(filesIn(folder), () =>
      normrope(["init", "--config", pathIn(folder)]),
    );
    expect([code, out, err]).toEqual([1, "", expect.stringMatching(message)]);
  });
});

describe("what stands where a command writes is left alone:", () => {
  it.each<[string, string, string, RegExp]>([
    rowFor("check", "a file for generated/", "generated", /\[bad-file\]: .*generated: ENOTDIR/),
    ...["emit", "build --target cpu"].map((command) =>
      rowFor(command, "a file for generated/", "generated", /\[folder-unusable\]: .*ENOTDIR.*generated/),
    ),
    rowFor(
      "emit",
      "a folder for a file",
      "generated/manifest.json/x",
      /\[file-exists\].*manifest\.json is not/,
    ),
    rowFor("emit", "a file for a folder", "generated/cpu", /\[folder-unusable\]: .*ENOTDIR.*generated\/cpu/),
    rowFor("build --target cpu", "a file for build/", "build", /\[folder-unusable\]: .*build.*ENOTDIR/),
    rowFor(
      "build --target cpu",
      "a folder for the library",
      "build/cpu/libnormrope.so/x",
      /\[folder-unusable\]: .*EISDIR.*libnormrope/,
    ),
  ])("%s, %s", async (command, _, obstacle, message) => {
    const folder = temporaryFolder();
    writeFiles(folder, { "normrope.config.ts": valid, [obstacle]: "mine\n" });
    // A build emits first: it is build/ that must stay.
    const top = obstacle.split("/")[0] ?? "";
    const watched = () => Object.entries(filesIn(folder)()).filter(([path]) => path.startsWith(top));
    const args = [...command.split(" "), "--config", join(folder, "normrope.config.ts")];
    const { code, err } = await leaving(watched, () => normrope(args));
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
  });
});

describe("a record or a place that cannot be used", () => {
  const chart =
    (name: string, ...rest: string[]) =>
    (folder: string) => ["chart", join(folder, name), ...rest.map((arg) => arg.replace("@", `${folder}/`))];
  const report =
    (...rest: string[]) =>
    (folder: string) => [
      ...["report", "--target", "cpu", "--config", join(folder, "normrope.config.ts")],
      ...rest.map((arg) => arg.replace("@", `${folder}/`)),
    ];
  const svg = "d128_r128_neox_h32-8-8_time.svg";
  it.each<[string, (folder: string) => string[], RegExp]>([
    ["a record that is not there", chart("no.json"), /\[bad-option\]: .*no\.json cannot be read: ENOENT/],
    ["a folder for a record", chart("."), /\[bad-option\]: .* cannot be read: EISDIR/],
    ["what is no record", chart("peers.json"), /\[bad-record\]: .*peers\.json/],
    [
      "a library for a record",
      chart("build/cpu/libnormrope.so"),
      /\[bad-record\]: .*libnormrope\.so is not JSON/,
    ],
    ["a record with a line break in a key", chart("keys.json"), /\[bad-record\]: [^\n]*rows[^\n]*\n {2}fix/],
    ["peers that are none", chart("record.json", "--peers", "@record.json"), /\[bad-record\]/],
    [
      "peers that are not there",
      chart("record.json", "--peers", "@no.json"),
      /\[bad-option\]: .*no\.json cannot/,
    ],
    [
      "a geometry that it lacks",
      chart("record.json", "--geometry", "ne\nox"),
      /"ne\\nox" is not in .*[\s\S]*d128_r128_neox_h32-8-8/,
    ],
    [
      "charts into a file",
      chart("record.json", "--out", "@record.json"),
      /\[bad-option\]: --out .*record\.json is no folder/,
    ],
    [
      "charts below a file",
      chart("record.json", "--out", "@record.json/x"),
      /\[bad-option\]: --out .*ENOTDIR/,
    ],
    ["charts to no name", chart("record.json", "--out", ""), /\[bad-option\]: --out "" is no folder/],
    [
      "charts over a folder",
      chart("record.json", "--out", "@charts"),
      RegExp(`--out .*charts: ${svg} in it is no file`),
    ],
    ["a page into a folder", report("--out", "@charts"), /\[bad-option\]: --out .*charts is a folder/],
    ["a page to no name", report("--out", ""), /\[bad-option\]: --out "" is no file/],
    [
      "a page to no folder",
      report("--out", "@no/such/page.html"),
      /\[bad-option\]: --out .*there is no folder/,
    ],
    ["a page below a file", report("--out", "@record.json/page.html"), /\[bad-option\]: --out .*no folder/],
    [
      "a page of a record that is not there",
      report("--bench", "@no.json"),
      /--bench .*no\.json cannot be read: ENOENT/,
    ],
    ["a page of a folder", report("--bench", "@charts"), /--bench .*charts cannot be read: EISDIR/],
    ["a page of no record", report("--bench", "@peers.json"), /\[bad-record\]: .*peers\.json/],
  ])("%s", async (_, args, message) => {
    const record = benchRecord();
    const { folder } = project(valid, {
      "record.json": recordText(record),
      "peers.json": "{}",
      "keys.json": JSON.stringify({ ...record, rows: [{ ...record.rows[0], "a\nb\u001b[31m": 1, us: "x" }] }),
      [`charts/${svg}/x`]: "",
    });
    const { code, out, err } = await leaving(filesIn(folder), () => normrope(args(folder)));
    expect([code, out, err]).toEqual([1, "", expect.stringMatching(message)]);
  });
});

describe("a project whose path has", () => {
  it.each([
    ["spaces, quotes and letters beyond ASCII", `it's "a project" of Müller 漢字`],
    ["a line break, and what a shell would run", "-rf\n$(x) `y`; & | * ? #"],
  ])("%s is emitted, checked, edited and built", async (_, name) => {
    const folder = join(temporaryFolder(), name);
    mkdirSync(folder);
    const config = join(folder, "normrope.config.ts");
    writeFileSync(config, `\ufeff${valid.replaceAll("\n", "\r\n")}`);
    for (const command of ["emit", "check", "build --target cpu", "list", "verify --target cpu"]) {
      const { code, err } = await normrope([...command.split(" "), "--config", config]);
      expect([command, code, err.match(/error/)]).toEqual([command, 0, null]);
    }
    expect((await normrope(["add", "headDim", "24", "--config", config])).out).toContain(neoxId(24));
    expect(readFileSync(config, "utf8")).toBe(`\ufeff${neoxSpace(16, 24).replaceAll("\n", "\r\n")}`);
  });
});

it("check names what other commands left behind, and changes none of it", async () => {
  const { folder, config } = project();
  const { code, err } = await leaving(filesIn(folder), () => normrope(["check", "--config", config]));
  expect(code).toBe(1);
  for (const path of Object.keys(LEFTOVERS).filter((name) => name.startsWith("generated/"))) {
    expect(err).toContain(path.replace("generated/", ""));
  }
});

function rowFor(command: string, what: string, obstacle: string, message: RegExp) {
  return [command, what, obstacle, message] as [string, string, string, RegExp];
}

function pipe(folder: string): string {
  const path = join(folder, "pipe.ts");
  execFileSync("mkfifo", [path]);
  return path;
}

function selfLink(folder: string): string {
  const path = join(folder, "link.ts");
  symlinkSync(path, path);
  return path;
}

function randomBytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => ((i + 1) * 7919) % 256));
}
