/**
 * The op that normrope ships, as `load` reads it: beside its source, so that compiling on first use needs no TypeScript.
 *
 * In: dsl/qk_norm_rope.op.json, which `npm run compile` writes. Out: the op.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { opSchema } from "../runtime/manifest.js";
import type { Op } from "./ir.js";
import { PACKAGE_ROOT } from "./package_root.js";

const OP_FILE = join(PACKAGE_ROOT, "dsl", "qk_norm_rope.op.json");

/** The same text, for the compiler and for Python. */
export const OP_FILES = [OP_FILE, join(PACKAGE_ROOT, "python", "normrope", "op.json")];

const shippedSchema = opSchema.extend({ source: z.string() });

let shipped: Op | undefined;

export function readShippedOp(): Op {
  shipped ??= shippedSchema.parse(JSON.parse(readFileSync(OP_FILE, "utf8")));
  return shipped;
}
