/** The op: RMSNorm of every q and k head, then rotary embedding, in one pass. */
import { defineOp } from "./language.js";
import { norm, rotate, value } from "./stages/index.js";

/** `y = rotate(x * rsqrt(mean(x^2) + eps) * weight, position)` for every head of q and k. */
export const qkNormRope = defineOp({
  name: "qk_norm_rope",
  head: (x) => rotate(norm(x)),
  v: (x) => value(x),
});
