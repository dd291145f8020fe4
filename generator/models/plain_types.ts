/**
 * Model types that rotate q and k and norm neither; and those whose calls give cosine and sine themselves.
 *
 * In: nothing. Out: the rows. Data only.
 */
import type { ModelType } from "./model_type.js";
import {
  byLayer,
  diffusers,
  EARLY,
  EPS_6,
  type Facts,
  heads,
  hf,
  IN_DTYPE,
  IN_FLOAT32,
  INTERLEAVED,
  LATE,
  mrope,
  ROPE,
} from "./rows.js";

const ONE_TABLE: Facts = { ...ROPE, oneTable: true };
const SECTIONED: Facts = { ...ROPE, axes: { ...ROPE.axes, positionAxes: 3 } };
const SECTIONED_INTERLEAVED: Facts = { ...SECTIONED, axes: { ...INTERLEAVED.axes, positionAxes: 3 } };

/** Angles by token, of images and videos. */
const GIVEN = { rope: "interleaved", angles: "cos_sin_f32" } as const;
const ROWS =
  "the model's own code makes them of a token's place in the image or video, each pair once: [cos | sin]";
const STREAMS = "text and image tokens have weights of their own: make a call for each";

export const PLAIN_TYPES: readonly (ModelType | readonly ModelType[])[] = [
  hf("llama arcee granite", { ...ONE_TABLE, defaults: heads(null) }),
  hf("mistral", { ...ONE_TABLE, defaults: heads(8) }),
  hf("mixtral", { ...ONE_TABLE, defaults: { ...heads(8), rope_theta: 1_000_000 } }),
  hf("qwen2", { ...ROPE, defaults: heads(32) }),
  hf("qwen2_moe", { ...ROPE, defaults: heads(16) }),
  hf("starcoder2", { ...ONE_TABLE, defaults: heads(2) }),
  hf("gemma", { ...ONE_TABLE, defaults: heads(16, 256) }),
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
    ...{ ...ONE_TABLE, partial: true, ropeTypes: ["default", "longrope"] },
    defaults: {
      ...{ ...heads(null), max_position_embeddings: 4096, original_max_position_embeddings: 4096 },
    },
  }),
  hf("smollm3", {
    ...{ ...ROPE, layers: { noRopeEvery: "no_rope_layer_interval" } },
    defaults: { ...heads(4), rope_theta: 2_000_000, no_rope_layer_interval: 4 },
  }),
  hf("seed_oss", { ...ONE_TABLE, defaults: heads(8, 128) }),
  { types: ["mimo"], source: "mlx-lm 287fa61, models/mimo.py", ...ROPE, defaults: { rope_theta: 10_000 } },
  hf("mimo_v2_flash", {
    ...{ ...ROPE, partial: true, byTypeAlone: true },
    layers: { fullEvery: 6, firstIsFull: true, slidingKv: 2 },
    defaults: {
      ...{ ...heads(4, 192), partial_rotary_factor: 0.334 },
      ...byLayer({}, { rope_theta: 5_000_000 }),
    },
    remarks: ["v has heads of v_head_dim elements, narrower than k's: leave it out of the call"],
  }),
  hf("glm glm4", {
    ...{ ...INTERLEAVED, partial: true, oneTable: true },
    defaults: { ...heads(2, 128), partial_rotary_factor: 0.5 },
  }),
  hf("ernie4_5", {
    ...{ ...INTERLEAVED, rounding: IN_FLOAT32, oneTable: true },
    defaults: { ...heads(2, 128), rope_theta: 500_000 },
  }),
  hf("ernie4_5_moe", {
    ...{ ...INTERLEAVED, rounding: IN_FLOAT32, oneTable: true },
    defaults: { ...heads(4), rope_theta: 500_000 },
  }),

  hf("qwen2_vl/qwen2_vl_text qwen2_5_vl/qwen2_5_vl_text", {
    ...{ ...SECTIONED, pairAxes: mrope("sectioned", 16, 24, 24) },
    defaults: { ...heads(8), rope_theta: 1_000_000 },
  }),
  hf("glm4v_moe/glm4v_moe_text", {
    ...{ ...SECTIONED, pairAxes: mrope("sectioned", 8, 12, 12), partial: true, oneTable: true },
    defaults: { ...heads(8), partial_rotary_factor: 0.5 },
  }),
  hf("glm4v/glm4v_text", {
    ...{ ...SECTIONED_INTERLEAVED, pairAxes: mrope("sectioned", 8, 12, 12), partial: true, oneTable: true },
    defaults: heads(2),
  }),
  hf("glm_ocr/glm_ocr_text", {
    ...{ ...SECTIONED_INTERLEAVED, pairAxes: mrope("sectioned", 8, 12, 12), partial: true, oneTable: true },
    defaults: heads(8),
  }),
  hf("paddleocr_vl/paddleocr_vl_text", {
    ...{ ...SECTIONED, pairAxes: mrope("sectioned", 16, 24, 24), oneTable: true },
    defaults: { ...heads(2, 128), rope_theta: 500_000 },
  }),

  hf("sapiens2", {
    ...{ axes: { rope: "neox", angles: "cos_sin_f32" }, rounding: { ...EARLY, ...IN_DTYPE } },
    ...{ rows: ROWS, normSwitch: "use_qk_norm" },
    layers: { perLayer: { num_key_value_heads: "num_key_value_heads_per_layer" } },
    defaults: { ...EPS_6, use_qk_norm: true },
    remarks: ["class and register tokens do not rotate: give them rows of cosine 1 and sine 0"],
  }),
  diffusers("FluxTransformer2DModel", "flux", {
    ...{ axes: GIVEN, rounding: { ...LATE, ...IN_FLOAT32 }, rows: ROWS },
    remarks: [STREAMS, "num_single_layers more layers have the same attention"],
  }),
  diffusers("Flux2Transformer2DModel", "flux2", {
    ...{ axes: GIVEN, rounding: { ...LATE, ...IN_FLOAT32 }, rows: ROWS },
    remarks: [STREAMS, "num_single_layers more layers have the same attention"],
  }),
  diffusers("QwenImageTransformer2DModel", "qwenimage", {
    ...{ axes: GIVEN, rounding: { ...EARLY, ...IN_FLOAT32 }, rows: ROWS },
    remarks: [STREAMS],
  }),
  diffusers("HunyuanVideoTransformer3DModel", "hunyuan_video", {
    ...{ axes: GIVEN, rounding: { ...EARLY, ...IN_FLOAT32 }, rows: ROWS },
    remarks: [
      STREAMS,
      "text tokens do not rotate: give them rows of cosine 1 and sine 0",
      "num_single_layers more layers have the same attention",
    ],
  }),
  diffusers("CosmosTransformer3DModel", "cosmos", {
    ...{ axes: { rope: "neox", angles: "cos_sin_f32" }, rounding: { ...EARLY, ...IN_FLOAT32 }, rows: ROWS },
    defaults: { rms_norm_eps: 1e-5 },
  }),
];
