/**
 * One run of a compiler.
 *
 * In: its path, arguments, a folder, and the texts that it reads there. Out: what it printed, or a diagnostic. No string
 * reaches a shell, no variable of the environment changes what is made, and nothing that was started outlives the run.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { UserError } from "../diagnostics.js";
import type { FileSet } from "../ir.js";
import { bothEnds, guardGroup } from "./process_group.js";

/** For one run. The slowest kernel takes nvcc a few seconds an architecture; a machine may be slow, and busy. */
export const COMPILER_TIMEOUT_S = 600;

/** Writes the texts that a compiler is to read below a folder. */
export function writeInputs(folder: string, files: FileSet): void {
  for (const { path, text } of files) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** What a compiler may hear of: of the others some change what it makes, and no key covers them. */
const PASSED_ON = ["HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH"];

/**
 * Temporary files go into the folder of the run: it is removed with them where the compiler is killed, and its name,
 * unlike that of another folder, is one that the shell which nvcc runs its tools by cannot misread.
 */
function compilerEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => PASSED_ON.includes(name));
  return { ...Object.fromEntries(kept), TMPDIR: "." };
}

export interface CompilerRun {
  readonly path: string;
  readonly args: readonly string[];
  /** The folder that it runs in. */
  readonly cwd: string;
  /** What it is for, to be said in a message. */
  readonly name: string;
  readonly timeoutSeconds?: number | undefined;
}

/**
 * Runs a compiler and returns what it printed.
 * @throws UserError `compile-failed`, `compile-timeout`, with the command and its output.
 */
export async function runCompiler(run: CompilerRun): Promise<string> {
  const { name, timeoutSeconds = COMPILER_TIMEOUT_S } = run;
  const result = await start(run, timeoutSeconds);
  if (result.succeeded) return result.output;
  const what = result.timedOut
    ? `the compiler was stopped after ${timeoutSeconds} s`
    : `the compiler failed (${result.ended})`;
  throw new UserError([
    {
      code: result.timedOut ? "compile-timeout" : "compile-failed",
      message: `${name}: ${what}\n  ${result.command}\n${result.output}`,
      fix: result.timedOut
        ? "see why it does not end, or give it more time with `normrope build --timeout SECONDS`"
        : fixFor(`${result.ended}\n${result.output}`),
    },
  ]);
}

function fixFor(failure: string): string {
  if (/No space left on device/.test(failure)) {
    return "make room in the cache, or set NORMROPE_CACHE_DIR to another folder";
  }
  if (/SIGKILL|Killed signal|signal 9/.test(failure)) {
    return "something killed it, most often for want of memory: `normrope build --jobs 1` needs the least";
  }
  return "read the compiler's output above; `normrope doctor` checks the compilers themselves";
}

interface Ended {
  readonly succeeded: boolean;
  readonly timedOut: boolean;
  /** How it ended, in words. */
  readonly ended: string;
  /** The command as a shell would take it, to be shown. */
  readonly command: string;
  /** stdout and stderr; only the two ends of what is too long. */
  readonly output: string;
}

async function start({ path, args, cwd }: CompilerRun, timeoutSeconds: number): Promise<Ended> {
  const subprocess = execa(path, args, {
    ...{ stdin: "ignore", all: true, buffer: false, reject: false, detached: true },
    ...{ cwd, env: compilerEnvironment(), extendEnv: false },
  });
  const guard = guardGroup(subprocess, subprocess.all, timeoutSeconds);
  try {
    const [result, output] = await Promise.all([subprocess, bothEnds(subprocess.all)]);
    const { exitCode, signal, shortMessage, escapedCommand: command } = result;
    const ended =
      signal !== undefined
        ? `signal ${signal}`
        : exitCode !== undefined
          ? `exit status ${exitCode}`
          : (shortMessage ?? "");
    const timedOut = guard.timedOut();
    return { succeeded: exitCode === 0 && !timedOut, timedOut, ended, command, output };
  } finally {
    guard.release();
  }
}
