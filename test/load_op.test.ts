/** Reading an op: its ranges, the stages of its sides, and which axes it has. */
import { describe, expect, it } from "vitest";
import type { Op } from "../generator/ir.js";
import { type LoadedConfig, load } from "../generator/load/index.js";
import {
  CONFIG_FILES,
  compileText,
  DEFAULTS,
  diagnosticsOf,
  opConfig,
  pointsOf,
  writeConfig,
} from "./helpers.js";

/** The values with a default in points of an op without the stages `value` and `cache`. */
const { value: _, cache: __, ...OWN } = DEFAULTS;
const neox = (...headDims: number[]) =>
  headDims.map((headDim) => ({ headDim, rotaryDim: headDim, rope: "neox", dtype: "bf16", ...OWN }));
/** The axes of a stage that have a default, and so come last. */
const NORM = ["norm", "weight", "weightDtype", "bias", "normRounding"];
const ROTATE = ["rotaryAt", "angles", "positionAxes", "ropeRounding"];
const REST = 'rope: ["neox"], dtype: ["bf16"]';

function onlyOp({ spaces }: LoadedConfig): Op {
  const [space, ...others] = spaces;
  if (space === undefined || others.length > 0) throw new Error(`there are ${spaces.length} spaces`);
  return space.op;
}

const range = (...values: readonly string[]) => ({ kind: "enum", values });
const names = (name: string, ...values: readonly string[]) => ({ name, ...range(...values) });
const ROTATES = { rotaryDim: { kind: "integer", step: 2, min: 2, max: 1024 } };
const NORMS = { norm: range("rms", "layer") };
const E4M3_ALIASES = { fp8: "e4m3", fp8e4m3: "e4m3", float8e4m3fn: "e4m3" };

describe("an op", () => {
  const shipped = onlyOp(load(CONFIG_FILES[0] ?? ""));
  const side = [
    { name: "norm", args: {} },
    { name: "rotate", args: {} },
  ];
  const cache = { name: "cache", args: {} };

  it("ships with the package", () => {
    expect(shipped).toEqual({
      name: "qk_norm_rope",
      source: "dsl/qk_norm_rope.op.ts",
      axes: [
        { kind: "integer", name: "headDim", step: 8, min: 16, max: 1024, tag: "d", isImplied: true },
        {
          ...{ kind: "integer", name: "rotaryDim", step: 2, min: 0, max: 1024, tag: "r" },
          ...{ within: "headDim", follows: "headDim", isImplied: true },
        },
        {
          ...{ ...names("rope", "neox", "interleaved"), when: ROTATES },
          aliases: { gptneox: "neox", rotatehalf: "neox", gptj: "interleaved" },
        },
        {
          ...{ ...names("dtype", "bf16", "f16"), leads: true, isImplied: true },
          aliases: { bfloat16: "bf16", float16: "f16", fp16: "f16", half: "f16" },
        },
        {
          ...{ ...names("norm", "rms", "layer", "none"), default: "rms" },
          ...{
            tags: { layer: "layernorm", none: "nonorm" },
            aliases: { rmsnorm: "rms", layernorm: "layer" },
          },
        },
        {
          ...{ ...names("weight", "plain", "one_plus", "none"), default: "plain", when: NORMS },
          tags: { one_plus: "w1p", none: "noweight" },
        },
        {
          ...{ ...names("weightDtype", "same", "f32"), default: "same", isImplied: true },
          ...{ tags: { f32: "w32" }, aliases: { float32: "f32" } },
          when: { ...NORMS, weight: range("plain", "one_plus") },
        },
        {
          ...{ ...names("bias", "none", "add"), default: "none", isImplied: true },
          ...{ tags: { add: "bias" }, when: { norm: range("layer") } },
        },
        {
          ...{ ...names("normRounding", "once", "before_weight", "after_weight", "scale"), default: "once" },
          ...{ tags: { before_weight: "nearly", after_weight: "nlate", scale: "nscale" }, when: NORMS },
        },
        { ...names("rotaryAt", "leading", "trailing"), default: "leading", when: ROTATES },
        {
          ...{ ...names("angles", "table", "cos_sin", "cos_sin_f32"), default: "table", isImplied: true },
          ...{ tags: { cos_sin: "cs16", cos_sin_f32: "cs32" }, when: ROTATES },
        },
        {
          ...{ kind: "integer", name: "positionAxes", step: 1, min: 1, max: 4, tag: "p" },
          ...{ default: 1, when: ROTATES, isImplied: true },
        },
        {
          ...{ ...names("ropeRounding", "once", "products", "sum"), default: "once" },
          ...{ tags: { products: "rproducts", sum: "rsum" }, when: ROTATES },
        },
        {
          ...{ ...names("value", "none", "copy", "norm"), default: "none" },
          tags: { copy: "vcopy", norm: "vnorm" },
        },
        {
          ...{ ...names("cache", "none", "same", "e4m3"), default: "none", isImplied: true },
          ...{ tags: { same: "kv", e4m3: "kv8" }, aliases: E4M3_ALIASES },
        },
        {
          ...{ ...names("out", "same", "e4m3"), default: "same", isImplied: true },
          ...{ tags: { e4m3: "out8" }, aliases: E4M3_ALIASES },
        },
      ],
      stages: { q: side, k: [...side, cache], v: [{ name: "value", args: {} }, cache] },
    });
  });

  it.each([
    ["for q and k alike", "head: (x) => rotate(norm(x))"],
    ["under another name of the head", "head: (y) => rotate(norm(y, {}))"],
    ["for each side", "k: (x) => rotate(norm(x)), q: (x) => rotate(norm(x))"],
    ["by consts", "head, v: nothing"],
  ])("of the user's own is read %s", (_, sides) => {
    const text = `import { defineOp, defineSpace, type Head, norm, rotate } from "normrope/dsl";
const head = (x: Head<never>) => rotate(norm(x));
const nothing = (x: Head<never>) => x;
export default defineSpace(defineOp({ name: "my_op", ${sides} }), { headDim: [64], ${REST} });\n`;
    const op = onlyOp(load(writeConfig(text)));
    expect(op).toMatchObject({ name: "my_op", source: "normrope.config.ts" });
    expect(op.stages).toEqual({ q: side, k: side });
  });

  it.each<[string, object, string[]]>([
    ["head: (x) => norm(x)", { q: ["norm"], k: ["norm"] }, ["headDim", "dtype", ...NORM]],
    ["q: (x) => rotate(x)", { q: ["rotate"] }, ["headDim", "rotaryDim", "rope", "dtype", ...ROTATE]],
    [
      'head: (x) => rotate(norm(x, { weight: "none" })), v: (x) => norm(x)',
      { q: ["norm none", "rotate"], k: ["norm none", "rotate"], v: ["norm"] },
      ["headDim", "rotaryDim", "rope", "dtype", ...NORM, ...ROTATE],
    ],
    [
      'head: (x) => rotate(norm(x, { weight: "one_plus" }), { rotaryDim: 64, rope: "neox" })',
      { q: ["norm one_plus", "rotate 64 neox"], k: ["norm one_plus", "rotate 64 neox"] },
      ["headDim", "dtype", ...NORM.filter((name) => name !== "weight"), ...ROTATE],
    ],
    [
      'head: (x) => norm(x, { norm: "rms", weight: "none" })',
      { q: ["norm rms none"], k: ["norm rms none"] },
      ["headDim", "dtype", "normRounding"],
    ],
    [
      "head: (x) => rotate(x, { rotaryDim: 0 }), v: (x) => norm(x)",
      { q: ["rotate 0"], k: ["rotate 0"], v: ["norm"] },
      ["headDim", "dtype", ...NORM],
    ],
    [
      "head: (x) => norm(rotate(norm(x)))",
      { q: ["norm", "rotate", "norm"], k: ["norm", "rotate", "norm"] },
      ["headDim", "rotaryDim", "rope", "dtype", ...NORM, ...ROTATE],
    ],
  ])("has the axes that no argument of its stages fixes: %s", (sides, stages, axes) => {
    const text = `import { defineOp, defineSpace, norm, rotate } from "normrope/dsl";
const op = defineOp({ name: "my_op", ${sides} });
export default defineSpace(op as never, { headDim: [64], ${REST} });\n`;
    const [space] = load(writeConfig(text)).spaces;
    const texts = Object.entries(space?.op.stages ?? {}).map(([name, calls]) => [
      name,
      calls?.map((call) => [call.name, ...Object.values(call.args)].join(" ")),
    ]);
    expect(Object.fromEntries(texts)).toEqual(stages);
    expect(space?.op.axes.map(({ name }) => name)).toEqual([...axes, "out"]);
  });

  it.each([
    ["a spread of another", '{ ...qkNormRope, name: "mine" }'],
    ["a spread of one that is a spread", '{ ...defineOp({ ...qkNormRope }), name: "mine" }'],
    ["the parts of another", '{ name: "mine", q: qkNormRope.q, k: qkNormRope.k, v: qkNormRope.v }'],
    [
      "a spread of ranges, and a spread in one",
      '{ ...qkNormRope, name: "mine", ranges: { ...ranges, dtype: oneOf(...dtypes) } }',
    ],
  ])("is read from %s", (_, definition) => {
    const text = `import { defineOp, defineSpace, multipleOf, oneOf, qkNormRope } from "normrope/dsl";
const dtypes = ["bf16", "f16"] as const;
const ranges = { headDim: multipleOf(8, { min: 16, max: 1024 }) };
export default defineSpace(defineOp(${definition}), { headDim: [64], ${REST} });\n`;
    expect(onlyOp(load(writeConfig(text)))).toEqual({
      ...shipped,
      name: "mine",
      source: "normrope.config.ts",
    });
  });

  it("may be made of itself only in words", () => {
    const text = `import { defineOp, defineSpace, type Op } from "normrope/dsl";
const circle: Op = defineOp({ ...circle });
export default defineSpace(circle, { headDim: [64], ${REST} });\n`;
    expect(diagnosticsOf(() => compileText(text))).toMatchObject([
      { code: "unsupported-expression", message: "`{ ...circle }` is made of itself" },
    ]);
  });

  it("has axes of its own range", () => {
    const entry = '{ headDim: [48], rope: ["neox"], dtype: ["f16"] }';
    const [plan] = compileText(
      opConfig({ headDim: "multipleOf(16, { min: 48, max: 96 })", dtype: 'oneOf("f16")', entry }),
    ).plans;
    expect(plan?.id).toBe("my_op_877f07b4__f16_d48_r48_neox");
    const outside = opConfig({ headDim: "multipleOf(16, { min: 48, max: 96 })" });
    expect(pointsOf(outside)).toEqual(neox(64));
    expect(diagnosticsOf(() => compileText(outside.replace("[64]", "[56]")))).toMatchObject([
      { code: "value-not-in-axis", fix: "headDim is a multiple of 16 from 48 to 96" },
    ]);
  });

  it("names the file it is imported from, as seen from the config", () => {
    const [, ...lines] = opConfig().split("\n");
    const op = `import { defineOp, multipleOf, oneOf, norm, rotate } from "normrope/dsl";\nexport ${lines
      .slice(0, -2)
      .join("\n")}\n`;
    const text = `import { defineSpace } from "normrope/dsl";\nimport { myOp } from "./ops/mine.js";
export default defineSpace(myOp, { headDim: [64], ${REST} });\n`;
    const { ops, plans } = compileText(text, { "ops/mine.ts": op });
    expect(ops[0]?.source).toBe("ops/mine.ts");
    expect(plans.map(({ id }) => id)).toEqual(["my_op_877f07b4__bf16_d64_r64_neox"]);
  });

  it.each([
    ["an odd rotary_dim", { rotaryDim: "multipleOf(1, { min: 1, max: 64 })" }, "rotaryDim: [3]"],
    [
      "a head_dim that is no multiple of 8",
      { headDim: "multipleOf(1, { min: 16, max: 64 })" },
      "rotaryDim: [2]",
    ],
  ])("whose axes allow %s is refused as the user's mistake", (_, changed, rotary) => {
    const entry = `{ headDim: [${"headDim" in changed ? 30 : 64}], ${rotary}, rope: ["interleaved"], dtype: ["bf16"] }`;
    expect(diagnosticsOf(() => compileText(opConfig({ ...changed, entry })))).toHaveLength(1);
  });
});
