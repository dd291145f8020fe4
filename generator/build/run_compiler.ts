/**
 * One run of a compiler.
 *
 * In: its path, arguments, a folder, and the texts that it reads there. Out: its output, or a diagnostic. No string reaches a
 * shell, no environment variable changes the result, and no process outlives the run.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { UserError } from "../diagnostics.js";
import type { FileSet } from "../ir.js";
import { bothEnds, guardGroup } from "./process_group.js";

/** The default time limit of a run. nvcc takes a few seconds for each architecture of the slowest kernel; machines may be busy. */
export const COMPILER_TIMEOUT_S = 600;

/** Writes a compiler's input below a folder. */
export function writeInputs(folder: string, files: FileSet): void {
  for (const { path, text } of files) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** The environment variables that a compiler sees. Others could change its output, and no key covers them. */
const PASSED_ON = ["HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH"];

/**
 * Temporary files go into the folder of the run. It is removed with them if the compiler is killed, and its name is safe in the
 * shell lines by which nvcc runs its tools.
 */
function compilerEnvironment(own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => PASSED_ON.includes(name));
  return { ...Object.fromEntries(kept), ...own, TMPDIR: "." };
}

export interface CompilerRun {
  readonly path: string;
  readonly args: readonly string[];
  /** The folder that it runs in. */
  readonly cwd: string;
  /** The purpose of the run, for messages. */
  readonly name: string;
  readonly timeoutSeconds?: number | undefined;
  /** Variables of this run. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Runs a compiler and returns its output.
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
  /** How the run ended, in words. */
  readonly ended: string;
  /** The command in shell syntax, for messages. */
  readonly command: string;
  /** stdout and stderr, cut in the middle if too long. */
  readonly output: string;
}

async function start({ path, args, cwd, env = {} }: CompilerRun, timeoutSeconds: number): Promise<Ended> {
  const subprocess = execa(path, args, {
    ...{ stdin: "ignore", all: true, buffer: false, reject: false, detached: true },
    ...{ cwd, env: compilerEnvironment(env), extendEnv: false },
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
