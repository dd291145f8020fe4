/** Reading an op: its ranges, its stages, and the constants that these may have. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Op } from "../generator/ir.js";
import { type LoadedConfig, load, readConfig } from "../generator/load/index.js";
import { parseConfig } from "../generator/load/project.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { CONFIG_FILES, compileText, diagnosticsOf, opConfig, pointsOf, writeConfig } from "./helpers.js";

const neox = (...headDims: number[]) =>
  headDims.map((headDim) => ({ headDim, rotaryDim: headDim, rope: "neox", dtype: "bf16" }));
const REST = 'rope: ["neox"], dtype: ["bf16"]';

function onlyOp({ spaces }: LoadedConfig): Op {
  const [space, ...others] = spaces;
  if (space === undefined || others.length > 0) throw new Error(`there are ${spaces.length} spaces`);
  return space.op;
}

describe("an op", () => {
  const shipped = onlyOp(load(CONFIG_FILES[0] ?? ""));
  const own = (changed: Parameters<typeof opConfig>[0]) => onlyOp(load(writeConfig(opConfig(changed))));
  const EXPECTED_STAGES = [
    {
      name: "norm",
      args: { weight: { kind: "input", name: "weight" }, eps: { kind: "input", name: "eps" } },
    },
    {
      name: "rotate",
      args: {
        angle: { kind: "input", name: "angle" },
        pairs: { kind: "axis", axis: "rope" },
        dim: { kind: "axis", axis: "rotaryDim" },
      },
    },
  ];

  it("ships with the package", () => {
    expect(shipped).toEqual({
      name: "qk_norm_rope",
      source: "dsl/qk_norm_rope.op.ts",
      axes: [
        { kind: "integer", name: "headDim", step: 8, min: 16, max: 1024, tag: "d", isImplied: true },
        {
          ...{ kind: "integer", name: "rotaryDim", step: 2, min: 2, max: 1024, tag: "r" },
          ...{ within: "headDim", follows: "headDim", isImplied: true },
        },
        {
          ...{ kind: "enum", name: "rope", values: ["neox", "interleaved"] },
          aliases: { gptneox: "neox", rotatehalf: "neox", gptj: "interleaved" },
        },
        {
          ...{ kind: "enum", name: "dtype", values: ["bf16", "f16"], leads: true, isImplied: true },
          aliases: { bfloat16: "bf16", float16: "f16", fp16: "f16", half: "f16" },
        },
      ],
      stages: EXPECTED_STAGES,
    });
  });

  it.each([
    ["destructured", {}],
    [
      "destructured and renamed",
      {
        head: `(h, { axes: a, weight: w, eps: e, angle: t }) =>
    rotate(norm(h, { weight: w, eps: e }), { angle: t, pairs: a.rope, dim: a.rotaryDim })`,
      },
    ],
    [
      "not destructured",
      {
        head: `(x, c) =>
    rotate(norm(x, { weight: c.weight, eps: c.eps }), { angle: c.angle, pairs: c.axes.rope, dim: c.axes.rotaryDim })`,
      },
    ],
  ])("of the user's own is read from a context that is %s", (_, changed) => {
    expect(own(changed)).toMatchObject({
      name: "my_op",
      source: "normrope.config.ts",
      stages: EXPECTED_STAGES,
    });
  });

  it.each([
    [
      "destructured in depth",
      "(x, { axes: { rope, rotaryDim: dim }, weight, eps, angle }) =>",
      "{ weight, eps }",
      "rope, dim",
    ],
    [
      "destructured with a rest",
      "(x, { axes: { rope, ...sizes }, angle, ...rest }) =>",
      "{ weight: rest.weight, eps: rest.eps }",
      "rope, dim: sizes.rotaryDim",
    ],
  ])("of the user's own is read from a context that is %s", (_, parameters, norm, rotation) => {
    const head = `${parameters} rotate(norm(x, ${norm}), { angle, pairs: ${rotation} })`;
    expect(own({ head }).stages).toEqual(EXPECTED_STAGES);
  });

  it.each([
    ["a spread of another", '{ ...qkNormRope, name: "mine" }'],
    ["a spread of one that is a spread", '{ ...defineOp({ ...qkNormRope }), name: "mine" }'],
    ["the parts of another", '{ name: "mine", head: qkNormRope.head }'],
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
    expect(plan?.id).toBe("my_op_83f43df0__f16_d48_r48_neox");
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
    expect(plans.map(({ id }) => id)).toEqual(["my_op_83f43df0__bf16_d64_r64_neox"]);
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

describe("a stage with a constant of its own", () => {
  const STAGE = `
/** A bound. */
export function softcap(x: Head, args: { cap: number; weight?: Weight }): Head {
  return apply(x, "softcap", args);
}
`;
  /** The op of a config whose language has the stage. */
  function opWith(args: string): Op {
    const stages = `softcap(rotate(norm(x, { weight, eps }), { angle, pairs: axes.rope, dim: axes.rotaryDim }), ${args})`;
    const head = `(x, { axes, weight, eps, angle }) => ${stages}`;
    const text = opConfig({ head }).replace("rotate }", "rotate, softcap }");
    const config = parseConfig("softcap.config.ts", text);
    const language = config.getProject().addSourceFileAtPath(join(PACKAGE_ROOT, "dsl", "language.ts"));
    language.replaceWithText(language.getFullText() + STAGE);
    try {
      const loaded = readConfig(config);
      expect(loaded.diagnostics).toEqual([]);
      return onlyOp(loaded);
    } finally {
      language.refreshFromFileSystemSync();
    }
  }

  it.each([
    ["a number", "{ cap: 30 }", { cap: { kind: "constant", value: 30 } }],
    ["a cast number", "{ cap: 30 as never }", { cap: { kind: "constant", value: 30 } }],
    [
      "an argument that may be left out",
      "{ cap: -0.5, weight }",
      { cap: { kind: "constant", value: -0.5 }, weight: { kind: "input", name: "weight" } },
    ],
  ])("takes %s", (_, args, read) => {
    expect(opWith(args).stages.at(-1)).toEqual({ name: "softcap", args: read });
  });

  it.each([
    ["an input", "{ cap: eps as never }", "`cap` of softcap is `eps as never`, and can only be a number"],
    ["an axis", "{ cap: axes.headDim as never }", "`cap` of softcap is `axes.headDim as never`"],
    ["a name", '{ cap: "30" as never }', "`cap` of softcap is"],
    ["a number past float32", "{ cap: 1e39 }", "`cap` of softcap is `1e39`"],
    ["what is computed", "{ cap: 3 * 10 }", "`3 * 10` is computed"],
    ["nothing", "{} as never", "softcap is given no `cap`"],
    ["another name", "{ kap: 30 } as never", 'softcap takes no "kap"'],
  ])("does not take %s", (_, args, message) => {
    expect(diagnosticsOf(() => opWith(args)).map((found) => found.message)).toEqual([
      expect.stringContaining(message),
    ]);
  });
});
