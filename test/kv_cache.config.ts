/** Kernels that write a KV cache, or FP8: both dtypes of the cache, every layout of a head, and the other axes beside them. */
import {
  cache,
  defineOp,
  defineSpace,
  norm,
  qkNormRope,
  qkRopeNorm,
  qNormKvNormRope,
  rotate,
  value,
} from "normrope/dsl";

const both = { rope: ["neox", "interleaved"], dtype: ["bf16"] } as const;

export default [
  defineSpace(qkNormRope, [
    { headDim: [128], ...both, cache: ["same", "e4m3"], out: ["same", "e4m3"] },
    { headDim: [64, 256], rope: ["neox"], dtype: ["f16"], cache: ["same", "e4m3"], value: ["none", "norm"] },
    { headDim: [80, 96], ...both, cache: ["e4m3"], value: ["copy"] },
    // One and two elements of a vector.
    {
      headDim: [64],
      rotaryDim: [18, 20],
      rope: ["neox"],
      dtype: ["bf16"],
      cache: ["same", "e4m3"],
      out: ["e4m3"],
    },
    { headDim: [128], rotaryDim: [64], ...both, out: ["e4m3"], value: ["none", "copy"] },
    { headDim: [128], ...both, norm: ["none"], cache: ["same", "e4m3"] },
    {
      ...{ headDim: [128], rope: ["neox"], dtype: ["bf16"], cache: ["e4m3"], weight: ["one_plus"] },
      ...{ weightDtype: ["f32"], positionAxes: [3] },
    },
    {
      ...{ headDim: [128], ...both, angles: ["cos_sin"], ropeRounding: ["products"] },
      ...{ normRounding: ["before_weight"], cache: ["same", "e4m3"] },
    },
  ]),
  defineSpace(qkRopeNorm, { headDim: [64], ...both, weight: ["none"], cache: ["same", "e4m3"] }),
  defineSpace(qNormKvNormRope, {
    ...{ headDim: [512], rotaryDim: [64], rope: ["interleaved"], dtype: ["bf16"] },
    ...{ rotaryAt: ["trailing"], cache: ["same", "e4m3"] },
  }),
  // A cache of k or v alone, and one of which an argument says the dtype.
  defineSpace(defineOp({ name: "only_k", k: (x) => cache(rotate(norm(x))) }), {
    ...{ headDim: [64], rope: ["neox"], dtype: ["bf16"], cache: ["same"] },
  }),
  defineSpace(
    defineOp({
      name: "fixed",
      q: (x) => rotate(x),
      k: (x) => cache(rotate(x), { cache: "same" }),
      v: (x) => cache(value(x), { cache: "e4m3" }),
    }),
    { headDim: [64], rope: ["interleaved"], dtype: ["f16"] },
  ),
];
