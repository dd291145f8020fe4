/** `normrope add`: adds values to an axis, in the config itself. */
import type { Argv } from "yargs";
import { counted, quoted } from "../diagnostics.js";
import type { Io } from "./io.js";
import { textOption, wholeNumber } from "./options.js";
import { configOption } from "./project.js";

export function registerAdd(cli: Argv, io: Io): Argv {
  return cli.command(
    "add <axis> <values..>",
    "Add values to an axis, by editing the config in place",
    (command) =>
      configOption(command)
        .positional("axis", { type: "string", demandOption: true, describe: "Such as headDim" })
        .positional("values", { type: "string", array: true, demandOption: true, describe: "Such as 96 192" })
        .option("entry", textOption("The entry to edit, counted from 1; needed if the config has several"))
        .option("op", textOption("The op whose kernels are meant, if the config has several ops"))
        .example("$0 add headDim 96 192", "Kernels for two more head_dims"),
    async ({ config, axis, values, entry, op }) => {
      const { addValues } = await import("../edit/add.js");
      const entryNumber = entry === undefined ? undefined : wholeNumber("entry", entry, 1);
      const added = addValues(config, axis, values.map(String), entryNumber, op);
      const kernels = counted(added.length, "new kernel");
      io.print(`${quoted(config)}: ${axis} ${values.join(", ")} added, for ${kernels}`);
      for (const id of added) io.print(`  ${id}`);
      io.print("`normrope build` builds them");
    },
  );
}
