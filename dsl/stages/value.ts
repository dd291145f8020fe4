/** `value`: what becomes of v. */
import { axis, oneOf } from "../axis.js";
import { defineStage } from "../stage.js";

/**
 * The value heads: left alone, copied elsewhere, or normed without a weight, as Gemma 3n and Gemma 4 do. With `none` v has no
 * output, and is no part of the kernel unless it goes into the KV cache.
 */
export const value = defineStage({
  name: "value",
  axes: {
    /** What is done to v. A copy goes elsewhere, never in place. */
    value: axis(oneOf("none", "copy", "norm"), {
      default: "none",
      tags: { copy: "vcopy", norm: "vnorm" },
    }),
  },
  inputs: [],
  becomes: [
    { when: { value: oneOf("none") }, as: "left alone" },
    { when: { value: oneOf("copy") }, as: [] },
    // Without a weight, both ways of rounding around it are one.
    {
      when: { normRounding: oneOf("before_weight") },
      as: [{ name: "norm", args: { norm: "rms", weight: "none", normRounding: "after_weight" } }],
    },
    { when: {}, as: [{ name: "norm", args: { norm: "rms", weight: "none" } }] },
  ],
  reference: (head) => head,
});
