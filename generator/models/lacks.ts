/**
 * What models do to q and k that the language has no stage for yet.
 *
 * In: nothing. Out: one table of reasons, by name, with what the user can do instead.
 */

interface Lack {
  /** Follows `the attention of <model>` in the message. */
  readonly reason: string;
  /** What the user can do instead. Default: use the model's own code. */
  readonly instead?: string;
  /** The stage concerned. A model that switches this stage off can be imported. */
  readonly of?: string;
}

export const LACKS = {
  layer_norm: { of: "norm", reason: "has a LayerNorm, which subtracts the mean: `norm` is RMSNorm" },
  l2_norm: {
    of: "norm",
    reason: "divides by the L2 norm and a clamp: `norm` is RMSNorm with eps under the root",
  },
  row_norm: {
    of: "norm",
    reason: "norms across heads, with a weight of [num_heads * head_dim]: `norm` norms each head by itself",
  },
  latent_norm: {
    reason: "norms the low-rank latents of MLA, before there are heads: stages work on heads",
  },
  mrope: {
    reason: "has mRoPE, with positions of several rows [3, num_tokens]: `rotate` takes one row",
    instead: "for text alone all rows are equal, which is plain RoPE: add that kernel with `normrope add`",
  },
  axial: {
    reason: "has axial RoPE, with a position for each axis of an image or video: `rotate` takes one position",
  },
  trailing: { reason: "rotates the trailing elements of a head: `rotate` rotates the leading ones" },
  backwards: { reason: "rotates by the negative angle: `rotate` rotates by the positive one" },
  ropeless: { reason: "has no RoPE at all: `import` is for heads that rotate" },
  heads_by_layer: {
    reason: "has other head counts in each layer, which `import` does not read",
    instead: "add its kernels with `normrope add`: head counts are arguments of a call",
  },
  per_layer_config: {
    reason:
      "differs between layers by per_layer_config, which transformers writes and `import` does not read",
    instead: "import the config.json that the model was published with",
  },
} as const satisfies Readonly<Record<string, Lack>>;

export type LackName = keyof typeof LACKS;

/** A row of the table, with the optional fields that `as const` hides. */
export const lackNamed = (name: LackName): Lack => LACKS[name];
