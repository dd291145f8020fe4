/** The op of DeepSeek-V4: q has a norm without a weight, and its one kv head, which is k and v, a norm with one. */
import { defineOp } from "./language.js";
import { cache, norm, rotate } from "./stages/index.js";

/** `q = rotate(norm(q))` without a weight and `k = rotate(norm(k))` with one, for every head. */
export const qNormKvNormRope = defineOp({
  name: "q_norm_kv_norm_rope",
  q: (x) => rotate(norm(x, { weight: "none" })),
  k: (x) => cache(rotate(norm(x))),
});
