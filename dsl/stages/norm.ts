/** `norm`: root mean square norm over a head. */
import { axis, oneOf } from "../axis.js";
import { defineStage } from "../stage.js";

/** Float32's error relative to the result: a sum, an approximate square root, two products. */
const ERROR = 5.6e-7;

/**
 * Root mean square norm: `x * rsqrt(mean(x^2) + eps) * weight`. Source: Zhang and Sennrich 2019, eq. 4. The weight is an
 * input of the call, `[headDim]` or `[numHeads, headDim]`; `one_plus` multiplies by `1 + weight`, `none` by nothing.
 */
export const norm = defineStage({
  name: "norm",
  scope: "head",
  axes: {
    weight: axis(oneOf("plain", "one_plus", "none"), {
      default: "plain",
      tags: { one_plus: "w1p", none: "noweight" },
    }),
  },
  inputs: [{ name: "weight", when: { weight: ["plain", "one_plus"] } }, { name: "eps" }],
  reference({ y: x, error }, { weight }, inputs) {
    const eps = inputs.number("eps");
    const sum = x.reduce((squares, value) => squares + value * value, 0) + x.length * eps;
    // Half the relative change of the sum by the elements' errors.
    const shift = x.reduce((total, value, i) => total + Math.abs(value) * (error[i] ?? 0), 0) / sum || 0;
    const scale = 1 / Math.sqrt(sum / x.length);
    const factors =
      weight === "none"
        ? x.map(() => scale)
        : inputs.tensor("weight").map((w) => scale * (weight === "one_plus" ? 1 + w : w));
    const y = x.map((value, i) => value * (factors[i] ?? Number.NaN));
    return {
      y,
      error: y.map(
        (value, i) => Math.abs(value) * (ERROR + shift) + Math.abs(factors[i] ?? 0) * (error[i] ?? 0),
      ),
    };
  },
});
