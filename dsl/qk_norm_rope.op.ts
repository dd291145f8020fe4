/** The op: RMSNorm of every q and k head, then rotary embedding, in one pass. */
import { defineOp } from "./language.js";
import { cache, norm, rotate, value } from "./stages/index.js";

/** `y = rotate(x * rsqrt(mean(x^2) + eps) * weight, position)` for every head of q and k. */
export const qkNormRope = defineOp({
  name: "qk_norm_rope",
  q: (x) => rotate(norm(x)),
  k: (x) => cache(rotate(norm(x))),
  v: (x) => cache(value(x)),
});
