/** `normrope build`: emits, and compiles what changed into a shared library. */
import type { Argv } from "yargs";
import { chosenTarget } from "../../runtime/open.js";
import { COMPILER_TIMEOUT_S } from "../build/run_compiler.js";
import { compilerFor } from "../build/toolchain.js";
import { counted, quoted } from "../diagnostics.js";
import { type Io, printJson } from "./io.js";
import { archOption, archsOf, textOption, wholeNumber } from "./options.js";
import { buildProject, configOption, emitProject, jsonOption, targetOption } from "./project.js";

/** An upper limit of concurrent compilers. */
const JOBS_MAX = 1024;

/** Shorter than the age at which staged files count as leftovers. */
const LONGEST_TIMEOUT_S = 12 * 3600;

export function registerBuild(cli: Argv, io: Io): Argv {
  return cli.command(
    "build",
    "Emit, and build the shared library of a target",
    (command) =>
      archOption(targetOption(jsonOption(configOption(command))))
        .option("jobs", textOption("Compilers that run at once; default: one for each core"))
        .option("timeout", {
          ...textOption("Seconds that one run of a compiler may take"),
          default: `${COMPILER_TIMEOUT_S}`,
        })
        .option("static", {
          type: "boolean",
          default: false,
          describe: "Make libnormrope.a too, to link into a program; a build without --static removes it",
        })
        .example("$0 build --target cuda --arch sm_90", "For an H100, on a machine without one"),
    async ({ config, target, arch, json, static: archive, ...options }) => {
      const jobs = options.jobs === undefined ? undefined : wholeNumber("jobs", options.jobs, 1, JOBS_MAX);
      const timeoutSeconds = wholeNumber("timeout", options.timeout, 1, LONGEST_TIMEOUT_S);
      const chosen = chosenTarget(target);
      const archs = archsOf(arch, chosen);
      const compiler = await compilerFor(chosen, archs);
      const { files } = await emitProject(config, io);
      const result = await buildProject(config, files, compiler, io, {
        ...(jobs === undefined ? {} : { jobs }),
        ...{ archive, timeoutSeconds },
      });
      const { library, compiled, cached } = result;
      if (json) return printJson(io, { target: chosen, library, archive: result.archive, compiled, cached });
      const what = chosen === "cuda" ? compiler.archs.join(", ") : "this CPU";
      io.print(
        `${quoted(library)} for ${what}: ${counted(compiled.length, "kernel")} compiled, ${cached.length} from the cache`,
      );
      if (result.archive !== undefined)
        io.print(`${quoted(result.archive)} holds the same, to link into a program`);
    },
  );
}
