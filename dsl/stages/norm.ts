/** `norm`: root mean square norm, or layer norm, over a head. */
import { axis, oneOf } from "../axis.js";
import { defineStage, type ReferenceHead, type ReferenceInputs } from "../stage.js";

/** Float32's error relative to the result: a sum, an approximate square root, two products. */
const ERROR = 5.6e-7;
/** The same of the mean, relative to the mean of magnitudes, and of one operation. */
const MEAN_ERROR = 1e-6;
const ONE_ERROR = 6e-8;

const NORMED = { norm: oneOf("rms", "layer") };
const FLOAT32 = { weightDtype: oneOf("f32") };
const WEIGHTED = { ...NORMED, weight: oneOf("plain", "one_plus") };

const OTHER_NORM = { rule: "norm_rounding_of_other_norm" };
const SCALE = { normRounding: oneOf("scale") };
const BEFORE_WEIGHT = { normRounding: oneOf("before_weight") };
const ONLY_RMS = "normRounding scale is that of an RMS norm without a weight";

/**
 * RMS norm: `x * rsqrt(mean(x^2) + eps) * weight` (Zhang and Sennrich 2019, eq. 4). Layer norm: the same of `x - mean(x)`, plus
 * a bias (Ba et al. 2016, eq. 4). Weight and bias are inputs of the call, `[headDim]` or `[numHeads, headDim]`.
 */
export const norm = defineStage({
  name: "norm",
  axes: {
    /** Which norm; `none`: heads pass through. */
    norm: axis(oneOf("rms", "layer", "none"), {
      default: "rms",
      tags: { layer: "layernorm", none: "nonorm" },
      aliases: { rmsnorm: "rms", layernorm: "layer" },
    }),
    /** What multiplies the result: the weight, `1 + weight`, or nothing. */
    weight: axis(oneOf("plain", "one_plus", "none"), {
      default: "plain",
      tags: { one_plus: "w1p", none: "noweight" },
      when: NORMED,
    }),
    /** The dtype of weight and bias: the kernel's, or float32. */
    weightDtype: axis(oneOf("same", "f32"), {
      default: "same",
      tags: { f32: "w32" },
      aliases: { float32: "f32" },
      when: WEIGHTED,
      isImplied: true,
    }),
    /** Whether a bias is added. */
    bias: axis(oneOf("none", "add"), {
      default: "none",
      tags: { add: "bias" },
      when: { norm: oneOf("layer") },
      isImplied: true,
    }),
    /**
     * Where the norm rounds to the kernel's dtype, as code of models does. `once`: nowhere, the kernel rounds its result.
     * `before_weight`: `weight * normed.to(dtype)`. `after_weight`: `(weight * normed).to(dtype)`. `scale`: the reciprocal root
     * is rounded before it multiplies.
     */
    normRounding: axis(oneOf("once", "before_weight", "after_weight", "scale"), {
      default: "once",
      tags: { before_weight: "nearly", after_weight: "nlate", scale: "nscale" },
      when: NORMED,
    }),
  },
  inputs: [
    { name: "weight", when: WEIGHTED, dtypes: { f32: FLOAT32 } },
    { name: "bias", when: { bias: oneOf("add") }, dtypes: { f32: FLOAT32 } },
    { name: "eps" },
  ],
  measures: ({ norm }) => (norm === "layer" ? 2 : 1),
  roundsAsModel: ({ normRounding }) => normRounding !== "once",
  parts: ({ normRounding }) => ({ scaling: normRounding === "once" ? "once" : "rounded" }),
  becomes: [{ when: { norm: oneOf("none") }, as: [] }],
  rules: [
    { ...OTHER_NORM, when: { ...SCALE, norm: oneOf("layer") }, reason: ONLY_RMS },
    { ...OTHER_NORM, when: { ...SCALE, weight: oneOf("plain", "one_plus") }, reason: ONLY_RMS },
    {
      ...{ ...OTHER_NORM, when: { ...BEFORE_WEIGHT, weight: oneOf("none") } },
      reason: "without a weight, normRounding before_weight is after_weight",
    },
    {
      ...{ ...OTHER_NORM, when: { ...BEFORE_WEIGHT, weightDtype: oneOf("f32") } },
      reason: "with a float32 weight, normRounding before_weight gives float32 heads",
    },
  ],
  reference(head, values, inputs) {
    const weight = values.weight === "none" ? undefined : inputs.tensor("weight");
    const factors = weight?.map((w) => (values.weight === "one_plus" ? 1 + w : w)) ?? head.y.map(() => 1);
    const bias = values.bias === "add" ? inputs.tensor("bias") : head.y.map(() => 0);
    const terms = { factors, bias, hasBias: values.bias === "add" };
    return values.normRounding === "once"
      ? exactNorm(head, values.norm === "layer", terms, inputs)
      : roundedNorm(head, values, terms, inputs);
  },
});

interface Terms {
  readonly factors: Float64Array;
  readonly bias: Float64Array;
  readonly hasBias: boolean;
}

const meanOf = (x: Float64Array) => x.reduce((sum, value) => sum + value, 0) / x.length;

function exactNorm(
  { y: x, error }: ReferenceHead,
  isLayer: boolean,
  { factors, bias }: Terms,
  inputs: ReferenceInputs,
): ReferenceHead {
  const mean = isLayer ? meanOf(x) : 0;
  const centred = x.map((value) => value - mean);
  const ofMean = isLayer ? meanOf(error) + MEAN_ERROR * meanOf(x.map(Math.abs)) : 0;
  const near = error.map((bound, i) => bound + ofMean + (isLayer ? ONE_ERROR * Math.abs(x[i] ?? 0) : 0));
  const eps = inputs.number("eps");
  const sum = centred.reduce((squares, value) => squares + value * value, 0) + x.length * eps;
  // Half the relative change of the sum by the elements' errors.
  const shift = centred.reduce((total, value, i) => total + Math.abs(value) * (near[i] ?? 0), 0) / sum || 0;
  const scale = 1 / Math.sqrt(sum / x.length);
  const normed = centred.map((value, i) => value * scale * (factors[i] ?? Number.NaN));
  return {
    y: normed.map((value, i) => value + (bias[i] ?? Number.NaN)),
    error: normed.map(
      (value, i) =>
        Math.abs(value) * (ERROR + shift) +
        Math.abs(scale * (factors[i] ?? 0)) * (near[i] ?? 0) +
        ONE_ERROR * Math.abs(bias[i] ?? 0),
    ),
  };
}

/**
 * The norm in float32, rounded where `normRounding` says: the reciprocal root is `1 / sqrt(sum / n + eps)`, each operation rounded
 * to nearest. It is bit for bit what kernels compute if the order of the sum does not matter. Elsewhere the reciprocal root may
 * be off by a float32 ulp, and each rounding to the kernel's dtype by one of its ulp.
 */
function roundedNorm(
  { y: x, error }: ReferenceHead,
  { norm, normRounding }: { readonly norm: string; readonly normRounding: string },
  { factors, bias, hasBias }: Terms,
  inputs: ReferenceInputs,
): ReferenceHead {
  const round = inputs.rounded;
  const f32 = Math.fround;
  const mean = norm === "layer" ? f32(f32(meanOf(x) * x.length) / x.length) : 0;
  const centred = x.map((value) => f32(value - mean));
  const square = f32(centred.reduce((squares, value) => squares + value * value, 0));
  const eps = f32(inputs.number("eps"));
  const scale = f32(1 / f32(Math.sqrt(f32(f32(square / x.length) + eps))));
  const shift =
    centred.reduce((total, value, i) => total + Math.abs(value) * (error[i] ?? 0), 0) / square || 0;
  const multiplied = (value: number, i: number) => f32(value * f32(factors[i] ?? Number.NaN));
  const added = (value: number, i: number) => (hasBias ? f32(value + (bias[i] ?? Number.NaN)) : value);
  const scaled = (value: number, i: number) => {
    if (normRounding === "scale") return round(f32(value * round(scale)));
    const normed = f32(value * scale);
    if (normRounding === "after_weight") return round(added(multiplied(normed, i), i));
    const weighted = round(multiplied(round(normed), i));
    return hasBias ? round(added(weighted, i)) : weighted;
  };
  const y = centred.map(scaled);
  return {
    y,
    error: y.map((value, i) => {
      const factor = Math.abs(f32(factors[i] ?? 0) * scale);
      const normed = (centred[i] ?? 0) * scale;
      const flips = 2 * inputs.ulp(value) + 2 * Math.abs(factors[i] ?? 0) * inputs.ulp(normed);
      const ofMean = norm === "layer" ? factor * MEAN_ERROR * meanOf(x.map(Math.abs)) : 0;
      return flips + ofMean + factor * (error[i] ?? 0) + Math.abs(value) * shift;
    }),
  };
}
