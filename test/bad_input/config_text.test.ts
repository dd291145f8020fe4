/** Configs that are no space, or would have to be run: each with its code, its place and the text; nothing is written. */
import { it } from "vitest";
import { spaceOf } from "../helpers.js";
import { type ConfigCase, expectConfigRefused } from "./project.js";

const IMPORT = 'import { defineSpace, qkNormRope } from "normrope/dsl";\n';
const REST = 'rope: ["neox"], dtype: ["bf16"]';
const VALID = spaceOf(`{ headDim: [64], ${REST} }`);

const CASES: readonly ConfigCase[] = [
  ["no default export", "not-a-space", "▸const space = 1;\n", "export default defineSpace"],
  ["a default export that is no space", "not-a-space", "export default [▸64];\n", "`64` is no space"],
  [
    "a defineSpace of the user's own",
    "not-a-space",
    "▸const defineSpace = (x: object) => x;\nexport default defineSpace({});\n",
    "export default defineSpace",
  ],
  [
    "an op that is not defined here",
    "not-an-op",
    `${IMPORT}declare const other: typeof qkNormRope;
export default ▸defineSpace(other, { headDim: [64], ${REST} });\n`,
    "other",
  ],
  [
    "an op that a function makes",
    "not-an-op",
    `${IMPORT}const same = () => qkNormRope;
export default ▸defineSpace(same(), { headDim: [64], ${REST} });\n`,
    "same()",
  ],
  [
    "a computed list",
    "unsupported-expression",
    spaceOf(`{ headDim: ▸[64].concat(128), ${REST} }`),
    "`[64].concat(128)` is the result of a call, and a config is read without being run",
    "a list of values in brackets",
  ],
  [
    "a computed value",
    "unsupported-expression",
    spaceOf(`{ headDim: [64, ▸2 * 64], ${REST} }`),
    "`2 * 64` is computed, and a config is read without being run",
    "write a number",
  ],
  [
    "a let",
    "unsupported-expression",
    `${IMPORT}let dim = 64;\nexport default defineSpace(qkNormRope, { headDim: [▸dim], ${REST} });\n`,
    "`dim` is a variable that may change",
    "declare it with `const`",
  ],
  [
    "a member of an object",
    "unsupported-expression",
    `${IMPORT}const dims = { small: 64 };
export default defineSpace(qkNormRope, { headDim: [▸dims.small], ${REST} });\n`,
    "`dims.small` is a member of an object",
    "give it a const of its own",
  ],
  [
    "a template with a value in it",
    "unsupported-expression",
    `${IMPORT}const bits = 16;
export default defineSpace(qkNormRope, { headDim: [64], rope: ["neox"], dtype: [▸\`bf\${bits}\` as "bf16"] });\n`,
    "is a text with values in it",
  ],
  [
    "a computed name",
    "unsupported-expression",
    spaceOf(`{ headDim: [64], ${REST}, ▸["rotary" + "Dim"]: [32] }`),
    '`["rotary" + "Dim"]: [32]` is a property whose name is computed',
    "`name: value`",
  ],
  [
    "a spread of what a function returns",
    "unsupported-expression",
    `${IMPORT}const dims = () => [64];
export default defineSpace(qkNormRope, { headDim: [...▸dims()], ${REST} });\n`,
    "dims()",
  ],
  [
    "a computed entry",
    "unsupported-expression",
    `${IMPORT}const entry = () => ({ headDim: [64], ${REST} }) as const;
export default defineSpace(qkNormRope, [{ headDim: [128], ${REST} }, ▸entry()]);\n`,
    "entry()",
    "an object in braces",
  ],
  [
    "an error outside the space",
    "type-error",
    `const ▸name: string = 1;\n${VALID}`,
    "Type 'number' is not assignable to type 'string'",
  ],
  [
    "an error that only TypeScript sees in the space",
    "type-error",
    spaceOf('{ headDim: [64], rope: ["neox"], ▸dtype: ["bf16" as string] }'),
    "Type 'string' is not assignable",
    "put `as const` behind",
  ],
  [
    "such an error of a value without brackets",
    "type-error",
    spaceOf('{ headDim: 64, rope: "neox", ▸dtype: "bf16" as string }'),
    "Type 'string' is not assignable",
    "put `as const` behind",
  ],
  ["an import that leads nowhere", "type-error", `import ▸"./nowhere.js";\n${VALID}`, "./nowhere.js"],
  ["a use of what only Node has", "type-error", `${VALID}▸process.exit(1);\n`, "'process'"],
  ["text that is no TypeScript", "type-error", `${VALID}const x = ▸;\n`, "Expression expected"],
  ["an empty file", "not-a-space", "▸", "export default defineSpace"],
  ["a space of nothing", "not-an-op", `${IMPORT}export default ▸defineSpace();\n`, "does not lead to an op"],
  ["null for a space", "unsupported-expression", spaceOf("▸null"), "null", "an object in braces"],
  ["null for an entry", "unsupported-expression", spaceOf("[▸null]"), "null", "an object in braces"],
  ["a list in a list", "unsupported-expression", spaceOf(`[▸[{ headDim: [64], ${REST} }]]`), "[{ headDim"],
  [
    "a choice",
    "unsupported-expression",
    `${IMPORT}declare const isBig: boolean;
export default defineSpace(qkNormRope, { headDim: [▸isBig ? 128 : 64], ${REST} });\n`,
    "`isBig ? 128 : 64` is a choice between two values",
  ],
  [
    "a const that is computed, at its place",
    "unsupported-expression",
    `${IMPORT}const dims = ▸[64, 128].map((dim) => dim);
export default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`,
    "is the result of a call",
  ],
  [
    "a const that is declared without its value",
    "unsupported-expression",
    `${IMPORT}declare const dims: number[];
export default defineSpace(qkNormRope, { headDim: ▸dims, ${REST} });\n`,
    "`dims` is declared without its value",
    "give it one where it is declared",
  ],
  [
    "what is taken out of an object",
    "unsupported-expression",
    `${IMPORT}const { small } = { small: 64 };
export default defineSpace(qkNormRope, { headDim: [▸small], ${REST} });\n`,
    "`small` is a member of an object",
  ],
  [
    "a function",
    "unsupported-expression",
    spaceOf(`{ headDim: ▸(() => 64) as never, ${REST} }`).replace("▸(", "(▸"),
    "is a function",
  ],
  [
    "an object for a list",
    "unsupported-expression",
    spaceOf(`{ headDim: ▸{ small: 64 }, ${REST} }`),
    "`{ small: 64 }` is an object",
    "a list of values in brackets",
  ],
  [
    "a list for a number",
    "unsupported-expression",
    spaceOf(`{ headDim: [▸[64]], ${REST} }`),
    "`[64]` is a list",
    "a number",
  ],
  [
    "a hole in a list",
    "unsupported-expression",
    spaceOf(`{ headDim: [64,▸ , 128], ${REST} }`),
    "the list has an empty place",
  ],
  ["a bigint", "unsupported-expression", spaceOf(`{ headDim: [▸64n], ${REST} }`), "64n", "leave out the `n`"],
  ["NaN", "unsupported-expression", spaceOf(`{ headDim: [▸NaN], ${REST} }`), "NaN", "a number"],
  [
    "undefined",
    "unsupported-expression",
    spaceOf(`{ headDim: ▸undefined, ${REST} }`),
    "`undefined` is no value",
    "a list",
  ],
  [
    "a getter",
    "unsupported-expression",
    spaceOf(`{ ▸get headDim() { return [64]; }, ${REST} }`),
    "is a getter",
  ],
  ["an axis twice", "type-error", spaceOf(`{ headDim: [64], ▸headDim: [128], ${REST} }`), "same name"],
];

for (const given of CASES) {
  it(`a config: ${given[0]} (${given[1]})`, () => expectConfigRefused(given));
}
