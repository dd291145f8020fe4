/**
 * Data files of `npm run compile`: the op that ships, so that compiling on first use needs no TypeScript; and the fields of
 * the C structs, for Python.
 *
 * In: dsl/qk_norm_rope.op.json. Out: the op, and the data of the other file.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { FUNCTION_NAMES, kindsOf } from "../dsl/functions.js";
import { ARGS_BEFORE, ARGS_BEHIND, HEADS, type Input, type Rule, SIDES } from "../dsl/inputs.js";
import { opSchema } from "../dsl/manifest.js";
import type { Op } from "./ir.js";
import { PACKAGE_ROOT } from "./package_root.js";

const OP_FILE = join(PACKAGE_ROOT, "dsl", "qk_norm_rope.op.json");

/** The fields of the C structs, for Python. */
export const INPUTS_FILE = join(PACKAGE_ROOT, "python", "normrope", "inputs.json");

/** The fields of a side, and of the arguments before and after the sides; the kinds of the functions' arguments. */
export function inputsData() {
  const fieldsOf = (inputs: readonly Input[]) =>
    inputs.map(({ name, type, count, rule }) => ({ name, type, count, ...tensorOf(rule) }));
  return {
    heads: fieldsOf(HEADS),
    before: fieldsOf(ARGS_BEFORE),
    sides: SIDES,
    behind: fieldsOf(ARGS_BEHIND),
    functions: Object.fromEntries(FUNCTION_NAMES.map((name) => [name, kindsOf(name)])),
  };
}

/** The part of a rule that Python reads: a tensor's shape, strides and dtype. */
function tensorOf(rule: Rule) {
  if (rule.kind !== "tensor") return {};
  const { shape, strides, dtype } = rule;
  return { tensor: { shape, strides, dtype } };
}

/** The files of the op that ships: the compiler's and Python's, with equal texts. */
export const OP_FILES = [OP_FILE, join(PACKAGE_ROOT, "python", "normrope", "op.json")];

const shippedSchema = opSchema.extend({ source: z.string() });

let shipped: Op | undefined;

export function readShippedOp(): Op {
  shipped ??= shippedSchema.parse(JSON.parse(readFileSync(OP_FILE, "utf8")));
  return shipped;
}
