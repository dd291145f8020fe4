/** Mistakes in an op of the user's own: each with its code, its place, and what cannot be; nothing is written. */
import { expect, it } from "vitest";
import { opConfig } from "../helpers.js";
import { type ConfigCase, diagnosticsOfEmit, expectConfigRefused, project } from "./project.js";

const head = (body: string) => `(x, { axes, weight, eps, angle }) => ${body}`;

const CASES: readonly ConfigCase[] = [
  [
    "an op's head with a body in braces",
    "unsupported-expression",
    opConfig({
      head: "(x, { axes, angle }) => ▸{ return rotate(x, { angle, pairs: axes.rope, dim: axes.rotaryDim }); }",
    }),
    "is a body of statements",
    "one expression",
  ],
  [
    "a stage of the user's own",
    "unsupported-expression",
    opConfig({ head: "(x) => ▸((y: typeof x) => y)(x)" }),
    "(y: typeof x)",
    "a stage function",
  ],
  [
    "an op's axis that is no axis function",
    "unsupported-expression",
    opConfig({ dtype: '▸{ kind: "enum", values: ["bf16"] }' }),
    "kind:",
    "oneOf",
  ],
  ["an op whose name is no identifier", "bad-op", opConfig({ name: '▸"my__Op"' }), '"my__Op"'],
  [
    "an op that does not rotate",
    "bad-op",
    opConfig({ head: head("norm(x, { weight, eps })") }).replace("head:", "▸head:"),
    "rotated 0 times",
  ],
  [
    "an op that rotates twice",
    "bad-op",
    opConfig({
      head: head(`rotate(rotate(x, { angle, pairs: axes.rope, dim: axes.rotaryDim }),
    { angle, pairs: axes.rope, dim: axes.rotaryDim })`),
    }).replace("head:", "▸head:"),
    "rotated 2 times",
  ],
  [
    "an op that rotates over another axis",
    "bad-op",
    opConfig({ head: head("rotate(x, { angle, pairs: axes.rope, dim: axes.headDim })") }).replace(
      "head:",
      "▸head:",
    ),
    "`dim` of rotate",
  ],
  [
    "an op that rotates pairs of its own choice",
    "bad-op",
    opConfig({
      head: head("rotate(x, { angle, pairs: axes.dtype as never, dim: axes.rotaryDim })"),
    }).replace("head:", "▸head:"),
    "`pairs` of rotate",
  ],
  [
    "an op that norms what it has rotated",
    "bad-op",
    opConfig({
      head: head("norm(rotate(x, { angle, pairs: axes.rope, dim: axes.rotaryDim }), { weight, eps })"),
    }).replace("head:", "▸head:"),
    "norm is not the first stage",
  ],
  [
    "an op that norms twice",
    "bad-op",
    opConfig({
      head: head(`rotate(norm(norm(x, { weight, eps }), { weight, eps }),
    { angle, pairs: axes.rope, dim: axes.rotaryDim })`),
    }).replace("head:", "▸head:"),
    "norm is not the first stage",
  ],
  ...(
    [
      ["bounds that are no whole numbers", "headDim", "multipleOf(16, { min: 16.5, max: 64 })", "no range"],
      ["a largest value below the smallest", "headDim", "multipleOf(16, { min: 64, max: 16 })", "no range"],
      ["no names", "dtype", "oneOf()", "no range"],
      ["a name too many", "dtype", 'oneOf("bf16", "f32" as never)', "no range"],
      [
        "a bound that is no number",
        "headDim",
        'multipleOf(16, { min: 16, max: "headDim" as never })',
        "no range",
      ],
    ] as const
  ).map(
    ([what, axis, range, shows]): ConfigCase => [
      ...([`a range with ${what}`, "bad-op", opConfig({ [axis]: `▸${range}` }), shows] as const),
    ],
  ),
  [
    "a range without the default of an axis that is left out",
    "missing-axis",
    opConfig({
      rotaryDim: "multipleOf(2, { min: 2, max: 32 })",
      entry: '▸{ headDim: [64], rope: ["neox"], dtype: ["bf16"] }',
    }),
    "leaves out rotaryDim, whose default, 64, the op leaves out",
  ],
  [
    "no head",
    "bad-op",
    opConfig()
      .replace(/head: [\s\S]*?\n\}\)/, "} as never)")
      .replace("defineOp({", "defineOp(▸{"),
    "the op has no `head`",
  ],
  ...stageCases([
    ["a constant for an input", "▸eps: 0.5", "`eps` of norm is `0.5`, and can only be the eps of the call"],
    ["a constant for an input, cast", "▸eps: 0.5 as never", "`eps` of norm is `0.5 as never`"],
    ["a constant for an input, by a const", "▸eps: half as never", "`eps` of norm is `half as never`"],
    ["what would be computed for an input", "▸eps: Math.sqrt(2) as never", "`eps` of norm"],
    ["another input", "▸eps: weight as never", "`eps` of norm is `weight as never`"],
    ["an axis for an input", "▸eps: axes.headDim as never", "`eps` of norm is `axes.headDim as never`"],
    ["an argument too many", "eps, ▸epsilon: 1", 'norm takes no "epsilon"', "weight, eps"],
    ["an argument too many, by a spread", "eps, ...{ ▸epsilon: 1 }", 'norm takes no "epsilon"'],
    ["a misspelt argument", "eps, ...{ ▸wieght: weight }", 'norm takes no "wieght"', "did you mean weight?"],
  ]),
  [
    "a constant for the angle",
    "bad-op",
    opConfig({ head: head("rotate(x, { ▸angle: 1 as never, pairs: axes.rope, dim: axes.rotaryDim })") }),
    "`angle` of rotate is `1 as never`, and can only be the angle of the call",
    "write `angle`",
  ],
  [
    "an input for an axis",
    "bad-op",
    opConfig({ head: head("rotate(x, { angle, pairs: axes.rope, ▸dim: eps as never })") }),
    "`dim` of rotate is `eps as never`, and can only be an axis",
  ],
  [
    "a number for an axis",
    "bad-op",
    opConfig({ head: head("rotate(x, { angle, pairs: axes.rope, ▸dim: 64 as never })") }),
    "`dim` of rotate is `64 as never`, and can only be an axis",
  ],
  [
    "an axis of a parameter that is not taken apart",
    "bad-op",
    opConfig({
      head: "(x, axes) => rotate(x, { angle: axes.angle, pairs: axes.axes.rope, ▸dim: axes.rotaryDim as never })",
    }),
    "`dim` of rotate is `axes.rotaryDim as never`, and can only be an axis",
    "`head: (x, { axes }) => …` takes them",
  ],
  [
    "a constant where no type is checked",
    "bad-op",
    `// @ts-nocheck\n${opConfig({ head: head("rotate(norm(x, { weight, ▸eps: 0.5 }), { angle, pairs: axes.rope, dim: axes.rotaryDim })") })}`,
    "`eps` of norm is `0.5`",
  ],
  [
    "a stage without an argument",
    "bad-op",
    opConfig({ head: head("▸norm(x, { weight } as never)") }),
    "norm is given no `eps`",
    "write `eps`",
  ],
  [
    "a stage without arguments",
    "bad-op",
    `// @ts-nocheck\n${opConfig({ head: head("▸norm(x)") })}`,
    "norm is given no `weight`",
  ],
  [
    "a third argument",
    "bad-op",
    `// @ts-nocheck\n${opConfig({ head: head("norm(x, { weight, eps }, ▸0.5)") })}`,
    "norm takes no third argument",
  ],
  [
    "a function that is no stage",
    "unsupported-expression",
    opConfig({ head: head("▸multipleOf(x as never, { min: 1, max: 2 }) as never") }),
    "multipleOf(x as never",
    "a stage function",
  ],
  [
    "a bound that would be ignored",
    "bad-op",
    opConfig({ headDim: "multipleOf(8, { min: 16, max: 64, ...{ ▸step: 16 } })" }),
    'multipleOf takes no "step"',
  ],
  [
    "an axis that would be ignored",
    "bad-op",
    opConfig({ dtype: 'oneOf("bf16"), ...{ ▸headDims: oneOf("neox") }' }),
    'an op takes no "headDims"',
    "did you mean headDim?",
  ],
  [
    "a part that would be ignored",
    "bad-op",
    opConfig({ name: '"my_op", ...{ ▸tail: 1 }' }),
    'an op takes no "tail"',
    "name, ranges, head",
  ],
  [
    "names that no kernel has",
    "bad-op",
    opConfig({ rope: '▸oneOf("neox", "rotary" as never)' }),
    "is no range that kernels can be made for",
    'rope takes `oneOf("neox", "interleaved")`, or fewer',
  ],
  [
    "numbers among names",
    "bad-op",
    opConfig({ dtype: '▸oneOf("bf16", 16 as never)' }),
    "is no range that kernels can be made for",
  ],
  [
    "names for an axis of numbers",
    "bad-op",
    opConfig({ headDim: '▸oneOf("64") as never' }),
    "is no range that kernels can be made for",
    "headDim takes multiples of 8",
  ],
];

/** Arguments of norm beside its weight. */
function stageCases(
  cases: readonly (readonly [what: string, args: string, shows: string, fix?: string])[],
): ConfigCase[] {
  return cases.map(([what, args, shows, fix]) => {
    const stages = `rotate(norm(x, { weight, ${args} }), { angle, pairs: axes.rope, dim: axes.rotaryDim })`;
    return [what, "bad-op", `const half = 0.5;\n${opConfig({ head: head(stages) })}`, shows, fix ?? ""];
  });
}

for (const given of CASES) {
  it(`an op: ${given[0]} (${given[1]})`, () => expectConfigRefused(given));
}

it("an op is never refused without saying why", async () => {
  const config = opConfig({ rotaryDim: 'multipleOf(2, { min: "2" as never, max: 64 })' });
  expect(await diagnosticsOfEmit(project(config))).not.toEqual([]);
});
