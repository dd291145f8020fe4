/** The op of models that norm behind RoPE: rotary embedding of every q and k head, then the norm. */
import { defineOp } from "./language.js";
import { cache, norm, rotate, value } from "./stages/index.js";

/** `y = norm(rotate(x, position))` for every head of q and k, as Hunyuan, Llama 4 and nanochat do. */
export const qkRopeNorm = defineOp({
  name: "qk_rope_norm",
  q: (x) => norm(rotate(x)),
  k: (x) => cache(norm(rotate(x))),
  v: (x) => cache(value(x)),
});
