/**
 * Options and numbers on the command line.
 *
 * Values are read as text, so that messages show them as written.
 */
import { show, userError } from "../diagnostics.js";

/** An option that needs a value, read as text. */
export const textOption = (describe: string) => ({ type: "string", requiresArg: true, describe }) as const;

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
