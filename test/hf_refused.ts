/** Configs of models that the language has no words for, and every reason why, in the order in which they are told. */
const ACROSS_HEADS = /norms across heads, with a weight of \[num_heads \* head_dim\]/;
const LAYER_NORM = /has a LayerNorm/;
const MROPE = /has mRoPE/;
const AXIAL = /has axial RoPE/;

export const REFUSED: readonly (readonly [name: string, ...reasons: RegExp[]])[] = [
  ["qwen3.5-35b-a3b", MROPE],
  ["qwen3-vl-30b-a3b", MROPE],
  ["qwen3-omni-30b-a3b", MROPE],
  ["olmo-2-1124-7b", ACROSS_HEADS],
  ["olmo-3-7b", ACROSS_HEADS],
  ["minimax-m2", ACROSS_HEADS],
  ["nanochat-d20", /rotates by the negative angle/],
  ["command-r-plus", LAYER_NORM],
  ["chameleon-7b", LAYER_NORM],
  ["zaya1-8b", /divides by the L2 norm/],
  ["deepseek-v3", /norms the low-rank latents of MLA/, /rotates the trailing elements/],
  ["flux.1-dev", AXIAL],
  ["wan2.1-t2v-14b", ACROSS_HEADS, AXIAL],
  ["openelm-270m", /other head counts in each layer/],
];
