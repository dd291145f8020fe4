/** What the tests of the command line, of `add` and of builds share: runs of commands, small spaces, a compile cache, folders as texts. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import pc from "picocolors";
import { afterAll, beforeAll, onTestFinished, vi } from "vitest";
import { main } from "../generator/cli.js";
import type { Io } from "../generator/commands/io.js";
import { CACHE_ROOT } from "./fixture.js";
import { spaceOf } from "./helpers.js";

export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** An Io that keeps its lines. */
export function collectingIo(colors = false): { io: Io; out: () => string; err: () => string } {
  const out: string[] = [];
  const err: string[] = [];
  const io: Io = {
    print: (line) => out.push(line),
    note: (line) => err.push(line),
    color: pc.createColors(colors),
    noteColor: pc.createColors(colors),
  };
  return { io, out: () => out.join("\n"), err: () => err.join("\n") };
}

/** Runs a command line in this process. */
export async function normrope(args: readonly string[], colors = false): Promise<Run> {
  const { io, out, err } = collectingIo(colors);
  const code = await main(args, io);
  return { code, out: out(), err: err() };
}

/** Sets a variable of the environment until the test ends. */
export function setEnv(name: string, value: string): void {
  vi.stubEnv(name, value);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
}

/** An entry of small neox kernels. */
export const neoxEntry = (...headDims: number[]) =>
  `{ headDim: [${headDims.join(", ")}], rope: ["neox"], dtype: ["bf16"] }`;
export const neoxSpace = (...headDims: number[]) => spaceOf(neoxEntry(...headDims));
export const neoxId = (headDim: number, rotaryDim = headDim) =>
  `qk_norm_rope__bf16_d${headDim}_r${rotaryDim}_neox`;

/** Builds of commands use the cache that all tests share. */
export function useSharedCache(): void {
  const before = process.env.NORMROPE_CACHE_DIR;
  beforeAll(() => {
    process.env.NORMROPE_CACHE_DIR = CACHE_ROOT;
  });
  afterAll(() => {
    if (before === undefined) delete process.env.NORMROPE_CACHE_DIR;
    else process.env.NORMROPE_CACHE_DIR = before;
  });
}

/** The text of every file below a folder. */
export function textsIn(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(paths.map((path) => [relative(folder, path), readFileSync(path, "utf8")]));
}
