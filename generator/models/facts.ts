/**
 * What a model's attention can do to q and k, in words that are flags too, and which of it the op cannot do.
 *
 * In: facts of a model, from `model_types` or from flags. Out: the reasons why the op cannot do it. Pure.
 */

/** Each fact is a flag of `import` of the same name, with these choices. */
export const FACTS = {
  "qk-norm": ["rms", "layernorm", "l2", "latent", "none"],
  "norm-axis": ["head_dim", "heads"],
  "weight-form": ["w", "w-per-head", "1+w", "none"],
  "norm-order": ["norm-rope", "rope-norm"],
  rope: ["neox", "interleaved"],
} as const;

export type FactName = keyof typeof FACTS;

export type Facts = { readonly [F in FactName]: (typeof FACTS)[F][number] };

export const FACT_NAMES = Object.keys(FACTS) as readonly FactName[];

/** Why the op cannot do what it reads behind `its attention`. */
interface Limit {
  readonly reason: string;
  /** What the user can do instead; default: nothing but the model's own code. */
  readonly instead?: string;
}

const LIMITS: { readonly [F in FactName]: { readonly [V in Facts[F]]?: Limit } } = {
  "qk-norm": {
    none: {
      reason: "has no norm of q and k: it is RoPE alone, and `import` writes kernels of a norm and RoPE",
      instead: "write an op of your own, `head: (x) => rotate(x)`: docs/stages.md",
    },
    layernorm: { reason: "has a LayerNorm, which subtracts the mean: the op's norm is RMSNorm" },
    l2: { reason: "divides by the L2 norm and a clamp: the op's norm is RMSNorm with eps under the root" },
    latent: { reason: "norms the low-rank latents of MLA, before there are heads: the op norms heads" },
  },
  "norm-axis": {
    heads: {
      reason: "norms across heads, with a weight of [num_heads * head_dim]: the op norms each head by itself",
    },
  },
  "weight-form": {
    "1+w": {
      reason: "multiplies by 1 + w in float32, and `import` writes kernels that multiply by w",
      instead: 'write the entry yourself, with `weight: ["one_plus"]`',
    },
    none: {
      reason: "norms without a weight, and `import` writes kernels that have one",
      instead: 'write the entry yourself, with `weight: ["none"]`',
    },
  },
  "norm-order": {
    "rope-norm": {
      reason: "norms after RoPE, and `import` writes kernels that norm before it",
      instead: "write an op of your own, `head: (x) => norm(rotate(x))`: docs/stages.md",
    },
  },
  rope: {},
};

/** What no flag says: it is known of a model, or seen in its config. */
const OTHER_LIMITS = {
  mrope: {
    reason: "has mRoPE, with positions of several rows [3, num_tokens]: the op takes one row",
    instead:
      "for text alone all rows are equal, and so is plain RoPE: `normrope add` adds that kernel by hand",
  },
  axial: {
    reason: "has axial RoPE, with a position for each axis of an image or video: the op takes one position",
  },
  trailing: { reason: "rotates the trailing elements of a head: the op rotates the leading ones" },
  backwards: { reason: "rotates by the negative angle: the op rotates by the positive one" },
  ropeless: { reason: "has no RoPE at all: the op is a norm and RoPE" },
  "heads-by-layer": {
    reason: "has other head counts in each layer, which `import` does not read",
    instead: "`normrope add` adds its kernels by hand: head counts are arguments of a call",
  },
} as const satisfies Readonly<Record<string, Limit>>;

export type OtherLimit = keyof typeof OTHER_LIMITS;

const OWN_CODE = "leave its norm and RoPE to the model's own code";

export interface Unsupported {
  readonly reason: string;
  readonly fix: string;
}

/** All reasons why the op cannot do it; none where it can. Facts that are not known give none. */
export function limitsOf(facts: Partial<Facts>, also: readonly OtherLimit[] = []): readonly Unsupported[] {
  // Without a norm of its own, nothing else of a norm means anything.
  const hasNorm = facts["qk-norm"] === undefined || facts["qk-norm"] === "rms";
  const stated = (hasNorm ? FACT_NAMES : (["qk-norm"] as const)).map((name) => limitOf(name, facts));
  const others = [...new Set(also)].map((name): Limit => OTHER_LIMITS[name]);
  const limits = [...stated, ...others].flatMap((limit) => limit ?? []);
  // What helps against one reason is of no use where there is another.
  const instead = limits.length === 1 ? limits[0]?.instead : undefined;
  return limits.map(({ reason }) => ({ reason, fix: instead ?? OWN_CODE }));
}

function limitOf<F extends FactName>(name: F, facts: Partial<Facts>): Limit | undefined {
  const value = facts[name];
  return value === undefined ? undefined : LIMITS[name][value as Facts[F]];
}

/** Where a model rounds to its own dtype between the norm's input and the rotation's output. */
export interface Rounding {
  /** Whether the norm rounds before it multiplies by the weight; it always rounds at its end. */
  readonly normBeforeWeight: boolean;
  /** Whether cosine, sine, products and sum of the rotation are in that dtype, or the result alone. */
  readonly rope: "model-dtype" | "float32";
}
