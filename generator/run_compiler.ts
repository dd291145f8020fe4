/**
 * One run of a compiler, or of another tool.
 *
 * In: its path, arguments, a folder, and the texts that it reads there. Out: what it printed, or a diagnostic. No string
 * reaches a shell, no variable of the environment changes what is made, and nothing that was started outlives the run.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { onExit } from "signal-exit";
import { UserError } from "./diagnostics.js";
import type { FileSet } from "./ir.js";

/** For one run. The slowest kernel takes nvcc a few seconds an architecture; a machine may be slow, and busy. */
export const COMPILER_TIMEOUT_S = 600;

/** Of what a tool prints, this much is kept from either end. ptxas reports about 1 KB an architecture for a kernel. */
const KEPT_BYTES = 128 * 1024;

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
  const { path, args, cwd, name, timeoutSeconds = COMPILER_TIMEOUT_S } = run;
  const result = await runTool(path, args, timeoutSeconds, { cwd, env: compilerEnvironment() });
  if (result.exitCode === 0) return result.output;
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

export interface ToolResult {
  /** Undefined where a signal ended it, or where it could not be started. */
  readonly exitCode: number | undefined;
  readonly timedOut: boolean;
  /** How it ended, in words. */
  readonly ended: string;
  /** The command as a shell would take it, to be shown. */
  readonly command: string;
  /** stdout, and with it stderr unless that was to be ignored; only the two ends of what is too long. */
  readonly output: string;
}

/**
 * Runs a program with its children in a process group of their own, and kills what is left of the group when the program
 * ends, its time is over, or this process ends. A SIGKILL to this process is the one thing that they survive.
 */
export async function runTool(
  path: string,
  args: readonly string[],
  timeoutSeconds: number,
  { cwd, env, stderr = "pipe" }: { cwd?: string; env?: NodeJS.ProcessEnv; stderr?: "pipe" | "ignore" } = {},
): Promise<ToolResult> {
  const subprocess = execa(path, args, {
    ...{ stdin: "ignore", stderr, all: true, buffer: false, reject: false, detached: true },
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env, extendEnv: false }),
  });
  const stop = () => killGroup(subprocess.pid);
  const forget = onExit(stop);
  subprocess.once("exit", stop);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
    subprocess.all.destroy(); // a child that left the group may hold it open
  }, timeoutSeconds * 1000);
  try {
    const [result, output] = await Promise.all([subprocess, bothEnds(subprocess.all)]);
    const { exitCode, signal, shortMessage, escapedCommand: command } = result;
    const ended =
      signal !== undefined
        ? `signal ${signal}`
        : exitCode !== undefined
          ? `exit status ${exitCode}`
          : (shortMessage ?? "");
    return { exitCode: timedOut ? undefined : exitCode, timedOut, ended, command, output };
  } finally {
    clearTimeout(timer);
    forget();
  }
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, "SIGKILL");
  } catch {
    // nothing is left of it
  }
}

/** A stream's text; of one that is too long its two ends, cut at lines. Takes no more memory than that. */
async function bothEnds(stream: AsyncIterable<Buffer>): Promise<string> {
  let [head, tail, total] = [Buffer.alloc(0), Buffer.alloc(0), 0];
  try {
    for await (const chunk of stream) {
      total += chunk.length;
      const room = KEPT_BYTES - head.length;
      if (room > 0) head = Buffer.concat([head, chunk.subarray(0, room)]);
      tail = Buffer.concat([tail, chunk.subarray(room)]).subarray(-KEPT_BYTES);
    }
  } catch {
    // it was cut off: what came is what there is
  }
  if (total > head.length + tail.length) {
    head = head.subarray(0, head.lastIndexOf("\n") + 1 || undefined);
    tail = tail.subarray(tail.indexOf("\n") + 1);
  }
  const left = total - head.length - tail.length;
  const between = left === 0 ? "" : `\n[... ${left} bytes are left out here ...]\n`;
  return `${head.toString("utf8")}${between}${tail.toString("utf8")}`.replace(/\r?\n$/, "");
}
