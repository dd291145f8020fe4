/** Which space of a config an edit is for. */
import { quoted, show, type UserError, userError } from "../diagnostics.js";
import type { Space } from "../ir.js";

/** The space of the op that `--op` names. @throws UserError `bad-option`. */
export function spaceNamed(configPath: string, spaces: readonly Space[], opName: string): Space {
  const named = spaces.find(({ op }) => op.name === opName);
  if (named !== undefined) return named;
  const names = spaces.map(({ op }) => op.name).join(", ");
  throw userError("bad-option", `--op is ${show(opName)}`, `the ops of ${quoted(configPath)} are ${names}`);
}

/** @returns an `op-needed` for spaces of which each can be meant. */
export function opNeeded(configPath: string, possible: readonly Space[]): UserError {
  const names = possible.map(({ op }) => op.name).join(", ");
  const message = `several spaces of ${quoted(configPath)} can take the kernels: ${names}`;
  return userError("op-needed", message, "name the op of one with --op NAME");
}
