/** Kernels that write a KV cache, or FP8; an op of k alone, and one that fixes the dtypes of its caches. */
import { cache, defineOp, defineSpace, norm, qkNormRope, rotate, value } from "normrope/dsl";

const plain = { headDim: 64, rope: "neox", dtype: "bf16" } as const;
const caches = ["same", "e4m3"] as const;

const shipped = defineSpace(qkNormRope, [
  { ...plain, cache: caches, out: ["same", "e4m3"], value: ["none", "copy", "norm"] },
  { ...plain, cache: ["none"], out: "e4m3", value: ["none", "norm"] },
  plain,
  { ...plain, rope: "interleaved", rotaryDim: 32, dtype: "f16", cache: caches },
]);

const onlyK = defineOp({ name: "my_k", k: (x) => cache(rotate(norm(x))) });
const fixed = defineOp({
  name: "my_fixed",
  q: (x) => rotate(x),
  k: (x) => cache(rotate(x), { cache: "same" }),
  v: (x) => cache(value(x), { cache: "e4m3" }),
});

export default [
  shipped,
  defineSpace(onlyK, {
    headDim: [64],
    rope: ["neox"],
    dtype: ["bf16"],
    cache: caches,
    out: ["same", "e4m3"],
  }),
  defineSpace(fixed, { headDim: [64], rope: ["neox"], dtype: ["bf16"] }),
];
