/** The op: RMSNorm of every q and k head, then rotary embedding, in one pass. */
import { defineOp, norm, rotate } from "./language.js";

/** `y = rotate(x * rsqrt(mean(x^2) + eps) * weight, position)` for every head of q and k. */
export const qkNormRope = defineOp({
  name: "qk_norm_rope",
  ranges: {},
  head: (x, { axes, weight, eps, angle }) =>
    rotate(norm(x, { weight, eps }), { angle, pairs: axes.rope, dim: axes.rotaryDim }),
});
