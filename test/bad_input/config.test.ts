/** Mistakes in the space of a config: each with its code, its place, and the offending value; nothing is written. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readMarks, spaceOf } from "../helpers.js";
import { type ConfigCase, diagnosticsOfEmit, expectConfigRefused, project } from "./project.js";

const IMPORT = 'import { defineSpace, qkNormRope } from "normrope/dsl";\n';
const REST = 'rope: ["neox"], dtype: ["bf16"]';

const CASES: readonly ConfigCase[] = [
  ["a misspelt axis", "unknown-axis", spaceOf(`{ ▸headDims: [64], ${REST} }`), '"headDims"', "headDim?"],
  [
    "an axis like no other",
    "unknown-axis",
    spaceOf(`{ headDim: [64], ${REST}, ▸blockThreads: [128] }`),
    '"blockThreads"',
    "headDim, rotaryDim, rope, dtype",
  ],
  [
    "an axis left out",
    "missing-axis",
    spaceOf('[{ headDim: [64], rope: ["neox"], dtype: ["f16"] }, ▸{ headDim: [64], rope: ["neox"] }]'),
    "dtype",
    "dtype: […]",
  ],
  [
    "a number between the steps",
    "value-not-in-axis",
    spaceOf(`{ headDim: [64, ▸65], ${REST} }`),
    "65",
    "a multiple of 8 from 16 to 1024",
  ],
  ["a number below the least", "value-not-in-axis", spaceOf(`{ headDim: [▸8], ${REST} }`), "8"],
  ["a number above the greatest", "value-not-in-axis", spaceOf(`{ headDim: [▸1032], ${REST} }`), "1032"],
  ["a negative number", "value-not-in-axis", spaceOf(`{ headDim: [▸-64], ${REST} }`), "-64"],
  ["a fraction", "value-not-in-axis", spaceOf(`{ headDim: [▸64.5], ${REST} }`), "64.5"],
  [
    "a number written with a large exponent",
    "value-not-in-axis",
    spaceOf(`{ headDim: [64], rotaryDim: [▸2e21], ${REST} }`),
    "2e+21",
  ],
  [
    "a number written with a negative exponent",
    "value-not-in-axis",
    spaceOf(`{ headDim: [64], rotaryDim: [▸4e-7], ${REST} }`),
    "4e-7",
  ],
  ["a number too large for one", "value-not-in-axis", spaceOf(`{ headDim: [▸1e400], ${REST} }`), "Infinity"],
  ["a number in quotes", "value-not-in-axis", spaceOf(`{ headDim: [▸"64"], ${REST} }`), '"64"'],
  [
    "a misspelt name",
    "value-not-in-axis",
    spaceOf('{ headDim: [64], rope: [▸"noex"], dtype: ["bf16"] }'),
    '"noex"',
    '"neox"?',
  ],
  ...[
    ["dtype", "bfloat16", "bf16"],
    ["dtype", "fp16", "f16"],
    ["dtype", "float16", "f16"],
    ["dtype", "half", "f16"],
    ["rope", "gptj", "interleaved"],
    ["rope", "GPT-NeoX", "neox"],
  ].map(
    ([axis, name, ours]): ConfigCase => [
      `${name}, which others say`,
      "value-not-in-axis",
      spaceOf(`{ headDim: 64, ...{ ${REST} }, ${axis}: ▸"${name}" }`),
      `"${name}"`,
      `did you mean "${ours}"?`,
    ],
  ),
  [
    "a value behind a const",
    "value-not-in-axis",
    `${IMPORT}const dim = ▸65;\nexport default defineSpace(qkNormRope, { headDim: [dim], ${REST} });\n`,
    "65",
  ],
  [
    "a rotary_dim that no head has",
    "value-not-in-axis",
    spaceOf(`{ headDim: [64], rotaryDim: [▸1026], ${REST} }`),
    "1026",
    "headDim (at most 1024)",
  ],
  ["a value listed twice", "duplicate-value", spaceOf(`{ headDim: [64, 128, ▸64], ${REST} }`), "64"],
  [
    "two entries with a point in common",
    "duplicate-point",
    spaceOf(`[\n  { headDim: [64, 128], ${REST} },\n  ▸{ headDim: [128], rotaryDim: [128], ${REST} },\n]`),
    "qk_norm_rope__bf16_d128_r128_neox is already asked for by the entry at line 3",
  ],
  [
    "an axis without a value",
    "empty-axis",
    spaceOf(`{ ▸headDim: [], ${REST} }`),
    "headDim",
    "a multiple of 8",
  ],
  [
    "a space without an entry",
    "empty-space",
    `${IMPORT}export default ▸defineSpace(qkNormRope, []);\n`,
    "no entry",
  ],
  [
    "an entry that the rules forbid",
    "entry-without-kernel",
    spaceOf(`[{ headDim: [64], ${REST} }, ▸{ headDim: [64], rotaryDim: [96, 128], ${REST} }]`),
    "all 2 points of this entry: rotaryDim 96 is more than headDim 64",
    "rotaryDim_within_headDim",
  ],
  ["0", "value-not-in-axis", spaceOf(`{ headDim: [▸0], ${REST} }`), "0 is no value of headDim"],
  [
    "a number past 2^53",
    "value-not-in-axis",
    spaceOf(`{ headDim: [▸9007199254740993], ${REST} }`),
    "90071992547409",
  ],
  [
    "a line break in a name",
    "value-not-in-axis",
    spaceOf('{ headDim: [64], rope: [▸"ne\\nox\\u001b[31m\\u202e"], dtype: ["bf16"] }'),
    '"ne\\nox\\u001b[31m\\u{202e}"',
  ],
  [
    "a line break in an axis",
    "unknown-axis",
    spaceOf(`{ headDim: [64], ▸"ro\\npe": ["neox"], ${REST} }`),
    '"ro\\npe"',
    "rope?",
  ],
  [
    "an axis of the prototype chain",
    "unknown-axis",
    spaceOf(`{ headDim: [64], ${REST}, ▸constructor: [1] }`),
    '"constructor"',
  ],
  [
    "a name of 100,000 letters",
    "value-not-in-axis",
    spaceOf(`{ headDim: [64], rope: [▸"${"x".repeat(100_000)}"], dtype: ["bf16"] }`),
    "of 100000 characters",
  ],
  [
    "a check that is turned off",
    "unknown-axis",
    `// @ts-nocheck\n${spaceOf(`{ headDim: [64], ▸headDims: [64], ${REST} }`)}`,
    '"headDims"',
  ],
];

describe("a mistake in a config", () => {
  for (const given of CASES) {
    it(`${given[0]}: ${given[1]}`, () => expectConfigRefused(given));
  }

  it("has its place in the imported file that holds it", async () => {
    const { text, places } = readMarks(`export const dims = [64, ▸65];\n`);
    const made = project(
      `${IMPORT}import { dims } from "./dims.js";\nexport default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`,
      { "dims.ts": text },
    );
    expect(await diagnosticsOfEmit(made)).toMatchObject([
      { code: "value-not-in-axis", span: { file: join(made.folder, "dims.ts"), ...places[0] } },
    ]);
  });
});

it("all mistakes of a config are reported at once, in the order of their places", async () => {
  const { text, places } = readMarks(`${IMPORT}const ▸name: string = 1;
export default defineSpace(qkNormRope, [
  { headDim: [64, ▸65, ▸64], ${REST} },
  { headDim: [128], ▸ropes: ["neox"], dtype: ["bf16"] },
  { headDim: [256], rope: [▸"noex"], dtype: [▸String("bf16")] },
  { ▸rope: [], headDim: [80], dtype: ["bf16"] },
  ▸{ headDim: [64], rope: ["neox"] },
  ▸{ headDim: [96], rotaryDim: [128], ${REST} },
  ▸{ headDim: [64, 512], ${REST} },
]);\n`);
  const made = project(text);
  const found = await diagnosticsOfEmit(made);
  expect(found.map(({ code, span }) => ({ code, span }))).toEqual(
    [
      "type-error",
      "value-not-in-axis",
      "duplicate-value",
      "unknown-axis",
      "value-not-in-axis",
      "unsupported-expression",
      "empty-axis",
      "missing-axis",
      "entry-without-kernel",
      "duplicate-point",
    ].map((code, i) => ({ code, span: { file: made.config, ...places[i] } })),
  );
});
