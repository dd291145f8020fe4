/** `normrope/dsl`: the language, its stages, and the op that ships with it. */
export * from "./language.js";
export { qkNormRope } from "./qk_norm_rope.op.js";
export * from "./stages/index.js";
