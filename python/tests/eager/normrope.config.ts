/** The kernels that python/compare_eager.py compares with the code of models. */
import { defineSpace, qkNormRope, qkRopeNorm } from "normrope/dsl";

const common = { dtype: "bf16", headDim: 128 } as const;
const products = { angles: "cos_sin", ropeRounding: "products" } as const;

export default [
  defineSpace(qkNormRope, [
    { ...common, ...products, rope: "neox", normRounding: "before_weight" },
    { ...common, rope: "neox", angles: "cos_sin" },
    { ...common, ...products, headDim: 256, rope: "neox", weight: "one_plus", normRounding: "after_weight" },
    { ...common, ...products, rotaryDim: 64, rope: "interleaved", norm: "none" },
    { ...common, rope: "neox", norm: "none", angles: "cos_sin_f32", ropeRounding: "sum" },
    {
      ...{ ...common, rope: "interleaved", norm: "layer", normRounding: "after_weight" },
      ...{ angles: "cos_sin", ropeRounding: "sum" },
    },
    { ...common, headDim: 512, rotaryDim: 0, weight: "none", normRounding: "scale" },
  ]),
  defineSpace(qkRopeNorm, {
    ...{ ...common, rope: "interleaved", weight: "none", normRounding: "after_weight" },
    ...{ angles: "cos_sin_f32", ropeRounding: "sum" },
  }),
];
