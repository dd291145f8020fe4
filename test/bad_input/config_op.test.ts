/** Mistakes in an op of the user's own: each with its code, its place, and what cannot be; nothing is written. */
import { expect, it } from "vitest";
import { opConfig } from "../helpers.js";
import { type ConfigCase, diagnosticsOfEmit, expectConfigRefused, project } from "./project.js";

const sides = (text: string) => opConfig().replace("head: (x) => rotate(norm(x))", text);

/** An op with the stage `cache`. */
const withCache = (text: string) => sides(text).replace("norm, rotate }", "cache, norm, rotate }");

const CASES: readonly ConfigCase[] = [
  [
    "an op's head with a body in braces",
    "unsupported-expression",
    opConfig({ head: "(x) => ▸{ return rotate(x); }" }),
    "is a body of statements",
    "one expression",
  ],
  [
    "a stage of the user's own",
    "unsupported-expression",
    opConfig({ head: "(x) => ▸((y: typeof x) => y)(x)" }),
    "(y: typeof x)",
    "a stage of normrope/dsl around the head: `cache(x)`, `norm(x)`, `rotate(x)`, `value(x)`",
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
    "an op that does nothing",
    "bad-op",
    sides("head: (x) => x").replace("defineOp({", "defineOp(▸{"),
    "no side has a stage, so that a kernel would write nothing (rule nothing_written)",
    "apply a stage to a side",
  ],
  [
    "an op that leaves its only side as it is",
    "bad-op",
    sides("v: (x) => x").replace("defineOp({", "defineOp(▸{"),
    "(rule nothing_written)",
  ],
  [
    "two pairings on two sides",
    "bad-op",
    sides('q: (x) => rotate(x, { rope: "neox" }), k: (x) => ▸rotate(x, { rope: "interleaved" })'),
    "rotate pairs other elements than rotate of q does, and a lane holds one pairing (rule one_pairing)",
    "give both the same arguments",
  ],
  [
    "two pairings on one side",
    "bad-op",
    sides("head: (x) => ▸rotate(norm(rotate(x, { rotaryDim: 64 })), { rotaryDim: 32 })"),
    "(rule one_pairing)",
  ],
  [
    "a pairing that is fixed, and one that is not",
    "bad-op",
    sides("q: (x) => rotate(x, { rotaryDim: 64 }), k: (x) => ▸rotate(x)"),
    "(rule one_pairing)",
  ],
  [
    "head beside a side that it is short for",
    "bad-op",
    sides("head: (x) => norm(x), ▸k: (x) => rotate(x)")
      .replace("defineOp({", "defineOp(<any>{")
      .replace("<any>", ""),
    "the op has `head`, which is short for q and k, and `k`",
    "write `q` and `k`, or `head` alone",
  ],
  [
    "a side with a second parameter",
    "bad-op",
    `// @ts-nocheck\n${opConfig({ head: "(x, ▸{ axes }) => rotate(x, { rope: axes.rope })" })}`,
    "`head` takes one parameter, the head",
    "write `(x) => rotate(norm(x))`",
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
    "leaves out rotaryDim, whose default, 64, is outside the op's range",
  ],
  ...argumentCases([
    [
      "outside its axis",
      "value-not-in-axis",
      '▸"nope" as never',
      '"nope" is no value of weight, which norm takes',
    ],
    ["of another axis's kind", "value-not-in-axis", "▸1 as never", "1 is no value of weight"],
    [
      "that was misspelt",
      "value-not-in-axis",
      '▸"plian" as never',
      '"plian" is no value',
      'did you mean "plain"?',
    ],
    ["that is computed", "unsupported-expression", '▸"no".concat("ne") as never', "is the result of a call"],
  ]),
  [
    "an argument that no stage takes",
    "bad-op",
    opConfig({ head: "(x) => norm(x, { ...{ ▸epsilon: 1 } })" }),
    'norm takes no "epsilon"',
    "it takes norm, weight, weightDtype, bias, normRounding",
  ],
  [
    "an argument of another stage",
    "bad-op",
    `// @ts-nocheck\n${opConfig({ head: '(x) => norm(x, { ▸rope: "neox" })' })}`,
    'norm takes no "rope"',
  ],
  [
    "a misspelt argument",
    "bad-op",
    `// @ts-nocheck\n${opConfig({ head: '(x) => norm(x, { ▸wieght: "none" })' })}`,
    'norm takes no "wieght"',
    "did you mean weight?",
  ],
  [
    "a third argument",
    "bad-op",
    `// @ts-nocheck\n${opConfig({ head: "(x) => norm(x, {}, ▸0.5)" })}`,
    "norm takes no third argument",
  ],
  [
    "an argument that no point can have",
    "entry-without-kernel",
    sides("head: (x) => rotate(x, { rotaryDim: 96 })")
      .replace(/ranges: .*,\n/, "")
      .replace("myOp, {", "myOp, ▸{"),
    "rotaryDim 96 is more than headDim 64",
  ],
  [
    "a range of an axis that a stage's argument fixes",
    "bad-op",
    sides('head: (x) => rotate(norm(x), { rope: "neox" })').replace("rope: oneOf", "▸rope: oneOf"),
    'ranges takes no "rope"',
  ],
  [
    "a cache of q",
    "bad-op",
    withCache("q: (x) => ▸cache(rotate(x))"),
    "cache is for k and v alone, and q has it",
    "leave it out of q",
  ],
  ["a cache of q and k alike", "bad-op", withCache("head: (x) => ▸cache(rotate(norm(x)))"), "and q has it"],
  [
    "a stage behind a cache",
    "bad-op",
    withCache("q: (x) => rotate(x), k: (x) => ▸rotate(cache(x))"),
    "rotate comes after cache, which has written the head",
    "apply rotate first",
  ],
  ["a cache behind a cache", "bad-op", withCache("v: (x) => ▸cache(cache(x))"), "cache comes after cache"],
  [
    "a cache of a dtype that there is not",
    "value-not-in-axis",
    withCache('v: (x) => cache(x, { cache: ▸"e5m2" as never })'),
    '"e5m2" is no value of cache',
    '"none", "same", "e4m3"',
  ],
  [
    "a function that is no stage",
    "unsupported-expression",
    opConfig({ head: "(x) => ▸multipleOf(x as never, { min: 1, max: 2 }) as never" }),
    "multipleOf(x as never",
    "a stage of normrope/dsl",
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
    'ranges takes no "headDims"',
    "did you mean headDim?",
  ],
  [
    "a part that would be ignored",
    "bad-op",
    opConfig({ name: '"my_op", ...{ ▸tail: 1 }' }),
    'an op takes no "tail"',
    "name, ranges, head, q, k, v",
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

/** The weight of norm. */
function argumentCases(cases: readonly ConfigCase[]): ConfigCase[] {
  return cases.map(([what, code, weight, shows, fix]): ConfigCase => {
    const config = opConfig({ head: `(x) => rotate(norm(x, { weight: ${weight} }))` });
    return [`an argument ${what}`, code, config, shows, fix ?? ""];
  });
}

for (const given of CASES) {
  it(`an op: ${given[0]} (${given[1]})`, () => expectConfigRefused(given));
}

it("an op is never refused without saying why", async () => {
  const config = opConfig({ rotaryDim: 'multipleOf(2, { min: "2" as never, max: 64 })' });
  expect(await diagnosticsOfEmit(project(config))).not.toEqual([]);
});
