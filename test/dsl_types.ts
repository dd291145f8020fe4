/** What the editor says of ops and spaces: a line marked so must be an error, and `npm run types` sees that it is one. */
import { defineOp, defineSpace, multipleOf, norm, oneOf, qkNormRope, rotate } from "normrope/dsl";

const both = defineOp({ name: "both", head: (x) => rotate(norm(x)) });
const weightless = defineOp({ name: "weightless", head: (x) => rotate(norm(x, { weight: "none" })) });
const onlyNorm = defineOp({ name: "only_norm", q: (x) => norm(x), v: (x) => norm(x, { weight: "none" }) });
const small = defineOp({
  ...qkNormRope,
  name: "small",
  ranges: { headDim: multipleOf(16, { min: 16, max: 64 }), rope: oneOf("neox") },
});

export const right = [
  defineSpace(both, { headDim: [64, 128], rope: "neox", dtype: ["bf16"], weight: "one_plus" }),
  defineSpace(weightless, [{ headDim: 64, rotaryDim: 32, rope: ["neox", "interleaved"], dtype: "f16" }]),
  defineSpace(onlyNorm, { headDim: 64, dtype: "bf16", weight: ["plain", "none"] }),
  defineSpace(small, { headDim: 64, rope: "neox", dtype: "bf16" }),
  // Nothing rotates, so there is no order of pairs to say. Elsewhere only the loader says that `rope` is missing.
  defineSpace(both, { headDim: 64, rotaryDim: 0, dtype: "bf16" }),
];

export const wrong = [
  // @ts-expect-error: an argument has fixed the axis
  defineSpace(weightless, { headDim: 64, rope: "neox", dtype: "bf16", weight: "plain" }),
  // @ts-expect-error: nothing rotates
  defineSpace(onlyNorm, { headDim: 64, rope: "neox", dtype: "bf16" }),
  // @ts-expect-error: an axis without a default is left out
  defineSpace(both, { headDim: 64, rope: "neox" }),
  // @ts-expect-error: the op has narrowed the axis
  defineSpace(small, { headDim: 64, rope: "interleaved", dtype: "bf16" }),
  // @ts-expect-error: no value of the axis
  defineOp({ name: "x", head: (x) => norm(x, { weight: "nope" }) }),
  // @ts-expect-error: no argument of the stage
  defineOp({ name: "x", head: (x) => norm(x, { wieght: "none" }) }),
  // @ts-expect-error: no argument of the stage, beside one that is
  defineOp({ name: "x", head: (x) => norm(x, { weight: "none", rope: "neox" }) }),
];
