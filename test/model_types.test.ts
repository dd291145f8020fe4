/** The table of model types: whole, and told in docs/models.md. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isInRange } from "../dsl/axis.js";
import { stageRejection } from "../dsl/legality.js";
import { expressionOf, openAxes } from "../dsl/sides.js";
import { parseHead } from "../generator/models/head.js";
import { SAID_AXES } from "../generator/models/model_type.js";
import { MODEL_TYPES, modelType } from "../generator/models/model_types.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";

const named = MODEL_TYPES.map((row) => [row.types.join(" "), row] as const);

describe("a row", () => {
  it("is found by each of its names, and no name is in two", () => {
    const names = MODEL_TYPES.flatMap(({ types }) => types);
    expect([...new Set(names)]).toEqual(names);
    for (const row of MODEL_TYPES) for (const name of row.types) expect(modelType(name)).toBe(row);
    for (const name of ["", "toString", "__proto__", "Qwen3"]) expect(modelType(name)).toBeUndefined();
  });

  it("names its source", () => {
    for (const { source } of MODEL_TYPES)
      expect(source).toMatch(/^(transformers|diffusers|mlx-lm|Megatron-Bridge) \S+, models\//);
  });

  it.each(named)("of %s lacks something, or has an op's stages and the axes that these need", (_, row) => {
    const { head, axes = {}, lacks = [] } = row;
    if (head === undefined) return expect(lacks).not.toEqual([]);
    const stages = parseHead(head);
    expect(expressionOf(stages)).toBe(head);
    expect(stageRejection({ q: stages, k: stages })).toBeUndefined();
    const open = openAxes({ q: stages });
    for (const axis of SAID_AXES) {
      const value = Object.entries(axes).find(([name]) => name === axis.name)?.[1] ?? axis.default;
      if (open.includes(axis)) expect(isInRange(axis, value)).toBe(true);
      else expect(axes).not.toHaveProperty(axis.name);
      // What is the default is left out.
      expect(Object.entries(axes)).not.toContainEqual([axis.name, axis.default]);
    }
  });
});

it("the axes that flags say are those of stages that no config says", () => {
  expect(SAID_AXES.map(({ name }) => name)).toEqual(["rope", "weight"]);
});

it("docs/models.md names each type, in the row of what becomes of it", () => {
  const page = readFileSync(join(PACKAGE_ROOT, "docs", "models.md"), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| ") && line.includes("`"));
  for (const { types, head = "", axes, lacks = [], normSwitch } of MODEL_TYPES) {
    const [type = ""] = types;
    // Towers and layers of other models, and what diffusers calls its classes, are told in words.
    if (/^[A-Z]|vision|openelm/.test(type)) continue;
    const row = rows.find((line) => line.includes(`\`${type}\``)) ?? "";
    if (lacks.length === 0 || normSwitch !== undefined) expect(row, type).toMatch(/^\| `/);
    else expect(row, type).toMatch(/^\| [^`]/);
    if (lacks.length === 0) {
      expect(row, type).toContain(`| \`${head}\``);
      if (axes?.weight !== undefined) expect(row, type).toContain(`weight ${axes.weight}`);
      expect(row.includes("interleaved"), type).toBe(axes?.rope === "interleaved");
    }
    if (lacks.includes("mrope")) expect(row, type).toContain("mRoPE");
    if (lacks.includes("row_norm")) expect(row, type).toContain("across heads");
  }
});
