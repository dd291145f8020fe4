import { defineSpace, qkNormRope } from "normrope/dsl";

/** What the recorded benchmarks measure: the default kernels, partial rotary, and the other head dims of models. */
export default defineSpace(qkNormRope, [
  { headDim: [64, 128, 256], rope: ["neox", "interleaved"], dtype: ["bf16"] },
  { headDim: [128, 256], rotaryDim: [64], rope: ["neox", "interleaved"], dtype: ["bf16"] },
  { headDim: [80, 96, 112, 192, 512], rope: ["neox", "interleaved"], dtype: ["bf16"] },
]);
