/** The table of model types: whole, and told in docs/models.md. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isInRange } from "../dsl/axis.js";
import { rejectionOf } from "../dsl/legality.js";
import { pointOf } from "../generator/edit/spaces.js";
import { meaningful } from "../generator/models/head.js";
import { SAID_AXES } from "../generator/models/model_type.js";
import { MODEL_TYPES, modelType } from "../generator/models/model_types.js";
import { shippedOp } from "../generator/op_file.js";
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

  it.each(named)("of %s lacks something, or has values that its op allows", (_, row) => {
    const { axes = {}, lacks = [], rounding } = row;
    if (lacks.length > 0 && row.axes === undefined) return;
    const op = shippedOp(row.op ?? "qk_norm_rope");
    const own = typeof rounding === "object" ? [axes, { ...axes, ...rounding }] : [axes];
    for (const values of own)
      for (const rotaryDim of [64, 0]) {
        const all = meaningful({ ...values, headDim: 128, rotaryDim, dtype: "bf16" });
        const point = pointOf(op, all);
        // A layer that neither norms nor rotates needs no kernel.
        if (values.norm === "none" && rotaryDim === 0) continue;
        expect(point).toMatchObject(all);
        expect(rejectionOf(op, point)).toBeUndefined();
      }
    for (const axis of SAID_AXES) {
      const value = Object.entries(axes).find(([name]) => name === axis.name)?.[1];
      if (value !== undefined) expect(isInRange(axis, value)).toBe(true);
      // What is the default is left out.
      if (value !== undefined) expect(value).not.toBe(axis.default);
    }
    expect((axes.positionAxes ?? 1) > 1).toBe(row.pairAxes !== undefined);
    expect(axes.angles === "cos_sin_f32").toBe(row.rows !== undefined);
  });
});

it("the axes that flags say are those that no config says", () => {
  expect(SAID_AXES.map(({ name }) => name)).toEqual([
    ...["rope", "norm", "weight", "weightDtype", "bias", "normRounding"],
    ...["rotaryAt", "angles", "positionAxes", "ropeRounding", "value", "cache", "out"],
  ]);
});

it("docs/models.md names each type, in the row of what becomes of it", () => {
  const page = readFileSync(join(PACKAGE_ROOT, "docs", "models.md"), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| ") && line.includes("`"));
  for (const { types, op = "qk_norm_rope", axes = {}, lacks = [] } of MODEL_TYPES) {
    const [type = ""] = types;
    const row = rows.find((line) => line.includes(`\`${type}\``)) ?? "";
    if (lacks.length > 0) expect(row, type).toMatch(/^\| [^`]/);
    else expect(row, type).toContain(`| \`${op}\` |`);
    if (lacks.length > 0) continue;
    for (const [axis, value] of Object.entries(axes)) expect(row, type).toContain(`${axis} ${value}`);
  }
});
