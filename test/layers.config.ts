/** What layers of real models do besides the op's defaults: every value of every axis, each at least twice. */
import { defineOp, defineSpace, norm, qkNormRope, rotate } from "normrope/dsl";

const both = { rope: ["neox", "interleaved"] } as const;

const qkRopeNorm = defineOp({ name: "rope_norm", head: (x) => norm(rotate(x)) });
const qUnlikeK = defineOp({
  name: "q_unlike_k",
  q: (x) => rotate(norm(x, { weight: "none" })),
  k: (x) => rotate(norm(x)),
});

export default [
  defineSpace(qkNormRope, [
    // Norms.
    { headDim: [64], ...both, dtype: ["bf16"], norm: ["none", "layer"] },
    { headDim: [96], rotaryDim: [0, 24], ...both, dtype: ["f16"], norm: ["layer"], bias: ["add"] },
    { headDim: [128], ...both, dtype: ["bf16"], weight: ["one_plus"], weightDtype: ["f32"] },
    {
      headDim: [80],
      rotaryDim: [20],
      ...both,
      dtype: ["f16"],
      norm: ["layer"],
      bias: ["add"],
      weightDtype: ["f32"],
    },
    { headDim: [64], rotaryDim: [0], dtype: ["bf16"], weight: ["none", "plain"], value: ["none", "norm"] },
    // Rotations.
    { headDim: [64, 112], rotaryDim: [16, 36], ...both, dtype: ["bf16"], rotaryAt: ["trailing"] },
    { headDim: [96], rotaryDim: [46], ...both, dtype: ["f16"], rotaryAt: ["trailing"] },
    { headDim: [128], rotaryDim: [64], ...both, dtype: ["bf16"], positionAxes: [2, 3], weight: ["one_plus"] },
    { headDim: [64], rotaryDim: [36], ...both, dtype: ["f16"], positionAxes: [4] },
    { headDim: [64], ...both, dtype: ["bf16"], angles: ["cos_sin", "cos_sin_f32"], value: ["copy"] },
    { headDim: [96], rotaryDim: [46], ...both, dtype: ["f16"], angles: ["cos_sin", "cos_sin_f32"] },
    {
      headDim: [64],
      rotaryDim: [32],
      ...both,
      dtype: ["bf16"],
      angles: ["cos_sin", "cos_sin_f32"],
      positionAxes: [3],
    },
    {
      headDim: [80],
      rotaryDim: [36],
      ...both,
      dtype: ["f16"],
      angles: ["cos_sin"],
      positionAxes: [2],
      rotaryAt: ["trailing"],
    },
    // v.
    { headDim: [96], ...both, dtype: ["bf16", "f16"], norm: ["rms", "none"], value: ["norm"] },
    { headDim: [64], rope: ["neox"], dtype: ["f16"], norm: ["none"], value: ["copy"] },
    // Rounding.
    {
      ...{
        headDim: [64],
        ...both,
        dtype: ["bf16", "f16"],
        angles: ["cos_sin"],
        ropeRounding: ["products", "sum"],
      },
      normRounding: ["before_weight", "after_weight"],
    },
    {
      ...{ headDim: [96], rotaryDim: [24], rope: ["interleaved"], dtype: ["bf16"], rotaryAt: ["trailing"] },
      ...{
        angles: ["cos_sin", "cos_sin_f32"],
        ropeRounding: ["sum"],
        weight: ["none"],
        normRounding: ["scale", "after_weight"],
      },
    },
    {
      ...{ headDim: [64], rotaryDim: [0], dtype: ["bf16", "f16"], norm: ["layer"], bias: ["none", "add"] },
      ...{ normRounding: ["before_weight", "after_weight"], value: ["norm"] },
    },
    {
      ...{
        headDim: [80],
        rope: ["neox"],
        dtype: ["f16"],
        weight: ["one_plus"],
        normRounding: ["after_weight"],
      },
      ...{ weightDtype: ["same", "f32"] },
    },
    {
      headDim: [64],
      rope: ["neox"],
      dtype: ["bf16"],
      norm: ["none"],
      angles: ["cos_sin"],
      ropeRounding: ["products"],
    },
    {
      ...{ headDim: [64], rope: ["neox"], dtype: ["bf16"], norm: ["none"], angles: ["cos_sin_f32"] },
      ropeRounding: ["sum"],
    },
  ]),
  defineSpace(qkRopeNorm, [
    {
      headDim: [96],
      rotaryDim: [96, 0, 32],
      rope: ["neox"],
      dtype: ["bf16"],
      norm: ["rms", "layer"],
      weight: ["plain", "none"],
    },
    {
      ...{ headDim: [64], ...both, dtype: ["bf16"], angles: ["cos_sin"], ropeRounding: ["products", "sum"] },
      normRounding: ["before_weight"],
    },
  ]),
  defineSpace(qUnlikeK, [
    {
      headDim: [64],
      rotaryDim: [32],
      ...both,
      dtype: ["bf16"],
      rotaryAt: ["trailing"],
      weight: ["plain", "one_plus"],
    },
    {
      headDim: [128],
      rotaryDim: [64],
      rope: ["interleaved"],
      dtype: ["f16"],
      rotaryAt: ["trailing"],
      weightDtype: ["f32"],
    },
  ]),
];
