/** `normrope wheel`: builds a config's library, and packs it with the Python package into a wheel. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Argv } from "yargs";
import { chosenTarget } from "../../runtime/open.js";
import { compilerFor } from "../build/toolchain.js";
import { counted, quoted } from "../diagnostics.js";
import { type Io, printJson } from "./io.js";
import { archOption, archsOf, textOption } from "./options.js";
import { requireFolder, writeWhole } from "./output.js";
import {
  buildProject,
  configOption,
  emitProject,
  jsonOption,
  projectFolders,
  targetOption,
} from "./project.js";

export function registerWheel(cli: Argv, io: Io): Argv {
  return cli.command(
    "wheel",
    "Pack a config's library and the Python package into a wheel, for machines without Node and compilers",
    (command) =>
      archOption(targetOption(jsonOption(configOption(command))))
        .option("out", textOption("The folder for the wheel; default: build/wheel beside the config"))
        .example(
          "$0 wheel --target cuda --arch sm_90,sm_100",
          "For Hopper and Blackwell, on a machine without them",
        ),
    async ({ config, target, arch, out, json }) => {
      const chosen = chosenTarget(target);
      const compiler = await compilerFor(chosen, archsOf(arch, chosen));
      if (out !== undefined && existsSync(out)) requireFolder(out, []); // before the work
      const { files } = await emitProject(config, io);
      const { library, manifest } = await buildProject(config, files, compiler, io);
      const folder = out ?? join(projectFolders(config).build, "wheel");
      requireFolder(folder, []);
      const [{ neededBy }, { platformTag }, { wheel }] = await Promise.all([
        import("../build/link.js"),
        import("../wheel/platform.js"),
        import("../wheel/wheel.js"),
      ]);
      const platform = platformTag(await neededBy(library, compiler));
      const { name, bytes } = wheel(library, manifest, platform);
      const path = join(folder, name);
      writeWhole(path, bytes);
      const kernels = manifest.kernels.map(({ id }) => id);
      if (json)
        return printJson(io, { target: chosen, archs: compiler.archs, wheel: path, platform, kernels });
      const what = chosen === "cuda" ? compiler.archs.join(", ") : "CPUs like this one";
      io.print(`${quoted(path)} holds ${counted(kernels.length, "kernel")} for ${what}`);
    },
  );
}
