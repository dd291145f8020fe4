/** `normrope/dsl`: the language, its stages, and the ops that ship with it. */
export * from "./language.js";
export { qNormKvNormRope } from "./q_norm_kv_norm_rope.op.js";
export { qkNormRope } from "./qk_norm_rope.op.js";
export { qkRopeNorm } from "./qk_rope_norm.op.js";
export * from "./stages/index.js";
