/**
 * `out`: the end of a side, which writes the result to the output. Every op has it, so users do not write it: an expression says
 * what becomes of a head, and `out` stores that.
 */
import { axis, oneOf } from "./axis.js";
import { defineStage } from "./stage.js";
import { storedByScale } from "./stored.js";

export const out = defineStage({
  name: "out",
  axes: {
    /** The dtype of outputs: the kernel's, or FP8, e4m3, as value / scale, which lies elsewhere than the input. */
    out: axis(oneOf("same", "e4m3"), {
      default: "same",
      tags: { e4m3: "out8" },
      aliases: { fp8: "e4m3", fp8e4m3: "e4m3", float8e4m3fn: "e4m3" },
      isImplied: true,
    }),
  },
  inputs: [
    { name: "out", dtypes: { e4m3: { out: oneOf("e4m3") } } },
    { name: "out_scale", when: { out: oneOf("e4m3") }, isOptional: {} },
  ],
  isSink: true,
  reference: (head, { out }, inputs) => (out === "e4m3" ? storedByScale(head, "out_scale", inputs) : head),
});
