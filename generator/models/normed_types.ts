/**
 * Model types that norm each head of q and k: one row each.
 *
 * In: nothing. Out: the rows. Data only.
 */
import type { ModelType } from "./model_type.js";
import {
  byLayer,
  EARLY,
  EPS_5,
  EPS_6,
  type Facts,
  GATED,
  GEMMA_THETA,
  HEAD_WEIGHTS,
  heads,
  hf,
  IN_DTYPE,
  IN_FLOAT32,
  LATE,
  LATE_NORM_ROPE,
  mrope,
  NORM_ROPE,
  ON_DTYPE_TABLES,
  ONE_PLUS,
} from "./rows.js";

const V_NORM: Facts = { ...LATE_NORM_ROPE, axes: { rope: "neox", value: "norm" } };
const K_IS_V = "v of full_attention is k before its norm: give k an `out`, so that it stays for v";

const GEMMA_4: Facts = {
  ...{ ...V_NORM, byTypeAlone: true },
  defaults: {
    ...{ ...heads(4, 256), ...EPS_6, num_attention_heads: 8, num_hidden_layers: 30, global_head_dim: 512 },
    ...byLayer({}, { rope_type: "proportional", partial_rotary_factor: 0.25 }),
  },
};

/** LayerNorm of each head, of models whose switch is `qk_layernorm`. */
const layerNorm = (names: string, isOn: boolean, partial_rotary_factor: number, more: Facts): ModelType[] =>
  hf(names, {
    ...{ rounding: { ...LATE, ...IN_DTYPE }, normSwitch: "qk_layernorm", partial: true, oneTable: true },
    ...{ names: { rms_norm_eps: "layer_norm_eps" }, ...more },
    defaults: { layer_norm_eps: 1e-5, qk_layernorm: isOn, partial_rotary_factor, ...more.defaults },
  });

const QWEN_3_5: Facts = {
  ...{ ...ONE_PLUS, partial: true, pairAxes: mrope("interleaved", 11, 11, 10) },
  axes: { ...ONE_PLUS.axes, positionAxes: 3 },
  layers: { fullEvery: "full_attention_interval", others: "linear_attention" },
  remarks: [GATED],
};

const QWEN_3_VL: Facts = {
  ...{ ...NORM_ROPE, oneTable: true, pairAxes: mrope("interleaved", 24, 20, 20) },
  axes: { ...NORM_ROPE.axes, positionAxes: 3 },
};

export const NORMED_TYPES: readonly (ModelType | readonly ModelType[])[] = [
  hf("qwen3", { ...NORM_ROPE, defaults: { ...heads(32, 128), ...EPS_6 } }),
  hf("qwen3_moe", { ...NORM_ROPE, oneTable: true, defaults: { ...heads(4), ...EPS_6 } }),
  hf("dots1", { ...NORM_ROPE, defaults: { ...heads(32), ...EPS_6 } }),
  hf("doge", { ...NORM_ROPE, oneTable: true, defaults: { ...heads(null), ...EPS_6 } }),
  hf("hy_v3", {
    ...{ ...NORM_ROPE, oneTable: true },
    defaults: { ...heads(8, 128), ...EPS_5, rope_theta: 11_158_840 },
  }),
  hf("glm4_moe", {
    ...{ ...NORM_ROPE, normSwitch: "use_qk_norm", partial: true, oneTable: true },
    defaults: { ...heads(8), ...EPS_5, use_qk_norm: false, partial_rotary_factor: 0.5 },
  }),
  hf("apertus", {
    ...{ ...NORM_ROPE, oneTable: true },
    defaults: {
      ...{ ...heads(null), ...EPS_5, rope_theta: 12_000_000 },
      rope_parameters: {
        ...{ rope_type: "llama3", factor: 8, original_max_position_embeddings: 8192 },
        ...{ low_freq_factor: 1, high_freq_factor: 4, rope_theta: 12_000_000 },
      },
    },
  }),
  hf("exaone4 exaone_moe exaone4_5", {
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
    // The model's own code makes a convolution of every layer that is not full_attention.
    layers: { fullListed: "full_attn_idxs", others: "conv", readAs: { sliding_attention: "conv" } },
    defaults: { ...heads(8), norm_eps: 1e-5, rope_theta: 1_000_000 },
  }),
  hf("mellum", {
    ...{ ...NORM_ROPE, partial: true, byTypeAlone: true },
    defaults: { ...heads(4, 128), ...EPS_6, ...byLayer({}, { rope_theta: 500_000 }) },
  }),
  hf("laguna", {
    ...{ ...NORM_ROPE, partial: true, byTypeAlone: true },
    layers: { perLayer: { num_attention_heads: "num_attention_heads_per_layer" } },
    defaults: {
      ...{ ...heads(8, 128), ...EPS_6, num_attention_heads: 48 },
      ...byLayer({}, { rope_theta: 500_000, partial_rotary_factor: 0.5 }),
    },
  }),
  hf("muse_glimmer_assistant", {
    ...NORM_ROPE,
    layers: { allAre: "sliding_attention" },
    defaults: {
      ...{ ...heads(8, 128), ...EPS_5, rope_theta: 500_000, num_attention_heads: 32, num_hidden_layers: 5 },
    },
    remarks: ["k and v have the tokens of the main model too, so q and k take launches of their own"],
  }),
  hf("gemma3n/gemma3n_text", {
    ...{ ...V_NORM, thetaOf: GEMMA_THETA },
    layers: { fullEvery: 5, sharedKv: "num_kv_shared_layers" },
    defaults: {
      ...{ ...heads(2, 256), ...EPS_6, num_attention_heads: 8, num_hidden_layers: 35 },
      ...{ num_kv_shared_layers: 15, ...byLayer({}, {}) },
    },
  }),
  hf("gemma4/gemma4_text gemma4_unified/gemma4_unified_text", {
    ...GEMMA_4,
    layers: {
      ...{ fullEvery: 6, lastIsFull: true, sharedKv: "num_kv_shared_layers" },
      fullFields: {
        head_dim: { field: "global_head_dim" },
        num_key_value_heads: { field: "num_global_key_value_heads", gate: "attention_k_eq_v" },
      },
    },
    defaults: { ...GEMMA_4.defaults, num_kv_shared_layers: 0, attention_k_eq_v: false },
    remarks: [{ where: "attention_k_eq_v", text: K_IS_V }],
  }),
  hf("diffusion_gemma/diffusion_gemma_text", {
    ...GEMMA_4,
    layers: {
      ...{ fullEvery: 6, lastIsFull: true },
      fullFields: {
        head_dim: { field: "global_head_dim" },
        num_key_value_heads: { field: "num_global_key_value_heads" },
      },
    },
    remarks: [K_IS_V],
  }),
  {
    types: ["bailing_moe_v2", "bailing_moe/BailingMoeV2ForCausalLM"],
    source:
      "Megatron-Bridge 067f987, models/bailing/modeling_bailing_moe_v2.py; Automodel 36044ad, models/ling_v2",
    ...{ ...NORM_ROPE, normSwitch: "use_qk_norm", partial: true },
    rotaryStatedBy: ["partial_rotary_factor", "rotary_dim"],
  },
  {
    ...{ types: ["plamo2"], source: "mlx-lm 1245c2e, models/plamo2.py", axes: { rope: "neox" } },
    ...{ names: { head_dim: "hidden_size_per_head" }, layers: { uncounted: true } },
    // The source fixes eps and the base.
    ...{ eps: 1e-6, defaults: { rope_theta: 10_000 } },
    remarks: [
      "which layers have attention follows from mamba_step, and is not counted here",
      HEAD_WEIGHTS,
      "eps 0.000001 and the base 10000 are fixed in the source: its attention reads neither from the config",
    ],
  },
  {
    ...{ types: ["openelm"], source: "mlx-lm 269906b, models/openelm.py", axes: { rope: "neox" } },
    names: { rope_theta: "rope_freq_constant", num_hidden_layers: "num_transformer_layers" },
    normSwitch: "normalize_qk_projections",
    layers: { perLayer: { num_attention_heads: "num_query_heads", num_key_value_heads: "num_kv_heads" } },
    defaults: { ...EPS_6, rope_freq_constant: 10_000, normalize_qk_projections: true },
  },

  hf("gemma3/gemma3_text", {
    ...{ ...ONE_PLUS, thetaOf: GEMMA_THETA, layers: { fullEvery: "sliding_window_pattern" } },
    defaults: {
      ...{ ...heads(4, 256), ...EPS_6, num_attention_heads: 8, num_hidden_layers: 26 },
      ...{ sliding_window_pattern: 6, ...byLayer({}, {}) },
    },
  }),
  hf("qwen3_next", {
    ...{ ...ONE_PLUS, partial: true, layers: QWEN_3_5.layers ?? {}, remarks: [GATED] },
    defaults: { ...heads(2, 256), ...EPS_6, partial_rotary_factor: 0.25, full_attention_interval: 4 },
  }),
  hf("qwen3_5/qwen3_5_text", {
    ...QWEN_3_5,
    defaults: { ...heads(4, 256), ...EPS_6, partial_rotary_factor: 0.25, full_attention_interval: 4 },
  }),
  hf("qwen3_5_moe/qwen3_5_moe_text", {
    ...QWEN_3_5,
    defaults: { ...heads(2, 256), ...EPS_6, partial_rotary_factor: 0.25, full_attention_interval: 4 },
  }),
  // Its code rotates whole heads without a factor, which no sections fit.
  hf("qwen4_exp/qwen4_exp_text", {
    ...{ ...QWEN_3_5, rotaryStatedBy: ["partial_rotary_factor"] },
    defaults: { ...heads(2, 256), ...EPS_6, full_attention_interval: 4 },
    remarks: [GATED, "the indexer has a q and a k of its own, not imported"],
  }),
  hf("qwen3_vl/qwen3_vl_text", {
    ...QWEN_3_VL,
    defaults: { ...heads(32, 128), ...EPS_6, rope_theta: 500_000 },
  }),
  hf("qwen3_vl_moe/qwen3_vl_moe_text", {
    ...QWEN_3_VL,
    defaults: { ...heads(16), ...EPS_6, rope_theta: 500_000 },
  }),
  hf("qwen3_omni_moe/qwen3_omni_moe_thinker/qwen3_omni_moe_text", {
    ...QWEN_3_VL,
    defaults: { ...heads(4), ...EPS_6, rope_theta: 1_000_000 },
    remarks: ["the talker and its code predictor have attention of their own, not imported"],
  }),
  hf("minimax_m3_vl/minimax_m3_vl_text/minimax_m3", {
    ...{ ...ONE_PLUS, partial: true, rotaryStatedBy: ["partial_rotary_factor"], oneTable: true },
    defaults: { ...heads(4, 128), ...EPS_6, rope_theta: 5_000_000 },
    remarks: ["the q and k of the sparse layers' indexer have a norm and RoPE of their own, not imported"],
  }),

  hf("cohere", {
    ...{ axes: { rope: "interleaved", norm: "layer" }, rounding: { ...LATE, ...ON_DTYPE_TABLES } },
    ...{ normSwitch: "use_qk_norm", names: { rms_norm_eps: "layer_norm_eps" }, oneTable: true },
    defaults: { ...heads(null), layer_norm_eps: 1e-5, use_qk_norm: false, rope_theta: 500_000 },
    remarks: [{ where: "use_qk_norm", text: HEAD_WEIGHTS }],
  }),
  hf("chameleon", {
    ...{ axes: { rope: "neox", norm: "layer", bias: "add" }, rounding: { ...EARLY, ...IN_DTYPE } },
    ...{ eps: 1e-5, defaults: heads(32), oneTable: true },
    remarks: [HEAD_WEIGHTS, "eps 0.00001 is fixed in the model's own code: rms_norm_eps is of other norms"],
  }),
  layerNorm("stablelm", false, 0.25, {
    axes: { rope: "neox", norm: "layer" },
    defaults: heads(32),
    remarks: [{ where: "qk_layernorm", text: `each head has a weight of its own. Stacked, ${HEAD_WEIGHTS}` }],
  }),
  layerNorm("persimmon", true, 0.5, {
    axes: { rope: "neox", norm: "layer", bias: "add" },
    defaults: heads(null),
  }),
  layerNorm("phi", false, 0.5, { axes: { rope: "neox", norm: "layer", bias: "add" }, defaults: heads(null) }),

  hf("hunyuan_v1_dense hunyuan_v1_moe", {
    ...{ ...NORM_ROPE, op: "qk_rope_norm", alpha: true, oneTable: true },
    defaults: { ...heads(null), ...EPS_5 },
  }),
  hf("llama4/llama4_text", {
    ...{ op: "qk_rope_norm", axes: { rope: "interleaved", weight: "none" } },
    ...{ rounding: { ...LATE, ...IN_FLOAT32 }, normSwitch: "use_qk_norm" },
    layers: { noRopeEvery: "no_rope_layer_interval", noRopeNoNorm: true },
    defaults: {
      ...{ ...heads(8, 128), ...EPS_5, num_attention_heads: 40, num_hidden_layers: 48 },
      ...{ use_qk_norm: true, rope_theta: 500_000, no_rope_layer_interval: 4 },
    },
    remarks: ["layers without RoPE have no norm; the model's own code scales their q by its position"],
  }),
  hf("nanochat", {
    ...{ op: "qk_rope_norm", axes: { rope: "neox", weight: "none" }, backwards: true, oneTable: true },
    ...{ rounding: { ...LATE, ...IN_DTYPE }, defaults: { ...heads(null), ...EPS_6 } },
  }),
  hf("deepseek_v4", {
    ...{ op: "q_norm_kv_norm_rope", axes: { rope: "interleaved", rotaryAt: "trailing" }, partial: true },
    rounding: "q and k round at different places, and one value of normRounding is for both",
    names: { rotary_dim: "qk_rope_head_dim", "rope_theta of compress": "compress_rope_theta" },
    tableOf: { scaled: "compress", types: { sliding_attention: "main" } },
    layers: {
      coded: {
        field: "compress_ratios",
        types: {
          ...{ 0: "sliding_attention", 4: "compressed_sparse_attention" },
          128: "heavily_compressed_attention",
        },
      },
    },
    defaults: {
      ...{ ...heads(1, 512), ...EPS_6, num_attention_heads: 64, num_hidden_layers: 43 },
      ...{ compress_rope_theta: 160_000, partial_rotary_factor: 0.125 },
    },
    remarks: [
      "k is v as well: one kv head",
      "the model's own code rotates the attention's output back by the negative angle, which no kernel here does",
      "the compressor and the indexer have norms and RoPE of their own, not imported",
    ],
  }),
];
