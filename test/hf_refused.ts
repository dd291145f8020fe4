/** Configs of models that the op cannot do, and every reason why, in the order in which they are told. */
const NO_NORM = /has no norm of q and k/;
const ONE_PLUS_W = /multiplies by 1 \+ w/;
const ACROSS_HEADS = /norms across heads, with a weight of \[num_heads \* head_dim\]/;
const AFTER_ROPE = /norms after RoPE/;
const NO_WEIGHT = /norms without a weight/;
const LAYER_NORM = /has a LayerNorm/;
const MROPE = /has mRoPE/;
const AXIAL = /has axial RoPE/;

export const REFUSED: readonly (readonly [name: string, ...reasons: RegExp[]])[] = [
  ["glm-4.5-air", NO_NORM],
  ["llama-3.1-8b", NO_NORM],
  ["gpt-oss-20b", NO_NORM],
  ["llama-4-maverick", NO_NORM],
  ["aya-23-8b", NO_NORM],
  ["qwen3-next-80b-a3b", ONE_PLUS_W],
  ["gemma-3-4b", ONE_PLUS_W],
  ["qwen3.5-35b-a3b", ONE_PLUS_W, MROPE],
  ["qwen3-vl-30b-a3b", MROPE],
  ["qwen3-omni-30b-a3b", MROPE],
  ["olmo-2-1124-7b", ACROSS_HEADS],
  ["olmo-3-7b", ACROSS_HEADS],
  ["minimax-m2", ACROSS_HEADS],
  ["hunyuan-a13b", AFTER_ROPE],
  ["llama-4-scout", NO_WEIGHT, AFTER_ROPE],
  ["nanochat-d20", NO_WEIGHT, AFTER_ROPE, /rotates by the negative angle/],
  ["command-r-plus", LAYER_NORM],
  ["chameleon-7b", LAYER_NORM],
  ["zaya1-8b", /divides by the L2 norm/],
  ["deepseek-v3", /norms the low-rank latents of MLA/, /rotates the trailing elements/],
  ["flux.1-dev", AXIAL],
  ["wan2.1-t2v-14b", ACROSS_HEADS, AXIAL],
  ["openelm-270m", /other head counts in each layer/],
];
