/** What the tests of `add` and of edits for models share: an edit of a config on disk, and what must hold of every addition. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect } from "vitest";
import type { Values } from "../dsl/points.js";
import { addValues } from "../generator/edit/add.js";
import { appendPoints } from "../generator/edit/append.js";
import { readShippedOp } from "../generator/op_file.js";
import { compile } from "../generator/pipeline.js";
import { type Texts, writeConfig } from "./helpers.js";

export const IMPORT = 'import { defineSpace, qkNormRope } from "normrope/dsl";\n';
export const REST = 'rope: ["neox"], dtype: ["bf16"]';
export const idsOf = (config: string) => compile(config).plans.map(({ id }) => id);

/** The points of a model with norm and RoPE. */
export const appendTo = (config: string, values: readonly Values[]) =>
  appendPoints(config, { op: readShippedOp(), values });

export type Add = readonly [axis: string, values: readonly string[], entry?: number | undefined, op?: string];

/** Adds, and checks what must hold whatever the text: the ids are the difference, and nothing is lost or left over. */
export function add(before: string, [axis, values, entry, op]: Add, imported: Texts = {}): string {
  const config = writeConfig(before, imported);
  const files = readdirSync(dirname(config));
  const old = idsOf(config);
  const added = addValues(config, axis, values, entry, op);
  const now = idsOf(config);
  expect(added).toEqual(now.filter((id) => !old.includes(id)));
  expect(added).not.toEqual([]);
  expect(now).toEqual(expect.arrayContaining(old));
  expect(readdirSync(dirname(config))).toEqual(files);
  return readFileSync(config, "utf8");
}
