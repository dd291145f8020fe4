/** What the tests of the drop-ins call: points of SGLang's, vLLM's and TensorRT-LLM's ops. */
import { defineSpace, qkNormRope } from "normrope/dsl";

const plain = { headDim: 128, rope: "neox", dtype: "bf16" } as const;
const gate = { headDim: 256, dtype: "bf16", value: "copy" } as const;
const rotated = {
  ...gate,
  rotaryDim: 64,
  rope: "neox",
  angles: "cos_sin",
  normRounding: "after_weight",
} as const;

export default defineSpace(qkNormRope, [
  // vLLM
  { headDim: 128, rope: ["neox", "interleaved"], dtype: ["bf16", "f16"], angles: "cos_sin" },
  { ...plain, rotaryDim: 32, angles: ["cos_sin", "cos_sin_f32"] },
  { headDim: 128, rotaryDim: 0, dtype: "bf16" },
  { ...rotated, weight: ["plain", "one_plus"] },
  { ...rotated, weight: "one_plus", positionAxes: 3 },
  { ...gate, rotaryDim: 0, weight: "one_plus" },
  // SGLang
  { ...plain, angles: "cos_sin", positionAxes: 3, cache: ["none", "same"] },
  // TensorRT-LLM
  { ...plain, rope: ["neox", "interleaved"], rotaryDim: [64, 128] },
  { ...plain, weight: "one_plus", positionAxes: 3 },
  { ...plain, norm: "none" },
  { ...plain, rotaryDim: [64, 128], value: "copy", out: "e4m3" },
]);
