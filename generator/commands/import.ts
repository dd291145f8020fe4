/** `normrope import`: the kernels that a model needs, from its Hugging Face config into the project's. */
import type { Argv } from "yargs";
import { DTYPES } from "../../dsl/axes.js";
import { quoted, show, userError } from "../diagnostics.js";
import type { OpenConfig } from "../edit/append.js";
import { FACT_NAMES, FACTS, type Facts } from "../models/facts.js";
import type { Model } from "../models/model.js";
import type { Outcome } from "../models/report.js";
import type { Io } from "./io.js";
import { printJson } from "./io.js";
import { counted, wholeNumber } from "./options.js";
import { configOption, jsonOption } from "./project.js";

export function registerImport(cli: Argv, io: Io): Argv {
  return cli.command(
    "import <model>",
    "Append the kernels that a model needs, from its Hugging Face config.json",
    (command) =>
      factOptions(jsonOption(configOption(command)))
        .positional("model", { type: "string", demandOption: true, describe: "The config.json of a model" })
        .option("tp", {
          type: "string",
          requiresArg: true,
          default: "1",
          describe: "Ranks of tensor parallelism: heads are shown for one of them",
        })
        .option("op", {
          type: "string",
          requiresArg: true,
          describe: "The op whose space is meant, where a config has several that can take the kernels",
        })
        .option("dry-run", { type: "boolean", default: false, describe: "Show it all, and write nothing" })
        .option("dtype", { choices: DTYPES, describe: "What the model is run in" })
        .option("rotary-dim", {
          type: "string",
          requiresArg: true,
          describe: "Elements of a head that rotate",
        })
        .option("rope-theta", { type: "string", requiresArg: true, describe: "The base of RoPE" })
        .example("$0 import Qwen3-30B-A3B/config.json --tp 8", "One entry, and the heads of each of 8 GPUs"),
    async (args) => {
      const { config, model: path, json, dtype } = args;
      const [{ readModel }, { openForPoints }, report] = await Promise.all([
        import("../models/model.js"),
        import("../edit/append.js"),
        import("../models/report.js"),
      ]);
      const model = readModel(path, {
        facts: factsOf(args),
        dtype,
        tp: wholeNumber("tp", args.tp, 1, 65_536),
        rotaryDim:
          args["rotary-dim"] === undefined ? undefined : wholeNumber("rotary-dim", args["rotary-dim"], 2),
        ropeTheta: args["rope-theta"] === undefined ? undefined : positive("rope-theta", args["rope-theta"]),
      });
      const opened = openForPoints(
        config,
        model.layers.map(({ point }) => point),
        args.op,
      );
      const outcomes = model.layers.map(
        (layers): Outcome => ({
          layers,
          id: opened.idOf(layers.point),
          problem: opened.problemOf(layers.point),
        }),
      );
      const possible = outcomes.filter(({ problem }) => problem === undefined);
      if (possible.length === 0) throw nothingPossible(model, outcomes, opened, config);
      const left = outcomes.filter(({ problem }) => problem !== undefined);
      for (const outcome of left) io.note(report.leftOut(outcome));
      const appended = opened.append(possible.map(({ layers }) => layers.point));
      const isDry = args["dry-run"];
      if (!isDry) appended.write();
      const { added, present, entries } = appended;
      if (json) {
        return printJson(io, {
          ...report.reportObject(model, outcomes),
          config,
          added,
          present,
          entries,
          dryRun: isDry,
        });
      }
      for (const line of report.reportLines(model, outcomes)) io.print(line);
      io.print("");
      if (added.length === 0) {
        return io.print(
          `${quoted(config)} has ${counted(present.length, "kernel")} for it already: nothing is added`,
        );
      }
      const kernels = counted(added.length, "new kernel");
      io.print(`${quoted(config)}: ${isDry ? "would be added" : "added"}, for ${kernels}`);
      for (const entry of entries) io.print(`  ${entry}`);
      io.print(isDry ? "Nothing is written: --dry-run" : "`normrope build` builds them");
    },
  );
}

/** A flag for each fact that a model can have. */
function factOptions<T>(command: Argv<T>) {
  const describe = (what: string) => `${what}; for models that are not known`;
  return command
    .option("qk-norm", { choices: FACTS["qk-norm"], describe: describe("The norm of q and k") })
    .option("norm-axis", {
      choices: FACTS["norm-axis"],
      describe: describe("Over each head, or all together"),
    })
    .option("weight-form", {
      choices: FACTS["weight-form"],
      describe: describe("What the norm multiplies by"),
    })
    .option("norm-order", { choices: FACTS["norm-order"], describe: describe("What comes first") })
    .option("rope", { choices: FACTS.rope, describe: describe("Which elements rotate together") });
}

function factsOf(args: { readonly [F in keyof Facts]?: Facts[F] | undefined }): Partial<Facts> {
  return Object.fromEntries(
    FACT_NAMES.flatMap((name) => (args[name] === undefined ? [] : [[name, args[name]]])),
  );
}

function positive(option: string, text: string): number {
  const value = /^\d+(\.\d+)?(e\d{1,2})?$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isFinite(value) && value > 0) return value;
  throw userError(
    "bad-option",
    `--${option} is ${show(text)}`,
    "write a positive number, such as 1000000 or 1e6",
  );
}

function nothingPossible(model: Model, outcomes: readonly Outcome[], opened: OpenConfig, config: string) {
  const reasons = [...new Set(outcomes.map(({ problem }) => problem))].join("; ");
  const message = `${quoted(model.path)}: ${quoted(config)} allows no kernel for ${model.type}: ${reasons}`;
  const axes = [...new Set(outcomes.flatMap(({ layers }) => opened.axisOutside(layers.point) ?? []))];
  const widen = axes.length === 0 ? "" : `widen ${axes.join(" and ")} where the op is your own, or `;
  return userError("unsupported-model", message, `${widen}leave its norm and RoPE to the model's own code`);
}
