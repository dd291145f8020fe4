/**
 * What each `model_type` of a Hugging Face config does to q and k: one row each, with the source it was read in.
 *
 * In: nothing. Out: the rows, found by `model_type`, or by `_class_name` where diffusers wrote the config. Data only:
 * what a config says itself is read by `fields`, `rope` and `layers`.
 */
import type { Facts, Rounding } from "./facts.js";
import type { ModelType } from "./model_type.js";

const RMS = {
  "qk-norm": "rms",
  "norm-axis": "head_dim",
  "weight-form": "w",
  "norm-order": "norm-rope",
  rope: "neox",
} as const;
const NO_NORM = { "qk-norm": "none", rope: "neox" } as const;
const ONE_PLUS_W = { ...RMS, "weight-form": "1+w" } as const;
const ACROSS_HEADS = { ...RMS, "norm-axis": "heads" } as const;
const AFTER_ROPE = { ...RMS, "norm-order": "rope-norm" } as const;
const MLA = { "qk-norm": "latent" } as const;

const EARLY: Rounding = { normBeforeWeight: true, rope: "model-dtype" };
const LATE: Rounding = { normBeforeWeight: false, rope: "model-dtype" };

const V_NORM = "v is normed as well, without a weight: the kernel leaves v as it is";

const HF = "transformers 5.18.0, models";

/** A row of transformers: its folder is named like its first type, where `folder` does not say otherwise. */
function hf(types: string, row: Omit<ModelType, "types" | "source">, folder?: string): ModelType {
  const names = types.split(" ");
  const name = folder ?? names[0] ?? "";
  return { types: names, source: `${HF}/${name}/modeling_${name}.py`, ...row };
}

/** A row of a diffusers model, whose configs have `_class_name`. */
function diffusers(type: string, file: string, facts: Partial<Facts>): ModelType {
  return {
    types: [type],
    source: `diffusers 58eb52c, models/transformers/transformer_${file}.py`,
    facts,
    also: ["axial"],
  };
}

const GEMMA_3N_ROPE = {
  sliding_attention: { rope_type: "default", rope_theta: 10_000 },
  full_attention: { rope_type: "default", rope_theta: 1_000_000 },
};

/** Those that the op can do. */
export const IMPORTABLE: readonly ModelType[] = [
  hf("qwen3", {
    facts: RMS,
    rounding: EARLY,
    defaults: { num_key_value_heads: 32, head_dim: 128, rms_norm_eps: 1e-6, rope_theta: 10_000 },
  }),
  ...[["qwen3_moe", 4] as const, ["dots1", 32] as const].map(([type, num_key_value_heads]) =>
    hf(type, {
      facts: RMS,
      rounding: EARLY,
      defaults: { num_key_value_heads, rms_norm_eps: 1e-6, rope_theta: 10_000 },
    }),
  ),
  hf("hy_v3", {
    facts: RMS,
    rounding: EARLY,
    defaults: { num_key_value_heads: 8, head_dim: 128, rms_norm_eps: 1e-5, rope_theta: 11_158_840 },
  }),
  hf("glm4_moe", {
    facts: RMS,
    rounding: EARLY,
    normSwitch: "use_qk_norm",
    partial: true,
    defaults: {
      ...{ use_qk_norm: false, num_key_value_heads: 8, rms_norm_eps: 1e-5 },
      ...{ partial_rotary_factor: 0.5, rope_theta: 10_000 },
    },
  }),
  hf("apertus", {
    facts: RMS,
    rounding: EARLY,
    defaults: {
      ...{ num_key_value_heads: null, rms_norm_eps: 1e-5, rope_theta: 12_000_000 },
      rope_parameters: {
        ...{ rope_type: "llama3", rope_theta: 12_000_000, factor: 8 },
        ...{ original_max_position_embeddings: 8192, low_freq_factor: 1, high_freq_factor: 4 },
      },
    },
  }),
  ...["exaone4", "exaone_moe"].map((type) =>
    hf(type, {
      facts: RMS,
      rounding: EARLY,
      defaults: {
        ...{ num_key_value_heads: 32, rms_norm_eps: 1e-5, rope_theta: 10_000 },
        ...{ sliding_window: 4096, sliding_window_pattern: 4 },
      },
      layers: { fullEvery: "sliding_window_pattern", fullHasNoRope: { unlessNull: "sliding_window" } },
    }),
  ),
  hf("afmoe", {
    facts: RMS,
    rounding: LATE,
    defaults: {
      ...{ num_key_value_heads: null, head_dim: 128, rms_norm_eps: 1e-5, rope_theta: 10_000 },
      global_attn_every_n_layers: 4,
    },
    layers: { fullEvery: "global_attn_every_n_layers", fullHasNoRope: {} },
  }),
  ...["lfm2", "lfm2_moe"].map((type) =>
    hf(type, {
      facts: RMS,
      rounding: EARLY,
      names: { rms_norm_eps: "norm_eps" },
      defaults: { num_key_value_heads: 8, norm_eps: 1e-5, rope_theta: 1_000_000 },
      layers: { fullListed: "full_attn_idxs" },
    }),
  ),
  hf("mellum", {
    facts: RMS,
    rounding: EARLY,
    defaults: {
      ...{ num_key_value_heads: 4, head_dim: 128, rms_norm_eps: 1e-6 },
      rope_parameters: {
        full_attention: { rope_type: "default", rope_theta: 500_000 },
        sliding_attention: { rope_type: "default", rope_theta: 10_000 },
      },
    },
  }),
  hf("gemma3n gemma3n_text", {
    facts: RMS,
    rounding: LATE,
    defaults: {
      ...{ num_attention_heads: 8, num_key_value_heads: 2, head_dim: 256, num_hidden_layers: 35 },
      ...{ rms_norm_eps: 1e-6, max_position_embeddings: 32_768, num_kv_shared_layers: 15 },
      rope_parameters: GEMMA_3N_ROPE,
    },
    thetaOf: { full_attention: "rope_theta", sliding_attention: "rope_local_base_freq" },
    layers: { fullEvery: 5, sharedKv: "num_kv_shared_layers" },
    remarks: [V_NORM],
  }),
  hf("gemma4 gemma4_text", {
    facts: RMS,
    rounding: LATE,
    defaults: {
      ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, num_hidden_layers: 30 },
      ...{ rms_norm_eps: 1e-6, max_position_embeddings: 131_072, num_kv_shared_layers: 0 },
      ...{ global_head_dim: 512, attention_k_eq_v: false },
      rope_parameters: {
        sliding_attention: { rope_type: "default", rope_theta: 10_000 },
        full_attention: { rope_type: "proportional", partial_rotary_factor: 0.25, rope_theta: 1_000_000 },
      },
    },
    layers: {
      fullEvery: 6,
      lastIsFull: true,
      sharedKv: "num_kv_shared_layers",
      fullFields: {
        head_dim: { field: "global_head_dim" },
        num_key_value_heads: { field: "num_global_key_value_heads", gate: "attention_k_eq_v" },
      },
    },
    remarks: [
      V_NORM,
      {
        where: "attention_k_eq_v",
        text: "v of full_attention is k before its norm: give k an `out`, so that it stays for v",
      },
      "the vision tower is not imported: it has RoPE on two axes, and the op takes one position",
    ],
  }),
  {
    types: ["bailing_moe_v2", "bailing_moe/BailingMoeV2ForCausalLM"],
    source:
      "Megatron-Bridge 067f987, models/bailing/modeling_bailing_moe_v2.py; Automodel 36044ad, models/ling_v2",
    facts: RMS,
    rounding: EARLY,
    normSwitch: "use_qk_norm",
    partial: true,
    rotaryStatedBy: ["partial_rotary_factor", "rotary_dim"],
  },
  {
    types: ["plamo2"],
    source: "mlx-lm d78bf58, models/plamo2.py",
    facts: { ...RMS, "weight-form": "w-per-head" },
    names: { head_dim: "hidden_size_per_head" },
    layers: { someBy: "mamba_step" },
  },
];

/** Those that it cannot do, for one reason or more. */
export const OTHERS: readonly ModelType[] = [
  ...["llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "gemma", "gemma2", "gpt_oss", "phi3"].map((type) =>
    hf(type, { facts: NO_NORM }),
  ),
  ...["smollm3", "seed_oss", "arcee"].map((type) => hf(type, { facts: NO_NORM })),
  ...["glm4", "ernie4_5"].map((type) => hf(type, { facts: { ...NO_NORM, rope: "interleaved" } })),
  hf("qwen2_vl qwen2_vl_text", { facts: NO_NORM, also: ["mrope"] }),
  hf("qwen2_5_vl qwen2_5_vl_text", { facts: NO_NORM, also: ["mrope"] }),
  hf("glm4v_moe glm4v_moe_text", { facts: NO_NORM, also: ["mrope"] }),

  hf("qwen3_vl qwen3_vl_text", { facts: RMS, also: ["mrope"] }),
  hf("qwen3_vl_moe qwen3_vl_moe_text", { facts: RMS, also: ["mrope"] }),
  hf("qwen3_omni_moe qwen3_omni_moe_thinker qwen3_omni_moe_text", { facts: RMS, also: ["mrope"] }),

  hf("gemma3 gemma3_text", { facts: ONE_PLUS_W }),
  hf("qwen3_next", { facts: ONE_PLUS_W }),
  hf("qwen3_5 qwen3_5_text", { facts: ONE_PLUS_W, also: ["mrope"] }),
  hf("qwen3_5_moe qwen3_5_moe_text", { facts: ONE_PLUS_W, also: ["mrope"] }),
  hf("qwen4_exp qwen4_exp_text", { facts: ONE_PLUS_W, also: ["mrope"] }),
  hf("minimax_m3_vl minimax_m3_vl_text", { facts: ONE_PLUS_W }),

  ...["olmo2", "olmo3", "olmoe", "olmo_hybrid", "minimax_m2"].map((type) =>
    hf(type, { facts: ACROSS_HEADS }),
  ),
  hf("internvl_vision", { facts: ACROSS_HEADS, also: ["ropeless"] }, "internvl"),

  ...["hunyuan_v1_dense", "hunyuan_v1_moe"].map((type) => hf(type, { facts: AFTER_ROPE })),
  hf("llama4 llama4_text", {
    facts: { ...AFTER_ROPE, "weight-form": "none", rope: "interleaved" },
    normSwitch: "use_qk_norm",
    defaults: { use_qk_norm: true },
  }),
  hf("nanochat", { facts: { ...AFTER_ROPE, "weight-form": "none" }, also: ["backwards"] }),

  hf("cohere", {
    facts: { "qk-norm": "layernorm", rope: "interleaved" },
    normSwitch: "use_qk_norm",
    defaults: { use_qk_norm: false },
  }),
  hf("chameleon", { facts: { "qk-norm": "layernorm", rope: "neox" } }),
  hf("esmc", { facts: { "qk-norm": "layernorm", rope: "neox" } }),
  hf("zaya", { facts: { "qk-norm": "l2", rope: "neox" } }),

  hf("deepseek_v3", { facts: MLA, also: ["trailing"] }),
  hf("kimi_k2", { facts: MLA, also: ["trailing"] }, "deepseek_v3"),
  ...["deepseek_v32", "glm_moe_dsa", "glm4_moe_lite"].map((type) =>
    hf(type, { facts: MLA, also: ["trailing"] }),
  ),
  hf("kimi_linear", { facts: MLA, also: ["ropeless"] }),
  hf("deepseek_v4", {
    facts: { ...RMS, "weight-form": "none", rope: "interleaved" },
    also: ["trailing"],
  }),

  hf("sapiens2", { facts: RMS, also: ["axial"] }),
  hf("gemma4_vision", { facts: RMS, also: ["axial"] }, "gemma4"),
  {
    types: ["openelm"],
    source: "mlx-lm d78bf58, models/openelm.py",
    facts: RMS,
    also: ["heads-by-layer"],
  },
  diffusers("FluxTransformer2DModel", "flux", { ...RMS, rope: "interleaved" }),
  diffusers("Flux2Transformer2DModel", "flux2", { ...RMS, rope: "interleaved" }),
  diffusers("QwenImageTransformer2DModel", "qwenimage", { ...RMS, rope: "interleaved" }),
  diffusers("HunyuanVideoTransformer3DModel", "hunyuan_video", { ...RMS, rope: "interleaved" }),
  diffusers("CosmosTransformer3DModel", "cosmos", RMS),
  diffusers("WanTransformer3DModel", "wan", { ...ACROSS_HEADS, rope: "interleaved" }),
  diffusers("LTXVideoTransformer3DModel", "ltx", { ...ACROSS_HEADS, rope: "interleaved" }),
  diffusers("LTX2VideoTransformer3DModel", "ltx2", { ...ACROSS_HEADS, rope: "interleaved" }),
  diffusers("HiDreamImageTransformer2DModel", "hidream_image", { ...ACROSS_HEADS, rope: "interleaved" }),
];

const ROWS = new Map(
  [...IMPORTABLE, ...OTHERS].flatMap((row) => row.types.map((type) => [type, row] as const)),
);

/** @param classes the `architectures` of the config, for a model_type that several share */
export function modelType(name: string, classes: readonly string[] = []): ModelType | undefined {
  const names = [name, ...classes.map((of) => `${name}/${of}`)];
  return names.map((known) => ROWS.get(known)).find((row) => row !== undefined);
}
