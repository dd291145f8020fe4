/** `normrope list`: the kernels that a config asks for, or what the rules forbid of it. */
import type { Argv } from "yargs";
import { kernelId } from "../name.js";
import { type Io, printJson, printTable } from "./io.js";
import { configOption, jsonOption } from "./project.js";

export function registerList(cli: Argv, io: Io): Argv {
  return cli.command(
    "list",
    "Show the kernels that the config asks for",
    (command) =>
      jsonOption(configOption(command))
        .option("rejected", {
          type: "boolean",
          default: false,
          describe: "Show the combinations that a rule forbids, with the reason",
        })
        .example("$0 list --rejected", "Why is a combination missing?"),
    async ({ config, json, rejected }) => {
      const { compile } = await import("../pipeline.js");
      const { op, plans, rejections } = compile(config);
      if (rejected) {
        const rows = rejections.map(({ point, ...rejection }) => ({
          id: kernelId(op.name, point),
          ...point,
          ...rejection,
        }));
        if (json) return printJson(io, rows);
        if (rows.length === 0) return io.print("Nothing is rejected.");
        return printTable(io, [
          ["kernel", "rule", "reason"],
          ...rows.map((row) => [row.id, row.rule, row.reason]),
        ]);
      }
      const rows = plans.map(({ id, point }) => ({ id, ...point }));
      if (json) return printJson(io, rows);
      printTable(io, [
        ["kernel", "headDim", "rotaryDim", "rope", "dtype"],
        ...rows.map((row) => [row.id, `${row.headDim}`, `${row.rotaryDim}`, row.rope, row.dtype]),
      ]);
    },
  );
}
