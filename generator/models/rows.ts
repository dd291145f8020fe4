/**
 * What rows of `model_types` have in common: sources, roundings, and defaults that recur.
 *
 * In: names and facts. Out: rows. Pure.
 */
import type { ModelType, Rounding } from "./model_type.js";

export type Facts = Omit<ModelType, "types" | "source">;

/** How rotations round: all in the model's dtype, in float32 with tables of that dtype, or all in float32. */
export const IN_DTYPE = { angles: "cos_sin", ropeRounding: "products" } as const satisfies Rounding;
export const ON_DTYPE_TABLES = { angles: "cos_sin", ropeRounding: "sum" } as const satisfies Rounding;
export const IN_FLOAT32 = { angles: "cos_sin_f32", ropeRounding: "sum" } as const satisfies Rounding;
/** How norms round: before `w * x` in the model's dtype and behind it, or all of the norm in float32. */
export const EARLY = { normRounding: "before_weight" } as const satisfies Rounding;
export const LATE = { normRounding: "after_weight" } as const satisfies Rounding;

const NEOX = { rope: "neox" } as const;

export const NORM_ROPE: Facts = { axes: NEOX, rounding: { ...EARLY, ...IN_DTYPE } };
export const LATE_NORM_ROPE: Facts = { axes: NEOX, rounding: { ...LATE, ...IN_DTYPE } };
export const ONE_PLUS: Facts = { ...LATE_NORM_ROPE, axes: { ...NEOX, weight: "one_plus" } };
export const ROPE: Facts = { axes: { ...NEOX, norm: "none" }, rounding: IN_DTYPE };
export const INTERLEAVED: Facts = { ...ROPE, axes: { norm: "none", rope: "interleaved" } };

/** Rows of transformers with equal facts. `/` separates the types of one row. The folder is named like the first type. */
export const hf = (names: string, facts: Facts, folder?: string): ModelType[] =>
  names.split(" ").map((name) => {
    const types = name.split("/");
    const file = folder ?? types[0];
    const source = `transformers 5.18.0, models/${file}/modeling_${file}.py`;
    return { types, source, ...facts, defaults: { rope_theta: 10_000, ...facts.defaults } };
  });

/** A row of a diffusers model. Its configs have `_class_name`. */
export const diffusers = (type: string, file: string, facts: Facts): ModelType => ({
  types: [type],
  source: `diffusers 58eb52c, models/transformers/transformer_${file}.py`,
  names: { head_dim: "attention_head_dim", num_hidden_layers: "num_layers" },
  ...facts,
  defaults: { ...heads(null), ...EPS_6, ...facts.defaults },
});

/** Defaults of the number of kv heads (null: as many as q heads) and of the width of a head. */
export const heads = (num_key_value_heads: number | null, head_dim?: number) => ({
  num_key_value_heads,
  head_dim,
});
export const EPS_6 = { rms_norm_eps: 1e-6 };
export const EPS_5 = { rms_norm_eps: 1e-5 };

/** RoPE parameters by layer type. */
export const byLayer = (sliding: object, full: object) => ({
  rope_theta: undefined,
  rope_parameters: {
    sliding_attention: { rope_type: "default", rope_theta: 10_000, ...sliding },
    full_attention: { rope_type: "default", rope_theta: 1_000_000, ...full },
  },
});
/** The old fields of Gemma 3 and 3n. */
export const GEMMA_THETA = { full_attention: "rope_theta", sliding_attention: "rope_local_base_freq" };

/** Three rows of positions, and how they turn pairs unless a config says so. */
export const mrope = (layout: "sectioned" | "interleaved", ...sections: readonly number[]) =>
  ({ sections, layout }) as const;

export const HEAD_WEIGHTS =
  "the weights are [num_heads, head_dim]: give those of q and k a headStride of head_dim";
export const GATED = "each q head lies in front of its gate, [q | gate]: give q a headStride of 2 * head_dim";
