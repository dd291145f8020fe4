/** `normrope emit` and `normrope check`: bring generated/ up to date, or prove that it is. */
import type { Argv } from "yargs";
import { counted, quoted, userError } from "../diagnostics.js";
import type { Io } from "./io.js";
import { configOption, emitProject, projectFolders } from "./project.js";

export function registerEmit(cli: Argv, io: Io): Argv {
  return cli.command(
    "emit",
    "Write the sources of every kernel into generated/",
    configOption,
    async ({ config }) => {
      const { compilation, files } = await emitProject(config, io);
      const { generated } = projectFolders(config);
      const kernels = counted(compilation.plans.length, "kernel");
      io.print(`${quoted(generated)} holds ${kernels} in ${counted(files.length, "file")}`);
    },
  );
}

export function registerCheck(cli: Argv, io: Io): Argv {
  return cli.command(
    "check",
    "Fail with a diff if generated/ has a changed, missing or extra file",
    configOption,
    async ({ config }) => {
      const [{ compile, emit }, { compareFileSet }] = await Promise.all([
        import("../pipeline.js"),
        import("../emit/fileset.js"),
      ]);
      const { generated } = projectFolders(config);
      const files = emit(compile(config));
      const differences = compareFileSet(generated, files);
      if (differences.length === 0) {
        return io.print(`${quoted(generated)} is up to date: ${counted(files.length, "file")}`);
      }
      for (const { patch } of differences) io.print(patch);
      const list = differences.map(({ kind, path }) => `${quoted(path)} is ${kind}`).join(", ");
      throw userError(
        "stale-output",
        `${quoted(generated)}: ${list}`,
        "run `normrope emit`; move files that are not normrope's",
      );
    },
  );
}
