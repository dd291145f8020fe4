/**
 * What the tests of the Python package run: SGLang's grid for its op, in both dtypes; and other weights. And an op that
 * does the same under another name.
 */
import { defineOp, defineSpace, qkNormRope } from "normrope/dsl";

const both = { rope: ["neox", "interleaved"], dtype: ["bf16", "f16"] } as const;

const shipped = defineSpace(qkNormRope, [
  { headDim: [64, 128, 256], ...both },
  { headDim: [64], rotaryDim: [32], ...both },
  { headDim: [128], rotaryDim: [64], ...both },
  { headDim: [256], rotaryDim: [64, 128], ...both },
  { headDim: [64], rope: ["neox"], dtype: ["bf16"], weight: ["one_plus", "none"] },
]);
const asShipped = defineOp({ ...qkNormRope, name: "as_shipped" });

export default [shipped, defineSpace(asShipped, { headDim: [80, 128], rope: ["neox"], dtype: ["bf16"] })];
