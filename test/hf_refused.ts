/** Configs of models that no op does, and every reason why, in the order in which they are told. */
const ACROSS_HEADS = /norms across heads, with a weight of \[num_heads \* head_dim\]/;

export const REFUSED: readonly (readonly [name: string, ...reasons: RegExp[]])[] = [
  ["olmo-2-1124-7b", ACROSS_HEADS],
  ["olmo-3-7b", ACROSS_HEADS],
  ["minimax-m2", ACROSS_HEADS],
  ["zaya1-8b", /divides by the L2 norm/],
  ["deepseek-v3", /norms the low-rank latents of MLA/],
  ["wan2.1-t2v-14b", ACROSS_HEADS],
  ["kimi-linear-48b", /norms the low-rank latents of MLA/, /has no RoPE at all/],
];
