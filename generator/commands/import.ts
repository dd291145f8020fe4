/** `normrope import`: the kernels that a model needs, from its Hugging Face config into the project's. */
import type { Argv } from "yargs";
import { DTYPES } from "../../dsl/axes.js";
import { isInRange } from "../../dsl/axis.js";
import { describeRange } from "../../dsl/legality.js";
import { counted, quoted, show, userError } from "../diagnostics.js";
import type { WantedKernel } from "../edit/append.js";
import type { AxisValue } from "../ir.js";
import type { Model } from "../models/model.js";
import { flagOf, SAID_AXES } from "../models/model_type.js";
import type { Outcome } from "../models/report.js";
import { type Io, printJson } from "./io.js";
import { textOption, wholeNumber } from "./options.js";
import { configOption, jsonOption } from "./project.js";

export function registerImport(cli: Argv, io: Io): Argv {
  return cli.command(
    "import <model>",
    "Append the kernels that a model needs, from its Hugging Face config.json",
    (command) =>
      axisOptions(jsonOption(configOption(command)))
        .positional("model", { type: "string", demandOption: true, describe: "The config.json of a model" })
        .option("tp", {
          ...textOption("Ranks of tensor parallelism; the heads shown are those of one rank"),
          default: "1",
        })
        .option(
          "op",
          textOption("The op to add the kernels to, if the config has several that can take them"),
        )
        .option("dry-run", { type: "boolean", default: false, describe: "Show everything and write nothing" })
        .option("text-only", {
          type: "boolean",
          default: false,
          describe: "For text alone: one row of positions, and nothing of what sees",
        })
        .option("rounding", {
          choices: ["once", "model"] as const,
          default: "once",
          describe: "Round once, at the end, or where the model's own code rounds",
        })
        .option(
          "head",
          textOption('For an unknown model: the stages of each head of q and k, such as "rotate(norm(x))"'),
        )
        .option("dtype", { choices: DTYPES, describe: "The dtype that the model runs in" })
        .option("rotary-dim", textOption("Elements of a head that rotate"))
        .option("rope-theta", textOption("The base of RoPE"))
        .example("$0 import Qwen3-30B-A3B/config.json --tp 8", "One entry, and the heads of each of 8 GPUs"),
    async (args) => {
      const { config, model: path, json, dtype, head, "rotary-dim": rotaryDim, "rope-theta": theta } = args;
      const [{ readModel }, { appendPoints }, report] = await Promise.all([
        import("../models/model.js"),
        import("../edit/append.js"),
        import("../models/report.js"),
      ]);
      const model = readModel(path, {
        ...{ head, axes: axesOf(args), dtype, textOnly: args["text-only"] },
        ownRounding: args.rounding === "model",
        tp: wholeNumber("tp", args.tp, 1, 65_536),
        rotaryDim: rotaryDim === undefined ? undefined : wholeNumber("rotary-dim", rotaryDim, 2),
        ropeTheta: theta === undefined ? undefined : positive("rope-theta", theta),
      });
      const wanted = { op: model.op, values: model.layers.map(({ values }) => values) };
      const { kernels, added, present, entries, write } = appendPoints(config, wanted, args.op);
      if (kernels.every(({ problem }) => problem !== undefined))
        throw nothingPossible(model, kernels, config);
      const outcomes = model.layers.flatMap((layers, i): Outcome[] => {
        const kernel = kernels[i];
        return kernel === undefined ? [] : [{ layers, ...kernel }];
      });
      const left = outcomes.filter(({ problem }) => problem !== undefined);
      for (const outcome of left) io.note(report.leftOut(outcome));
      const isDry = args["dry-run"];
      if (!isDry) write();
      if (json) {
        const became = { config, added, present, entries, dryRun: isDry };
        return printJson(io, { ...report.reportObject(model, outcomes), ...became });
      }
      for (const line of report.reportLines(model, outcomes)) io.print(line);
      io.print("");
      if (added.length === 0) {
        const has = counted(present.length, "kernel");
        return io.print(`${quoted(config)} has ${has} for it already: nothing is added`);
      }
      const isAdded = isDry ? "would be added" : "added";
      io.print(`${quoted(config)}: ${isAdded}, for ${counted(added.length, "new kernel")}`);
      for (const entry of entries) io.print(`  ${entry}`);
      io.print(isDry ? "Nothing is written: --dry-run" : "`normrope build` builds them");
    },
  );
}

/** Adds a flag for each axis that no config gives. */
function axisOptions<T>(command: Argv<T>): Argv<T> {
  for (const axis of SAID_AXES) {
    const choices = axis.kind === "enum" ? { choices: axis.values } : { requiresArg: true };
    const describe = `For an unknown model: the axis ${axis.name}`;
    command.option(flagOf(axis), { type: "string", ...choices, describe });
  }
  return command;
}

function axesOf(args: Readonly<Record<string, unknown>>): Record<string, AxisValue> {
  return Object.fromEntries(
    SAID_AXES.flatMap((axis) => {
      const said = args[flagOf(axis)];
      if (said === undefined) return [];
      const value = axis.kind === "enum" ? said : wholeNumber(flagOf(axis), String(said), axis.min, axis.max);
      if (isInRange(axis, value)) return [[axis.name, value]];
      throw userError("bad-option", `--${flagOf(axis)} is ${show(said)}`, `it is ${describeRange(axis)}`);
    }),
  );
}

function positive(option: string, text: string): number {
  const value = /^\d+(\.\d+)?(e\d{1,2})?$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isFinite(value) && value > 0) return value;
  const fix = "write a positive number, such as 1000000 or 1e6";
  throw userError("bad-option", `--${option} is ${show(text)}`, fix);
}

function nothingPossible(model: Model, kernels: readonly WantedKernel[], config: string) {
  const reasons = [...new Set(kernels.map(({ problem }) => problem))].join("; ");
  const message = `${quoted(model.path)}: ${quoted(config)} allows no kernel for ${model.type}: ${reasons}`;
  const axes = [...new Set(kernels.flatMap(({ axisOutside }) => axisOutside ?? []))];
  const widen = axes.length === 0 ? "" : `widen ${axes.join(" and ")} where the op is your own, or `;
  return userError("unsupported-model", message, `${widen}leave its norm and RoPE to the model's own code`);
}
