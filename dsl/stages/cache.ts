/** `cache`: the KV-cache write. */
import { axis, oneOf } from "../axis.js";
import { defineStage } from "../stage.js";
import { storedByScale } from "../stored.js";

const WRITTEN = { cache: oneOf("same", "e4m3") };
const FP8 = { cache: oneOf("e4m3") };

/**
 * Also stores the head in a paged KV cache, at the slot of its token: slot `s` is slot `s % block_size` of block `s / block_size`.
 * Nothing is stored at a slot below 0. The call may then leave the output out.
 */
export const cache = defineStage({
  name: "cache",
  axes: {
    /** Whether k and v go into the cache, and its dtype: the kernel's, or FP8, e4m3, as value / scale. */
    cache: axis(oneOf("none", "same", "e4m3"), {
      default: "none",
      tags: { same: "kv", e4m3: "kv8" },
      aliases: { fp8: "e4m3", fp8e4m3: "e4m3", float8e4m3fn: "e4m3" },
      isImplied: true,
    }),
  },
  inputs: [
    { name: "cache", when: WRITTEN, dtypes: { e4m3: FP8 } },
    { name: "cache_scale", when: FP8, isOptional: {} },
    { name: "slots", when: WRITTEN },
  ],
  isSink: true,
  sides: ["k", "v"],
  becomes: [{ when: { cache: oneOf("none") }, as: [] }],
  reference: (head, { cache }, inputs) =>
    cache === "e4m3" ? storedByScale(head, "cache_scale", inputs) : head,
});
