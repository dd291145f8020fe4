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
    "return rotate",
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
    opConfig({ head: head("rmsNorm(x, { weight, eps })") }).replace("head:", "▸head:"),
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
      head: head("rmsNorm(rotate(x, { angle, pairs: axes.rope, dim: axes.rotaryDim }), { weight, eps })"),
    }).replace("head:", "▸head:"),
    "rmsNorm is not the first stage",
  ],
  [
    "an op that norms twice",
    "bad-op",
    opConfig({
      head: head(`rotate(rmsNorm(rmsNorm(x, { weight, eps }), { weight, eps }),
    { angle, pairs: axes.rope, dim: axes.rotaryDim })`),
    }).replace("head:", "▸head:"),
    "rmsNorm is not the first stage",
  ],
];

for (const given of CASES) {
  it(`an op: ${given[0]} (${given[1]})`, () => expectConfigRefused(given));
}

it("an op is never refused without saying why", async () => {
  const config = opConfig({ rotaryDim: 'even({ min: "2" as never, max: "headDim", default: "headDim" })' });
  expect(await diagnosticsOfEmit(project(config))).not.toEqual([]);
});
