/**
 * One run of a compiler.
 *
 * In: its path, arguments, a folder, and the texts that it reads there. Out: what it printed, or a diagnostic. No string
 * reaches a shell, and no variable of the environment changes what is made.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { UserError } from "./diagnostics.js";
import type { FileSet } from "./ir.js";

/** Writes the texts that a compiler is to read below a folder. */
export function writeInputs(folder: string, files: FileSet): void {
  for (const { path, text } of files) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** Variables that change what a compiler makes and that no key covers. */
const HIDDEN_INPUTS =
  /^(NVCC_(PREPEND|APPEND)_FLAGS|C_INCLUDE_PATH|CPLUS_INCLUDE_PATH|CPATH|LIBRARY_PATH|GCC_EXEC_PREFIX)$/;

function compilerEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !HIDDEN_INPUTS.test(name)));
}

/**
 * Runs a compiler in a folder and returns all that it printed; `name` says in the message what it was for.
 * @throws UserError `compile-failed` with the command and its output.
 */
export async function runCompiler(
  path: string,
  args: readonly string[],
  cwd: string,
  name: string,
): Promise<string> {
  const result = await execa(path, args, {
    ...{ cwd, all: true, reject: false, stdin: "ignore" },
    ...{ env: compilerEnvironment(), extendEnv: false },
  });
  if (result.exitCode === 0) return result.all;
  const ended = result.signal === undefined ? `exit status ${result.exitCode}` : `signal ${result.signal}`;
  throw new UserError([
    {
      code: "compile-failed",
      message: `${name}: the compiler failed (${result.exitCode === undefined && result.signal === undefined ? result.shortMessage : ended})\n  ${result.escapedCommand}\n${result.all ?? ""}`,
      fix: "read the compiler's output above; `normrope doctor` checks the compilers themselves",
    },
  ]);
}
