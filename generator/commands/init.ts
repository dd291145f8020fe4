/** `normrope init`: writes a config to start from. */
import { statSync, writeFileSync } from "node:fs";
import type { Argv } from "yargs";
import { quoted, reasonOf, userError } from "../diagnostics.js";
import type { Io } from "./io.js";
import { configOption } from "./project.js";

const STARTING_CONFIG = `import { defineSpace, qkNormRope } from "normrope/dsl";

// Every combination of these values is one kernel. \`normrope list\` shows them, \`normrope build\` builds them.
export default defineSpace(qkNormRope, {
  headDim: [128],
  rope: ["neox"],
  dtype: ["bf16"],
});
`;

export function registerInit(cli: Argv, io: Io): Argv {
  return cli.command("init", "Write a config to start from", configOption, ({ config }) => {
    try {
      writeFileSync(config, STARTING_CONFIG, { flag: "wx" });
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
      if (error.code === "EEXIST") {
        throw userError(
          "file-exists",
          `${quoted(config)} is there already${statSync(config).isDirectory() ? ", a folder" : ""}`,
          "edit it, or name another with --config FILE",
        );
      }
      throw userError(
        "bad-option",
        `${quoted(config)} cannot be written: ${reasonOf(error)}`,
        "name a file in a folder of yours",
      );
    }
    io.print(`${quoted(config)} written: edit it, then run \`normrope build\` (keep build/ out of git)`);
  });
}
