/** The table of model types: whole, and told in docs/models.md. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FACT_NAMES, limitsOf } from "../generator/models/facts.js";
import type { ModelType } from "../generator/models/model_type.js";
import { IMPORTABLE, modelType, OTHERS } from "../generator/models/model_types.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";

const ALL = [...IMPORTABLE, ...OTHERS];
const named = (rows: readonly ModelType[]) => rows.map((row) => [row.types.join(" "), row] as const);

describe("a row", () => {
  it("is found by each of its names, and no name is in two", () => {
    const names = ALL.flatMap(({ types }) => types);
    expect([...new Set(names)]).toEqual(names);
    for (const row of ALL) for (const name of row.types) expect(modelType(name)).toBe(row);
    for (const name of ["", "toString", "__proto__", "Qwen3"]) expect(modelType(name)).toBeUndefined();
  });

  it("names its source", () => {
    for (const { source } of ALL)
      expect(source).toMatch(/^(transformers|diffusers|mlx-lm|Megatron-Bridge) \S+, models\//);
  });

  it.each(named(IMPORTABLE))("of %s says every fact, and the op can do it", (_, { facts, also }) => {
    expect(Object.keys(facts).sort()).toEqual([...FACT_NAMES].sort());
    expect(limitsOf(facts, also)).toEqual([]);
  });

  it.each(named(OTHERS))("of %s has a reason why the op cannot do it", (_, { facts, also }) => {
    expect(limitsOf(facts, also).length).toBeGreaterThan(0);
  });
});

it("docs/models.md names each type, in the row of what becomes of it", () => {
  const page = readFileSync(join(PACKAGE_ROOT, "docs", "models.md"), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| ") && line.includes("`"));
  const imported = rows.find((line) => line.startsWith("| imported")) ?? "";
  for (const { types } of IMPORTABLE) expect(imported).toContain(`\`${types[0]}\``);
  for (const { types, also, facts } of OTHERS) {
    const [type = ""] = types;
    // Towers and layers of other models, and what diffusers calls its classes, are told in words.
    if (/^[A-Z]|vision|openelm/.test(type)) continue;
    const row = rows.find((line) => line.includes(`\`${type}\``)) ?? "";
    expect(row, type).not.toBe(imported);
    expect(row, type).not.toBe("");
    if (facts["weight-form"] === "1+w") expect(row).toContain("1 + w");
    else if (also?.includes("mrope")) expect(row).toContain("mRoPE");
    else if (facts["qk-norm"] === "none") expect(row).toContain("no norm of q and k");
  }
});
