#!/usr/bin/env node
/**
 * The command line: parses, runs one command, turns errors into messages and exit codes.
 *
 * Exit codes: 0 done, 1 the user's input or a failed check, 2 usage, 70 a bug of ours.
 */
import { realpathSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import yargs from "yargs";
import { NormropeError } from "../runtime/errors.js";
import { registerAdd } from "./commands/add.js";
import { registerBench } from "./commands/bench.js";
import { registerBuild } from "./commands/build.js";
import { registerCache } from "./commands/cache.js";
import { registerChart } from "./commands/chart.js";
import { registerDemo } from "./commands/demo.js";
import { registerDoctor } from "./commands/doctor.js";
import { registerCheck, registerEmit } from "./commands/emit.js";
import { registerExplain } from "./commands/explain.js";
import { registerImport } from "./commands/import.js";
import { registerInit } from "./commands/init.js";
import { type Io, terminalIo } from "./commands/io.js";
import { registerList } from "./commands/list.js";
import { registerReport } from "./commands/report.js";
import { complaint, requirePlainOptions, UsageError } from "./commands/usage.js";
import { registerVerify } from "./commands/verify.js";
import { registerWheel } from "./commands/wheel.js";
import { quoted, reasonOf, UserError, userError } from "./diagnostics.js";
import { COMPILER_VERSION } from "./package_root.js";

const EXIT = { done: 0, failed: 1, usage: 2, bug: 70 } as const;

/** Runs one command line and returns its exit code. */
export async function main(args: readonly string[], io: Io = terminalIo()): Promise<number> {
  let exitCode: number = EXIT.done;
  const fail = () => {
    exitCode = EXIT.failed;
  };
  const cli = yargs(args)
    .scriptName("normrope")
    .usage(
      "$0 <command>\n\nCUDA and CPU kernels for the fused norm + RoPE of attention, one for each config point.",
    )
    .version(COMPILER_VERSION)
    .exitProcess(false)
    .demandCommand(1, "Name a command.")
    .strict()
    .locale("en")
    .check((parsed) => {
      requirePlainOptions(args, parsed);
      return true;
    })
    .parserConfiguration({
      "parse-positional-numbers": false,
      "camel-case-expansion": false,
      "dot-notation": false,
    })
    .epilogue("A new project: normrope init, normrope add headDim 96, normrope build, normrope verify")
    .wrap(110);
  registerInit(cli, io);
  registerList(cli, io);
  registerExplain(cli, io);
  registerEmit(cli, io);
  registerCheck(cli, io);
  registerBuild(cli, io);
  registerAdd(cli, io);
  registerImport(cli, io);
  registerVerify(cli, io, fail);
  registerBench(cli, io);
  registerChart(cli, io);
  registerReport(cli, io, fail);
  registerCache(cli, io);
  registerWheel(cli, io);
  registerDemo(cli, io, fail);
  registerDoctor(cli, io);
  cli.fail((message, error) => {
    throw error === undefined || error.name === "YError" ? new UsageError(complaint(message, args)) : error;
  });
  try {
    await cli.parseAsync(args, {}, (_error, _args, output) => {
      if (output !== "") io.print(output);
    });
    return exitCode;
  } catch (error) {
    return report(error, io);
  }
}

function report(error: unknown, io: Io): number {
  const { red } = io.noteColor;
  if (error instanceof UsageError) {
    io.note(`${red("usage:")} ${error.message}`);
    io.note("`normrope --help` lists the commands, `normrope <command> --help` its options");
    return EXIT.usage;
  }
  if (error instanceof UserError) {
    io.note(error.message.replaceAll("error [", `${red("error")} [`));
    return EXIT.failed;
  }
  if (error instanceof NormropeError) {
    io.note(`${red(`error [${error.code}]:`)} ${error.message}`);
    return EXIT.failed;
  }
  if (error instanceof Error && "syscall" in error) {
    const path = "path" in error ? String(error.path) : undefined;
    const place = path === undefined ? "the file system" : quoted(dirname(path));
    const subject = path === undefined ? "" : `${quoted(path)}: `;
    const fix = `check that ${place} can be read and written, and has room`;
    return report(userError("bad-file", `${subject}${reasonOf(error)}`, fix), io);
  }
  io.note(
    `${red("This is a bug in normrope.")} ${error instanceof Error ? (error.stack ?? error.message) : error}`,
  );
  return EXIT.bug;
}

const invoked = process.argv[1];
if (invoked !== undefined && realpathSync(invoked) === fileURLToPath(import.meta.url)) {
  // A reader such as `head` may close the pipe early.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(EXIT.done);
  });
  process.exitCode = await main(process.argv.slice(2));
}
