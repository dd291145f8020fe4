/**
 * Layers of real models, 102 of them, and what becomes of each: a config of test/hf_configs, or the fields that are known of
 * the model. The names are those of a survey of models, which the test compares with if it is there.
 */
import type { Fields } from "./model_project.js";

/** Why `import` refuses a layer. */
const ACROSS_HEADS = /norms across heads/;
const LATENTS = /norms the low-rank latents of MLA/;

export type ModelRow = readonly [name: string, config: string | Fields, refused?: RegExp];

/** A config with heads in short, `q/kv/head_dim`, of bf16. */
const of = (model_type: string, heads: string, more: Fields = {}): Fields => {
  const [num_attention_heads, num_key_value_heads, head_dim] = heads.split("/").map(Number);
  return {
    ...{ model_type, num_attention_heads, num_key_value_heads, head_dim },
    dtype: "bfloat16",
    ...more,
  };
};
const diffusion = (_class_name: string, num_attention_heads: number, attention_head_dim: number): Fields => ({
  ...{ _class_name, num_attention_heads, attention_head_dim, num_layers: 2, dtype: "bfloat16" },
});

const GEMMA_3_12B: Fields = {
  text_config: of("gemma3_text", "16/8/256", {
    ...{ num_hidden_layers: 48, rope_scaling: { factor: 8, rope_type: "linear" } },
  }),
};
const QWEN_3_5 = (type: string, heads: string, num_hidden_layers: number) =>
  of(type, heads, {
    num_hidden_layers,
    rope_parameters: { rope_theta: 1e7, partial_rotary_factor: 0.25, mrope_section: [11, 11, 10] },
  });
const QWEN_3_VL = (heads: string) =>
  of("qwen3_vl_text", heads, {
    rope_scaling: { mrope_interleaved: true, mrope_section: [24, 20, 20], rope_type: "default" },
    rope_theta: 5e6,
  });
const OLMO_2 = (heads: string) => of("olmo2", heads);
const DEEPSEEK_V4 = of("deepseek_v4", "64/1/512", {
  ...{ num_hidden_layers: 4, compress_ratios: [0, 128, 4, 128, 4], qk_rope_head_dim: 64, rope_theta: 1e4 },
  ...{ compress_rope_theta: 160_000, max_position_embeddings: 1_048_576 },
  rope_scaling: { type: "yarn", factor: 16, original_max_position_embeddings: 65_536, beta_fast: 32 },
});

export const MODEL_ROWS: readonly ModelRow[] = [
  ["Qwen3-0.6B", "qwen3-0.6b"],
  ["Qwen3-1.7B", "qwen3-1.7b"],
  ["Qwen3-4B", "qwen3-4b"],
  ["Qwen3-8B", "qwen3-8b-yarn"],
  ["Qwen3-32B", "qwen3-32b"],
  ["Qwen3-4B-2507 (Instruct/Thinking)", "qwen3-4b-thinking-2507"],
  ["Qwen3-30B-A3B", "qwen3-30b-a3b"],
  ["Qwen3-30B-A3B-Thinking-2507", "qwen3-30b-a3b-thinking-2507"],
  ["Qwen3-235B-A22B", "qwen3-235b-a22b"],
  ["Qwen3-235B-A22B-Thinking-2507", "qwen3-235b-a22b-thinking-2507"],
  ["Qwen3-Next-80B-A3B", "qwen3-next-80b-a3b"],
  ["Qwen3.5-4B", QWEN_3_5("qwen3_5_text", "16/4/256", 32)],
  ["Qwen3.5-9B", QWEN_3_5("qwen3_5_text", "16/4/256", 32)],
  ["Qwen3.5-35B-A3B", "qwen3.5-35b-a3b"],
  ["Qwen3.5-397B-A17B", QWEN_3_5("qwen3_5_moe_text", "32/2/256", 60)],
  ["Qwen4-Exp", QWEN_3_5("qwen4_exp_text", "16/2/256", 40)],
  ["Qwen3-VL-2B", QWEN_3_VL("16/8/128")],
  ["Qwen3-VL-4B", QWEN_3_VL("32/8/128")],
  ["Qwen3-VL-30B-A3B", "qwen3-vl-30b-a3b"],
  ["Qwen3-Omni-30B-A3B thinker (text)", "qwen3-omni-30b-a3b"],
  ["Gemma-3-1b sliding", of("gemma3_text", "4/1/256", { num_hidden_layers: 26 })],
  ["Gemma-3-1b global", of("gemma3_text", "4/1/256", { num_hidden_layers: 26 })],
  ["Gemma-3-4b sliding", "gemma-3-4b"],
  ["Gemma-3-4b global", "gemma-3-4b"],
  ["Gemma-3-12b sliding", GEMMA_3_12B],
  ["Gemma-3-12b global", GEMMA_3_12B],
  ["Gemma-3n-E4B sliding", "gemma-3n-e4b"],
  ["Gemma-3n-E4B global", "gemma-3n-e4b"],
  ["Gemma-4-26B-A4B sliding", "gemma-4-26b-a4b"],
  ["Gemma-4-26B-A4B global", "gemma-4-26b-a4b"],
  ["Gemma-4-31B sliding", "gemma-4-31b"],
  ["Gemma-4-31B global", "gemma-4-31b"],
  ["Gemma-4-E2B sliding", "gemma-4-e2b"],
  ["Gemma-4-E2B global", "gemma-4-e2b"],
  ["Gemma-4-E4B sliding", "gemma-4-e4b"],
  ["Gemma-4-E4B global", "gemma-4-e4b"],
  ["Gemma-4-E2B vision tower", of("gemma4_vision", "12/12/64"), /rotates each half of a head by itself/],
  ["GLM-4.5 (355B-A32B)", "glm-4.5"],
  ["GLM-4.6 / GLM-4.7 (355B)", "glm-4.6"],
  ["GLM-4.5-Air (106B-A12B)", "glm-4.5-air"],
  [
    "GLM-4.5V / 4.6V (106B)",
    of("glm4v_moe_text", "96/8/128", { rope_parameters: { mrope_section: [8, 12, 12] } }),
  ],
  ["GLM-4-9B-0414", of("glm4", "32/2/128", { partial_rotary_factor: 0.5, rope_theta: 1e4 })],
  ["OLMo-2-1124-7B", "olmo-2-1124-7b", ACROSS_HEADS],
  ["OLMo-2-1124-13B", OLMO_2("40/40/128"), ACROSS_HEADS],
  ["OLMo-2-0325-32B", OLMO_2("40/8/128"), ACROSS_HEADS],
  ["OLMo-3-7B full", "olmo-3-7b", ACROSS_HEADS],
  ["OLMo-3-7B sliding", "olmo-3-7b", ACROSS_HEADS],
  ["OLMoE-1B-7B", of("olmoe", "16/16/128"), ACROSS_HEADS],
  ["OLMo-Hybrid-7B", of("olmo_hybrid", "30/30/128"), ACROSS_HEADS],
  ["MiniMax-M2 / M2.1 / M2.5", "minimax-m2", ACROSS_HEADS],
  ["MiniMax-M3", of("minimax_m3", "64/4/128", { partial_rotary_factor: 0.5, rope_theta: 5e6 })],
  ["Llama-4-Scout-17B-16E", "llama-4-scout"],
  ["Llama-4-Maverick-17B-128E", "llama-4-maverick"],
  ["Ling-mini-2.0", "ling-mini-2.0"],
  [
    "Ling-flash-2.0 / Ling-1T",
    of("bailing_moe_v2", "64/8/128", { rotary_dim: 64, rope_theta: 6e5, use_qk_norm: true }),
  ],
  ["Hunyuan-A13B-Instruct", "hunyuan-a13b"],
  ["Hy3-preview (295B)", "hy3-preview"],
  ["EXAONE-4.0-32B", "exaone-4.0-32b"],
  ["K-EXAONE-236B-A23B", "k-exaone-236b-a23b"],
  ["Command R+ (104B)", "command-r-plus"],
  ["Command R (35B) / Aya-23-8B", "aya-23-8b"],
  ["Chameleon-7B", "chameleon-7b"],
  ["LFM2-8B-A1B", "lfm2-8b-a1b"],
  ["LFM2-1.2B", "lfm2-1.2b"],
  ["dots.llm1", "dots.llm1"],
  ["Trinity-Mini", "trinity-mini"],
  ["Mellum2-12B-A2.5B", "mellum2-12b-a2.5b"],
  ["ZAYA1-8B", "zaya1-8b", /divides by the L2 norm/],
  ["nanochat (default d20-style shape)", of("nanochat", "10/10/128", { rope_theta: 1e5 })],
  ["PLaMo-2", "plamo-2-8b"],
  ["OpenELM", "openelm-270m"],
  ["ESMC-6B", of("esmc", "40/40/64"), ACROSS_HEADS],
  [
    "Sapiens2-0.4B (ViT)",
    { ...of("sapiens2", "16//64"), num_key_value_heads: undefined, num_key_value_heads_per_layer: [16, 8] },
  ],
  ["InternViT (InternVL vision, use_qk_norm)", of("internvl_vision", "16/16/64"), ACROSS_HEADS],
  ["FLUX.1-dev/schnell", "flux.1-dev"],
  ["FLUX.2", diffusion("Flux2Transformer2DModel", 48, 128)],
  ["Qwen-Image (20B)", diffusion("QwenImageTransformer2DModel", 24, 128)],
  ["Wan2.1-T2V-14B", "wan2.1-t2v-14b", ACROSS_HEADS],
  ["Wan2.1-T2V-1.3B", diffusion("WanTransformer3DModel", 12, 128), ACROSS_HEADS],
  ["LTX-Video (0.9)", diffusion("LTXVideoTransformer3DModel", 32, 64), /other angles in each head/],
  ["LTX-2 (video stream)", diffusion("LTX2VideoTransformer3DModel", 32, 128), /other angles in each head/],
  ["HunyuanVideo", diffusion("HunyuanVideoTransformer3DModel", 24, 128)],
  ["HiDream-I1", diffusion("HiDreamImageTransformer2DModel", 20, 128), ACROSS_HEADS],
  ["Cosmos-Predict DiT", diffusion("CosmosTransformer3DModel", 32, 128)],
  ["DeepSeek-V3 / R1 / V3.1", "deepseek-v3", LATENTS],
  ["DeepSeek-V3.2", of("deepseek_v32", "128/128/192"), LATENTS],
  ["DeepSeek-V4-Flash sliding layers", DEEPSEEK_V4],
  ["DeepSeek-V4-Flash compressed layers", DEEPSEEK_V4],
  ["Kimi-K2", of("kimi_k2", "64/64/192"), LATENTS],
  ["Kimi-Linear-48B-A3B / Kimi-K3 (NoPE MLA)", of("kimi_linear", "32/32/192"), LATENTS],
  ["GLM-5 (744B-A40B)", of("glm_moe_dsa", "64/64/256"), LATENTS],
  ["GLM-4.7-Flash (30B-A3B)", of("glm4_moe_lite", "20/20/256"), LATENTS],
  ["gpt-oss-20b", "gpt-oss-20b"],
  ["gpt-oss-120b", of("gpt_oss", "64/8/64", { num_hidden_layers: 36, max_position_embeddings: 131_072 })],
  ["Llama-3.1-8B", "llama-3.1-8b"],
  ["Llama-3.1-70B", of("llama", "64/8/128", { rope_theta: 5e5 })],
  [
    "Phi-3.5-mini",
    of("phi3", "32/32/96", {
      ...{ max_position_embeddings: 131_072, original_max_position_embeddings: 4096, rope_theta: 1e4 },
      rope_scaling: { type: "longrope", short_factor: Array(48).fill(1), long_factor: Array(48).fill(2) },
    }),
  ],
  ["SmolLM3-3B", of("smollm3", "16/4/128", { num_hidden_layers: 36 })],
  ["Seed-OSS-36B", of("seed_oss", "80/8/128", { rope_theta: 1e7 })],
  ["AFM-4.5B (Arcee)", of("arcee", "20/4/128", { rope_theta: 1e4 })],
  ["ERNIE-4.5-0.3B", of("ernie4_5", "16/2/128", { rope_theta: 5e5 })],
  [
    "Qwen2-VL / Qwen2.5-VL",
    of("qwen2_vl", "28/4/128", {
      rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] },
      rope_theta: 1e6,
    }),
  ],
];
