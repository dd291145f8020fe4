/**
 * The README and the pages of docs/ are run as a reader would: each in a project of its own, from top to bottom.
 *
 * ```sh is run with bash, `npx normrope` being the sources and `npx tsx` the repository's; ```ts is the config where it defines a space, otherwise a
 * program, run and type-checked; ```c is written to the file that its first line names. ```text is what the block
 * before printed, ```stderr what it complained of, both with … for what is left out. ```cuda must be found in an
 * emitted kernel as it stands. ```typescript and ```handlebars are files of the package, and left to another test.
 */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import ts from "typescript";
import { afterAll, describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { normrope, type Run, setEnv } from "./cli_helpers.js";
import { DIST } from "./cli_process.js";
import { freshCache } from "./fixture.js";
import { writeFiles } from "./helpers.js";
import { canImport, PYTHON_FOLDER, python } from "./python.js";

const PAGES = [
  "README.md",
  ...readdirSync(join(PACKAGE_ROOT, "docs")).filter((name) => name.endsWith(".md")),
].map((name) => (name === "README.md" ? name : `docs/${name}`));
const TSX = join(PACKAGE_ROOT, "node_modules", "tsx", "dist", "loader.mjs");
const CLI = join(DIST, "generator", "cli.js");

interface Block {
  readonly language: string;
  readonly text: string;
  readonly line: number;
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(PACKAGE_ROOT, page), "utf8");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    language: match[1] ?? "",
    text: match[2] ?? "",
    line: text.slice(0, match.index).split("\n").length,
  }));
}

/** Whether a text is what a pattern says, in which … stands for anything. */
function matches(pattern: string, text: string): boolean {
  const parts = pattern
    .trim()
    .split("…")
    .map((part) => part.trim());
  const escaped = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const trimmed = text
    .trim()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
  return new RegExp(`^${escaped.join("[\\s\\S]*?")}$`).test(trimmed);
}

class Reader {
  readonly folder = mkdtempSync(join(tmpdir(), "normrope-docs-"));
  readonly programs: string[] = [];
  readonly #cache = freshCache();
  #stdout = "";
  #stderr = "";
  /** Whether the program before could not be run here: what it would have printed is not known then. */
  #isUnknown = false;

  constructor() {
    const paths = {
      "normrope/dsl": [join(PACKAGE_ROOT, "dsl", "index.ts")],
      "normrope/runtime": [join(PACKAGE_ROOT, "runtime", "index.ts")],
    };
    const compilerOptions = { paths, target: "ES2022", module: "NodeNext" };
    const npx = `#!/bin/sh\ntool=$1\nshift\n[ "$tool" = tsx ] && exec node --import "${TSX}" "$@"\nexec node "${CLI}" "$@"\n`;
    writeFiles(this.folder, {
      "tsconfig.json": JSON.stringify({ compilerOptions }),
      "package.json": '{ "type": "module" }',
      "bin/npx": npx,
    });
    chmodSync(join(this.folder, "bin", "npx"), 0o755);
    for (const folder of ["examples", "bench"]) {
      symlinkSync(join(PACKAGE_ROOT, folder), join(this.folder, folder));
    }
  }

  async read({ language, text }: Block): Promise<void> {
    switch (language) {
      case "sh":
        return this.#readShell(text);
      case "ts":
        return this.#readTypeScript(text);
      case "python":
        return this.#readPython(text);
      case "c":
        return writeFiles(this.folder, { [/^\/\* (\S+) \*\//.exec(text)?.[1] ?? "unnamed.c"]: text });
      case "text":
        if (this.#isUnknown) return;
        return expect(matches(text, this.#stdout), `printed:\n${this.#stdout}`).toBe(true);
      case "stderr":
        return expect(matches(text, this.#stderr), `complained:\n${this.#stderr}`).toBe(true);
      case "typescript":
      case "handlebars":
        return; // files of the package, which new_stage.test.ts writes
      case "cuda":
        return expect(this.#emitted().some((emitted) => emitted.includes(text))).toBe(true);
      default:
        throw new Error(`no one reads a block of ${language}`);
    }
  }

  /** Lines that are plain commands run in this process, which has loaded what they need; all else is for bash. */
  async #readShell(text: string): Promise<void> {
    const commands = text.split("\n").flatMap((line) => {
      const command = line.replace(/ {2,}#.*$/, "").trim();
      return command === "" ? [] : [command];
    });
    if (!commands.every((command) => /^npx normrope [\w ,./=-]+$/.test(command)))
      return this.#run("bash", ["--norc", "-euo", "pipefail", "-c", text]);
    this.#isUnknown = false;
    const before = process.cwd();
    const runs: Run[] = [];
    process.chdir(this.folder);
    setEnv("NORMROPE_CACHE_DIR", this.#cache);
    try {
      for (const command of commands) {
        const run = await normrope(command.split(/ +/).slice(2));
        runs.push(run);
        if (run.code !== 0) throw new Error(`${command} ends with ${run.code}: ${run.err}`);
      }
    } finally {
      process.chdir(before);
    }
    this.#stdout = runs.map(({ out }) => out).join("\n");
    this.#stderr = runs.map(({ err }) => err).join("\n");
  }

  async #readTypeScript(text: string): Promise<void> {
    if (text.includes("defineSpace(")) return writeFiles(this.folder, { "normrope.config.ts": text });
    const name = `program_${this.programs.length}.ts`;
    writeFiles(this.folder, { [name]: text });
    this.programs.push(join(this.folder, name));
    return this.#run("node", ["--import", TSX, name]);
  }

  async #readPython(text: string): Promise<void> {
    const [, needed] = /^# needs (\w+)\n/.exec(text) ?? [];
    if (python !== undefined && (needed === undefined || (await canImport(needed))))
      return this.#run(python.path, ["-c", text]);
    this.#isUnknown = true;
  }

  async #run(command: string, args: readonly string[]): Promise<void> {
    this.#isUnknown = false;
    const env = {
      PATH: `${join(this.folder, "bin")}:${process.env.PATH}`,
      NORMROPE_CACHE_DIR: this.#cache,
      PYTHONPATH: PYTHON_FOLDER,
    };
    const { stdout, stderr } = await execa(command, args, { cwd: this.folder, env });
    [this.#stdout, this.#stderr] = [stdout, stderr];
  }

  #emitted(): string[] {
    const folder = join(this.folder, "generated", "cuda");
    return readdirSync(folder).map((name) => readFileSync(join(folder, name), "utf8"));
  }
}

/** What TypeScript says of programs, with the settings of the repository. */
function typeErrorsOf(programs: readonly string[]): string[] {
  const { config } = ts.readConfigFile(join(PACKAGE_ROOT, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, PACKAGE_ROOT);
  const unchecked = { noUnusedLocals: false, typeRoots: [join(PACKAGE_ROOT, "node_modules", "@types")] };
  return ts
    .getPreEmitDiagnostics(ts.createProgram(programs, { ...options, ...unchecked }))
    .map(
      ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
    );
}

/** Of all pages; their folders stay until all programs were type-checked at once. */
const readers: Reader[] = [];
afterAll(() => {
  for (const { folder } of readers) rmSync(folder, { recursive: true, force: true });
});

describe.each(PAGES)("%s", (page) => {
  it("runs as it stands", async () => {
    const reader = new Reader();
    readers.push(reader);
    const blocks = blocksOf(page);
    expect(blocks.length).toBe(
      (readFileSync(join(PACKAGE_ROOT, page), "utf8").match(/^```/gm)?.length ?? 0) / 2,
    );
    for (const block of blocks) {
      await reader.read(block).catch((error: unknown) => {
        const { message } = error instanceof Error ? error : { message: String(error) };
        throw new Error(`${page}:${block.line}: ${message}`, { cause: error });
      });
    }
  });
});

it("the programs of all pages type-check", ({ skip }) => {
  skip(readers.length === 0, "no page was read");
  const programs = readers.flatMap((reader) => reader.programs);
  expect(programs.length).toBeGreaterThan(0);
  expect(typeErrorsOf(programs)).toEqual([]);
});
