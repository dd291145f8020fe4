/**
 * What models do to q and k that no op of the language does.
 *
 * In: nothing. Out: one table of reasons, by name, with what the user can do instead.
 */

interface Lack {
  /** Follows `the attention of <model>` in the message. */
  readonly reason: string;
  /** What the user can do instead. Default: use the model's own code. */
  readonly instead?: string;
  /** `--text-only` takes the model nonetheless, because its rows of positions are equal for text. */
  readonly notForText?: true;
}

/** Since equal rows of positions are one row. */
const TEXT_ALONE = "for text alone all rows are equal, which is plain RoPE: add --text-only";

export const LACKS = {
  l2_norm: { reason: "divides by the L2 norm and a clamp: `norm` has eps under the root" },
  row_norm: {
    reason: "norms across heads, with a weight of [num_heads * head_dim]: `norm` norms each head by itself",
  },
  latent_norm: {
    reason: "norms the low-rank latents of MLA, before there are heads: stages work on heads",
  },
  mrope: {
    reason: "has mRoPE, with positions of several rows, in a layout that is not known for this type",
    instead: TEXT_ALONE,
    notForText: true,
  },
  crossed_axes: {
    reason: "turns the two elements of a pair by different rows of positions, which is no rotation",
    instead: TEXT_ALONE,
    notForText: true,
  },
  blocked: {
    reason: "rotates each half of a head by itself: `rotate` pairs elements of all that rotates",
  },
  head_angles: { reason: "has other angles in each head: `rotate` turns all heads of a token alike" },
  ropeless: { reason: "has no RoPE at all: `import` is for heads that rotate" },
  per_layer_config: {
    reason:
      "differs between layers by per_layer_config, which transformers writes and `import` does not read",
    instead: "import the config.json that the model was published with",
  },
} as const satisfies Readonly<Record<string, Lack>>;

export type LackName = keyof typeof LACKS;

/** A row of the table, with the optional fields that `as const` hides. */
export const lackNamed = (name: LackName): Lack => LACKS[name];
