/**
 * Options and numbers on the command line.
 *
 * Values are read as text, so that messages show them as written.
 */
import type { Argv } from "yargs";
import type { Target } from "../../dsl/manifest.js";
import { parseArchs } from "../build/target_compiler.js";
import { quoted, show, userError } from "../diagnostics.js";

/** An option that needs a value, read as text. */
export const textOption = (describe: string) => ({ type: "string", requiresArg: true, describe }) as const;

export function archOption<T>(cli: Argv<T>) {
  return cli.option(
    "arch",
    textOption("CUDA architectures, such as sm_90,sm_100; default: the GPU's, else sm_90"),
  );
}

/** @throws UserError `bad-option` for unknown architectures, and for any of the CPU. */
export function archsOf(arch: string | undefined, target: Target): string[] | undefined {
  if (arch === undefined) return undefined;
  const archs = parseArchs(arch);
  if (target === "cuda") return archs;
  const fix = "add --target cuda, or leave --arch out";
  throw userError("bad-option", `--arch is ${quoted(arch)}, and the target is cpu`, fix);
}

/** A whole number within bounds. @throws UserError `bad-option`. */
export function wholeNumber(option: string, text: string, least: number, most = 2 ** 31 - 1): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw userError(
    "bad-option",
    `--${option} is ${show(text)}`,
    `write a whole number from ${least} to ${most}`,
  );
}

/** A part of 1 as `7 %`; empty if it was not measured. */
export function percent(part: number | undefined): string {
  return part === undefined ? "" : `${(part * 100).toFixed(0)} %`;
}
