import { defineSpace, qkNormRope } from "normrope/dsl";

/** What the benchmarks of the KV-cache write measure: the head dims of the peers, in both dtypes of the cache. */
export default defineSpace(qkNormRope, {
  headDim: [64, 128],
  rope: ["neox", "interleaved"],
  dtype: ["bf16"],
  cache: ["same", "e4m3"],
});
