/** `rotate`: rotary embedding. */
import { angleAt } from "../angle.js";
import { axis, multipleOf, oneOf } from "../axis.js";
import { defineStage } from "../stage.js";

/** The error of float32 and of the hardware's sine and cosine, relative to the larger of a pair. */
const ERROR = 2e-6;

/**
 * Rotary embedding of the leading `rotaryDim` elements: each pair `(a, b)` becomes `(a cos - b sin, b cos + a sin)` with the
 * pair's angle at the token's position, times the attention factor. Source: Su et al. 2021, eq. 34; the attention factor is
 * YaRN's (Peng et al. 2023, section 3.4).
 */
export const rotate = defineStage({
  name: "rotate",
  scope: "element",
  pairing: ({ rope, rotaryDim }) => ({ rope, rotaryDim }),
  axes: {
    /** Leading elements of a head that are rotated; the rest passes through. Default: `headDim`. */
    rotaryDim: axis(multipleOf(2, { min: 2, max: 1024 }), {
      ...{ tag: "r", within: "headDim", follows: "headDim" },
      isImplied: true,
    }),
    /** Which elements rotate together: NeoX `(i, i + rotaryDim/2)`, interleaved `(2i, 2i + 1)`. */
    rope: axis(oneOf("neox", "interleaved"), {
      aliases: { gptneox: "neox", rotatehalf: "neox", gptj: "interleaved" },
    }),
  },
  inputs: [{ name: "positions" }, { name: "rope_table" }, { name: "attention_factor" }],
  reference({ y: x, error }, { rotaryDim, rope }, inputs) {
    const y = x.slice();
    const bound = error.slice();
    const half = rotaryDim / 2;
    const factor = inputs.number("attention_factor");
    const [position = Number.NaN] = inputs.tensor("positions");
    const { cosines, sines } = angleAt(inputs.tensor("rope_table"), position);
    for (let i = 0; i < half; i++) {
      const first = rope === "interleaved" ? 2 * i : i;
      const second = rope === "interleaved" ? 2 * i + 1 : i + half;
      const [a, b] = [x[first] ?? Number.NaN, x[second] ?? Number.NaN];
      const [cosine, sine] = [cosines[i] ?? Number.NaN, sines[i] ?? Number.NaN];
      y[first] = factor * (a * cosine - b * sine);
      y[second] = factor * (b * cosine + a * sine);
      const own = ERROR * Math.max(Math.abs(a), Math.abs(b));
      const turned = (near = 0, far = 0) => Math.abs(cosine) * near + Math.abs(sine) * far;
      bound[first] = Math.abs(factor) * (own + turned(error[first], error[second]));
      bound[second] = Math.abs(factor) * (own + turned(error[second], error[first]));
    }
    return { y, error: bound };
  },
});
