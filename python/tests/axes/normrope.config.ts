/** Kernels of the op that ships at points off the defaults, and an op that fixes what tensors say. One value at a time. */
import { defineOp, defineSpace, norm, qkNormRope, rotate } from "normrope/dsl";

const plain = { headDim: 64, rope: "neox", dtype: "bf16" } as const;
const still = { headDim: 64, rotaryDim: 0, dtype: "bf16" } as const;
const cosSin = { ...plain, angles: ["cos_sin", "cos_sin_f32"] } as const;

const shipped = defineSpace(qkNormRope, [
  { ...plain, value: ["none", "copy", "norm"], weightDtype: ["same", "f32"] },
  { ...plain, norm: "layer", bias: ["none", "add"], weightDtype: ["same", "f32"] },
  { ...plain, dtype: "f16", norm: "none", rotaryDim: 32, rotaryAt: ["leading", "trailing"] },
  { ...plain, rope: "interleaved", rotaryDim: 32, rotaryAt: "trailing" },
  { ...plain, normRounding: ["before_weight", "after_weight"] },
  { ...plain, weight: "none", normRounding: "scale" },
  { ...cosSin, positionAxes: [1, 3], weight: "none" },
  { ...plain, angles: "cos_sin", ropeRounding: ["products", "sum"] },
  { ...plain, angles: "cos_sin_f32", ropeRounding: "sum" },
  { ...plain, positionAxes: [2, 3] },
  still,
  { ...still, norm: "none", value: "norm" },
]);

const fixed = defineOp({
  name: "my_fixed",
  k: (x) => rotate(norm(x, { weightDtype: "f32" }), { rotaryDim: 32, angles: "cos_sin", positionAxes: 2 }),
});

export default [shipped, defineSpace(fixed, { headDim: [64], rope: ["neox"], dtype: ["bf16"] })];
