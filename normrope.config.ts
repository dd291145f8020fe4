import { defineSpace, qkNormRope } from "normrope/dsl";

export default defineSpace(qkNormRope, {
  headDim: [64, 128, 256],
  rope: ["neox", "interleaved"],
  dtype: ["bf16"],
});
