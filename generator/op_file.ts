/**
 * Data files of `npm run compile`: the ops that ship, so that compiling on first use needs no TypeScript; and the fields of
 * the C structs, for Python.
 *
 * In: dsl/<name>.op.json. Out: the ops, and the data of the other file.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { FUNCTION_NAMES, kindsOf } from "../dsl/functions.js";
import { ARGS_BEFORE, ARGS_BEHIND, HEADS, type Input, type Rule, SIDES } from "../dsl/inputs.js";
import { opSchema } from "../dsl/manifest.js";
import type { Op } from "./ir.js";
import { PACKAGE_ROOT } from "./package_root.js";

const DSL = join(PACKAGE_ROOT, "dsl");

/** The file of an op that ships. */
export const opFile = (name: string): string => join(DSL, `${name}.op.json`);

/** The op of the default config, of compiling on first use and of Python's functions. */
const MAIN_OP = "qk_norm_rope";

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

/** The part of a rule that Python reads: a tensor's shape, strides and dtype, and the field with its bits. */
function tensorOf(rule: Rule) {
  if (rule.kind !== "tensor") return {};
  const { shape, strides, dtype, bits } = rule;
  return { tensor: { shape, strides, dtype, bits } };
}

/** The files of the main op: the compiler's and Python's, with equal texts. */
export const OP_FILES = [opFile(MAIN_OP), join(PACKAGE_ROOT, "python", "normrope", "op.json")];

const shippedSchema = opSchema.extend({ source: z.string() });

let shipped: readonly Op[] | undefined;

/** Every op that ships. Their kernels' ids have no digest. */
export function readShippedOps(): readonly Op[] {
  shipped ??= readdirSync(DSL)
    .filter((name) => name.endsWith(".op.json"))
    .sort()
    .map((name) => shippedSchema.parse(JSON.parse(readFileSync(join(DSL, name), "utf8"))));
  return shipped;
}

/** @throws RangeError if no such op ships. */
export function shippedOp(name: string): Op {
  const op = readShippedOps().find((each) => each.name === name);
  if (op === undefined) throw new RangeError(`no op ${name} ships`);
  return op;
}

export const readShippedOp = (): Op => shippedOp(MAIN_OP);
