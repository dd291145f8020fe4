/**
 * Errors of the command line, with what was probably meant.
 *
 * In: the words of the command line, and yargs's result or complaint. Out: a usage error, or its message.
 */
import { AXES } from "../../dsl/axes.js";
import { aliasOf } from "../../dsl/legality.js";
import { quoted } from "../diagnostics.js";
import { closest } from "../load/closest.js";
import { flagOf, SAID_AXES } from "../models/model_type.js";

/** A wrong command line. */
export class UsageError extends Error {}

const COMMANDS = [
  ...["init", "list", "explain", "emit", "check", "build", "add", "import"],
  ...["verify", "bench", "chart", "report", "cache", "wheel", "demo", "doctor"],
];

/** Options without a value. The others have one. */
const FLAGS = ["json", "rejected", "static", "pdl", "verify", "dry-run", "help", "version"];
const VALUED = [
  ...["config", "target", "arch", "jobs", "timeout", "entry", "op", "out", "bench", "model", "tp", "heads"],
  ...["tokens", "cache", "replays", "commit", "geometry", "peers", "days"],
  ...["dtype", "rotary-dim", "rope-theta", "head", ...SAID_AXES.map(flagOf)],
];
const OPTIONS = [...FLAGS, ...VALUED];

/** The required arguments of each command, and an example. */
const ARGUMENTS: ReadonlyMap<string, { readonly names: readonly string[]; readonly example: string }> =
  new Map([
    ["explain", { names: ["kernel"], example: "normrope explain qk_norm_rope__bf16_d128_r128_neox" }],
    ["add", { names: ["axis", "values"], example: "normrope add headDim 96" }],
    ["import", { names: ["model"], example: "normrope import Qwen3-30B-A3B/config.json" }],
    ["chart", { names: ["record"], example: "normrope chart build/cpu/bench.json" }],
  ]);

/** @throws UsageError for an option that is given twice, a flag with a value, and `--no-` before an option with a value. */
export function requirePlainOptions(
  args: readonly string[],
  parsed: Readonly<Record<string, unknown>>,
): void {
  const twice = OPTIONS.find((name) => Array.isArray(parsed[name]));
  if (twice !== undefined) throw new UsageError(`--${twice} is given more than once`);
  const without = VALUED.find((name) => parsed[name] === false);
  if (without !== undefined) throw new UsageError(`--no-${without} says nothing: leave --${without} out`);
  const end = args.indexOf("--");
  const flag = (end < 0 ? args : args.slice(0, end)).find((arg) =>
    FLAGS.some((name) => arg.startsWith(`--${name}=`) || arg.startsWith(`--no-${name}=`)),
  );
  if (flag !== undefined) throw new UsageError(`${quoted(flag)}: it takes no value`);
}

/** Rewords yargs's complaints: missing arguments by name, unknown words with a suggestion. */
export function complaint(message: string, args: readonly string[]): string {
  const given = /^Not enough non-option arguments: got (\d+)/.exec(message)?.[1];
  if (given !== undefined) return missingArgument(Number(given), args) ?? message;
  const choice = /Argument: [\w-]+, Given: "([^"]*)", Choices: (.*)/.exec(message);
  if (choice !== null) return `${message}${aliasAmong(choice)}`;
  const words = /^Unknown arguments?: ([\s\S]*)$/.exec(message)?.[1];
  if (words === undefined) return message;
  // After an unknown command, nothing is known.
  const [first] = args.filter((arg) => words.split(", ").includes(wordOf(arg)));
  if (first === undefined) return message;
  const word = wordOf(first);
  if (!first.startsWith("-")) {
    const near = closest(word, COMMANDS);
    const what = args[0] === first ? "command" : "word";
    return `Unknown ${what}: ${quoted(first)}${near === undefined ? "" : `. Did you mean ${near}?`}`;
  }
  if (OPTIONS.includes(word)) return `${quoted(args[0] ?? "")} has no option --${word}`;
  const near = closest(word, OPTIONS);
  return `Unknown option: ${quoted(first)}${near === undefined ? "" : `. Did you mean --${near}?`}`;
}

/** Suggests the choice for another common word. */
function aliasAmong([, given, choices = ""]: readonly (string | undefined)[]): string {
  const values = choices.split(", ").map((choice) => choice.replaceAll('"', ""));
  const alias = AXES.map((axis) => aliasOf(axis, given)).find((name) => name && values.includes(name));
  return alias === undefined ? "" : `\nDid you mean ${alias}?`;
}

function missingArgument(given: number, args: readonly string[]): string | undefined {
  const command = args.find((arg) => ARGUMENTS.has(arg)) ?? "";
  const { names, example } = ARGUMENTS.get(command) ?? {};
  return names && `${command} needs <${names[given]}>, as in \`${example}\``;
}

/** `name` for `--name`, `-name` and `--name=value`; any other word unchanged. */
function wordOf(arg: string): string {
  return arg.startsWith("-") ? arg.replace(/^-+/, "").replace(/=[\s\S]*$/, "") : arg;
}
