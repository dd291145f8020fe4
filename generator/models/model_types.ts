/**
 * What each `model_type` of a Hugging Face config does to q and k: one row each, with the source it was read in.
 *
 * In: nothing. Out: the rows, found by `model_type`, or by the `_class_name` of a diffusers config. Data only: `fields`, `rope`
 * and `layers` read what a config says itself.
 */
import type { LackName } from "./lacks.js";
import type { ModelType } from "./model_type.js";

type Facts = Omit<ModelType, "types" | "source">;

/** How norms round: `w * x` in the model's dtype, or all of the norm in float32. */
const EARLY = "rounds to DTYPE before it multiplies by the weight, and again behind it";
const LATE = "rounds to DTYPE at the end of the norm";
/** How rotations round: all in the model's dtype, in float32 with tables of that dtype, or all in float32. */
const IN_DTYPE = "rotates with cosine, sine and products in DTYPE";
const ON_DTYPE_TABLES = "rotates in float32 with cosine and sine in DTYPE, and rounds behind it";
const IN_FLOAT32 = "rotates in float32, and rounds to DTYPE behind it";

const NORMED = { head: "rotate(norm(x))", axes: { rope: "neox" } } as const;
const NORM_ROPE: Facts = { ...NORMED, rounding: { norm: EARLY, rotate: IN_DTYPE } };
const LATE_NORM_ROPE: Facts = { ...NORMED, rounding: { norm: LATE, rotate: IN_DTYPE } };
const ONE_PLUS: Facts = { ...LATE_NORM_ROPE, axes: { rope: "neox", weight: "one_plus" } };
const ROPE: Facts = { head: "rotate(x)", axes: { rope: "neox" }, rounding: { rotate: IN_DTYPE } };
const INTERLEAVED: Facts = { ...ROPE, axes: { rope: "interleaved" } };
const MROPE: Facts = { lacks: ["mrope"] };
const MLA: Facts = { lacks: ["latent_norm", "trailing"] };

const V_NORM =
  "v is normed as well, without a weight: give the op a `v` for it, or leave v to the model's own code";

/** Rows of transformers with equal facts. `/` separates the types of one row. The folder is named like the first type. */
const hf = (names: string, facts: Facts, folder?: string): ModelType[] =>
  names.split(" ").map((name) => {
    const types = name.split("/");
    const file = folder ?? types[0];
    const source = `transformers 5.18.0, models/${file}/modeling_${file}.py`;
    return { types, source, ...facts, defaults: { rope_theta: 10_000, ...facts.defaults } };
  });

/** A row of a diffusers model. Its configs have `_class_name`. */
const diffusers = (type: string, file: string, ...lacks: LackName[]): ModelType => ({
  types: [type],
  source: `diffusers 58eb52c, models/transformers/transformer_${file}.py`,
  lacks: [...lacks, "axial"],
});

/** Defaults of the number of kv heads (null: as many as q heads) and of the width of a head. */
const heads = (num_key_value_heads: number | null, head_dim?: number) => ({ num_key_value_heads, head_dim });
const EPS_6 = { rms_norm_eps: 1e-6 };
const EPS_5 = { rms_norm_eps: 1e-5 };

/** RoPE parameters by layer type. */
const byLayer = (sliding: object, full: object) => ({
  rope_theta: undefined,
  rope_parameters: {
    sliding_attention: { rope_type: "default", rope_theta: 10_000, ...sliding },
    full_attention: { rope_type: "default", rope_theta: 1_000_000, ...full },
  },
});
/** The old fields of Gemma 3 and 3n. */
const GEMMA_THETA = { full_attention: "rope_theta", sliding_attention: "rope_local_base_freq" };

const TABLE: readonly (ModelType | readonly ModelType[])[] = [
  hf("qwen3", { ...NORM_ROPE, defaults: { ...heads(32, 128), ...EPS_6 } }),
  hf("qwen3_moe", { ...NORM_ROPE, defaults: { ...heads(4), ...EPS_6 } }),
  hf("dots1", { ...NORM_ROPE, defaults: { ...heads(32), ...EPS_6 } }),
  hf("hy_v3", { ...NORM_ROPE, defaults: { ...heads(8, 128), ...EPS_5, rope_theta: 11_158_840 } }),
  hf("glm4_moe", {
    ...{ ...NORM_ROPE, normSwitch: "use_qk_norm", partial: true },
    defaults: { ...heads(8), ...EPS_5, use_qk_norm: false, partial_rotary_factor: 0.5 },
  }),
  hf("apertus", {
    ...NORM_ROPE,
    defaults: {
      ...{ ...heads(null), ...EPS_5, rope_theta: 12_000_000 },
      rope_parameters: {
        ...{ rope_type: "llama3", factor: 8, original_max_position_embeddings: 8192 },
        ...{ low_freq_factor: 1, high_freq_factor: 4, rope_theta: 12_000_000 },
      },
    },
  }),
  hf("exaone4 exaone_moe", {
    ...NORM_ROPE,
    layers: { fullEvery: "sliding_window_pattern", fullHasNoRope: { unlessNull: "sliding_window" } },
    defaults: { ...heads(32), ...EPS_5, sliding_window: 4096, sliding_window_pattern: 4 },
  }),
  hf("afmoe", {
    ...LATE_NORM_ROPE,
    layers: { fullEvery: "global_attn_every_n_layers", fullHasNoRope: {} },
    defaults: { ...heads(null, 128), ...EPS_5, global_attn_every_n_layers: 4 },
  }),
  hf("lfm2 lfm2_moe", {
    ...{ ...NORM_ROPE, names: { rms_norm_eps: "norm_eps" } },
    layers: { fullListed: "full_attn_idxs", others: "conv" },
    defaults: { ...heads(8), norm_eps: 1e-5, rope_theta: 1_000_000 },
  }),
  hf("mellum", {
    ...NORM_ROPE,
    defaults: { ...heads(4, 128), ...EPS_6, ...byLayer({}, { rope_theta: 500_000 }) },
  }),
  hf("gemma3n/gemma3n_text", {
    ...{ ...LATE_NORM_ROPE, thetaOf: GEMMA_THETA },
    layers: { fullEvery: 5, sharedKv: "num_kv_shared_layers" },
    defaults: {
      ...{ ...heads(2, 256), ...EPS_6, num_attention_heads: 8, num_hidden_layers: 35 },
      ...{ num_kv_shared_layers: 15, ...byLayer({}, {}) },
    },
    remarks: [V_NORM],
  }),
  hf("gemma4/gemma4_text", {
    ...LATE_NORM_ROPE,
    layers: {
      ...{ fullEvery: 6, lastIsFull: true, sharedKv: "num_kv_shared_layers" },
      fullFields: {
        head_dim: { field: "global_head_dim" },
        num_key_value_heads: { field: "num_global_key_value_heads", gate: "attention_k_eq_v" },
      },
    },
    defaults: {
      ...{ ...heads(4, 256), ...EPS_6, num_attention_heads: 8, num_hidden_layers: 30 },
      ...{ num_kv_shared_layers: 0, global_head_dim: 512, attention_k_eq_v: false },
      ...byLayer({}, { rope_type: "proportional", partial_rotary_factor: 0.25 }),
    },
    remarks: [
      V_NORM,
      {
        where: "attention_k_eq_v",
        text: "v of full_attention is k before its norm: give k an `out`, so that it stays for v",
      },
    ],
  }),
  {
    types: ["bailing_moe_v2", "bailing_moe/BailingMoeV2ForCausalLM"],
    source:
      "Megatron-Bridge 067f987, models/bailing/modeling_bailing_moe_v2.py; Automodel 36044ad, models/ling_v2",
    ...{ ...NORM_ROPE, normSwitch: "use_qk_norm", partial: true },
    rotaryStatedBy: ["partial_rotary_factor", "rotary_dim"],
  },
  {
    ...{ types: ["plamo2"], source: "mlx-lm d78bf58, models/plamo2.py", ...NORMED },
    ...{ names: { head_dim: "hidden_size_per_head" }, layers: { uncounted: true } },
    remarks: [
      "which layers have attention follows from mamba_step, and is not counted here",
      "the weights are [num_heads, head_dim]: give those of q and k a headStride of head_dim",
    ],
  },

  hf("gemma3/gemma3_text", {
    ...{ ...ONE_PLUS, thetaOf: GEMMA_THETA, layers: { fullEvery: "sliding_window_pattern" } },
    defaults: {
      ...{ ...heads(4, 256), ...EPS_6, num_attention_heads: 8, num_hidden_layers: 26 },
      ...{ sliding_window_pattern: 6, ...byLayer({}, {}) },
    },
  }),
  hf("qwen3_next", {
    ...{ ...ONE_PLUS, partial: true },
    layers: { fullEvery: "full_attention_interval", others: "linear_attention" },
    defaults: { ...heads(2, 256), ...EPS_6, partial_rotary_factor: 0.25, full_attention_interval: 4 },
    remarks: ["each q head lies in front of its gate, [q | gate]: give q a headStride of 2 * head_dim"],
  }),
  hf("minimax_m3_vl/minimax_m3_vl_text", {
    ...{ ...ONE_PLUS, partial: true, rotaryStatedBy: ["partial_rotary_factor"] },
    defaults: { ...heads(4, 128), ...EPS_6, rope_theta: 5_000_000 },
    remarks: ["the q and k of the sparse layers' indexer have a norm and RoPE of their own, not imported"],
  }),
  hf("hunyuan_v1_dense hunyuan_v1_moe", {
    ...{ ...NORM_ROPE, head: "norm(rotate(x))", alpha: true },
    defaults: { ...heads(null), ...EPS_5 },
  }),
  hf("llama4/llama4_text", {
    ...{ head: "norm(rotate(x))", axes: { rope: "interleaved", weight: "none" } },
    rounding: { norm: LATE, rotate: IN_FLOAT32 },
    normSwitch: "use_qk_norm",
    layers: { noRopeEvery: "no_rope_layer_interval", noRopeNoNorm: true },
    defaults: {
      ...{ ...heads(8, 128), ...EPS_5, num_attention_heads: 40, num_hidden_layers: 48 },
      ...{ use_qk_norm: true, rope_theta: 500_000, no_rope_layer_interval: 4 },
    },
    remarks: ["layers without RoPE have no norm; the model's own code scales their q by its position"],
  }),

  hf("llama arcee", { ...ROPE, defaults: heads(null) }),
  hf("mistral", { ...ROPE, defaults: heads(8) }),
  hf("mixtral", { ...ROPE, defaults: { ...heads(8), rope_theta: 1_000_000 } }),
  hf("qwen2", { ...ROPE, defaults: heads(32) }),
  hf("qwen2_moe", { ...ROPE, defaults: heads(16) }),
  hf("gemma", { ...ROPE, defaults: heads(16, 256) }),
  hf("gemma2", { ...ROPE, layers: { fullEvery: 2 }, defaults: heads(4, 256) }),
  hf("gpt_oss", {
    ...{ ...ROPE, layers: { fullEvery: 2 } },
    defaults: {
      ...{ ...heads(8, 64), rope_theta: 150_000 },
      rope_parameters: {
        ...{ rope_type: "yarn", factor: 32, original_max_position_embeddings: 4096 },
        ...{ beta_fast: 32, beta_slow: 1, truncate: false },
      },
    },
  }),
  hf("phi3", {
    ...{ ...ROPE, partial: true, ropeTypes: ["default", "longrope"] },
    defaults: {
      ...{ ...heads(null), max_position_embeddings: 4096, original_max_position_embeddings: 4096 },
    },
  }),
  hf("smollm3", {
    ...{ ...ROPE, layers: { noRopeEvery: "no_rope_layer_interval" } },
    defaults: { ...heads(4), rope_theta: 2_000_000, no_rope_layer_interval: 4 },
  }),
  hf("seed_oss", { ...ROPE, defaults: heads(8, 128) }),
  hf("glm4", {
    ...{ ...INTERLEAVED, partial: true },
    defaults: { ...heads(2, 128), partial_rotary_factor: 0.5 },
  }),
  hf("ernie4_5", {
    ...{ ...INTERLEAVED, rounding: { rotate: IN_FLOAT32 } },
    defaults: { ...heads(2, 128), rope_theta: 500_000 },
  }),
  hf("cohere", {
    ...{ head: "rotate(norm(x))", axes: { rope: "interleaved" }, rounding: { rotate: ON_DTYPE_TABLES } },
    ...{ lacks: ["layer_norm"], normSwitch: "use_qk_norm" },
    defaults: { ...heads(null), use_qk_norm: false, rope_theta: 500_000 },
  }),

  hf("qwen2_vl/qwen2_vl_text qwen2_5_vl/qwen2_5_vl_text glm4v_moe/glm4v_moe_text", MROPE),
  hf("qwen3_vl/qwen3_vl_text qwen3_vl_moe/qwen3_vl_moe_text", MROPE),
  hf("qwen3_omni_moe/qwen3_omni_moe_thinker/qwen3_omni_moe_text", MROPE),
  hf("qwen3_5/qwen3_5_text qwen3_5_moe/qwen3_5_moe_text qwen4_exp/qwen4_exp_text", MROPE),
  hf("olmo2 olmo3 olmoe olmo_hybrid minimax_m2", { lacks: ["row_norm"] }),
  hf("internvl_vision", { lacks: ["row_norm", "ropeless"] }, "internvl"),
  hf("nanochat", { lacks: ["backwards"] }),
  hf("chameleon", { lacks: ["layer_norm"] }),
  hf("esmc", { lacks: ["layer_norm", "row_norm"] }),
  hf("zaya", { lacks: ["l2_norm"] }),
  hf("deepseek_v3/kimi_k2 deepseek_v32 glm_moe_dsa glm4_moe_lite", MLA),
  hf("kimi_linear", { lacks: ["latent_norm", "ropeless"] }),
  hf("deepseek_v4", { lacks: ["trailing"] }),
  hf("sapiens2", { lacks: ["axial"] }),
  hf("gemma4_vision", { lacks: ["axial"] }, "gemma4"),
  { types: ["openelm"], source: "mlx-lm d78bf58, models/openelm.py", lacks: ["heads_by_layer"] },
  diffusers("FluxTransformer2DModel", "flux"),
  diffusers("Flux2Transformer2DModel", "flux2"),
  diffusers("QwenImageTransformer2DModel", "qwenimage"),
  diffusers("HunyuanVideoTransformer3DModel", "hunyuan_video"),
  diffusers("CosmosTransformer3DModel", "cosmos"),
  diffusers("WanTransformer3DModel", "wan", "row_norm"),
  diffusers("LTXVideoTransformer3DModel", "ltx", "row_norm"),
  diffusers("LTX2VideoTransformer3DModel", "ltx2", "row_norm"),
  diffusers("HiDreamImageTransformer2DModel", "hidream_image", "row_norm"),
];

export const MODEL_TYPES: readonly ModelType[] = TABLE.flat();

const ROWS = new Map(MODEL_TYPES.flatMap((row) => row.types.map((type) => [type, row] as const)));

/** @param classes the `architectures` of the config, for a model_type that several share */
export function modelType(name: string, classes: readonly string[] = []): ModelType | undefined {
  const names = [name, ...classes.map((of) => `${name}/${of}`)];
  return names.map((known) => ROWS.get(known)).find((row) => row !== undefined);
}
