/**
 * What each `model_type` of a Hugging Face config does to q, k and v: one row each, with the source it was read in.
 *
 * In: the rows of types that an op does. Out: these and the refused ones, found by `model_type`, or by the `_class_name` of a
 * diffusers config. Data only: `fields`, `rope` and `layers` read what a config says itself.
 */
import type { LackName } from "./lacks.js";
import type { ModelType } from "./model_type.js";
import { NORMED_TYPES } from "./normed_types.js";
import { PLAIN_TYPES } from "./plain_types.js";
import { diffusers, EARLY, EPS_5, type Facts, heads, hf, NORM_ROPE, ON_DTYPE_TABLES } from "./rows.js";

const refused = (...lacks: LackName[]): Facts => ({ lacks });

const REFUSED: readonly (ModelType | readonly ModelType[])[] = [
  hf("hunyuan_vl/hunyuan_vl_text", {
    ...{ ...NORM_ROPE, op: "qk_rope_norm", alpha: true, lacks: ["crossed_axes"] },
    ...{ rounding: { ...EARLY, ...ON_DTYPE_TABLES }, defaults: { ...heads(null), ...EPS_5 } },
  }),
  hf("olmo2 olmo3 olmoe olmo_hybrid flex_olmo minimax_m2", refused("row_norm")),
  hf("internvl_vision", refused("row_norm", "ropeless"), "internvl"),
  hf("esmc", refused("row_norm")),
  hf("zaya", refused("l2_norm")),
  hf("deepseek_v3/kimi_k2 deepseek_v32 glm_moe_dsa glm4_moe_lite", refused("latent_norm")),
  hf("kimi_linear", refused("latent_norm", "ropeless")),
  hf("gemma4_vision", refused("blocked"), "gemma4"),
  diffusers("WanTransformer3DModel", "wan", refused("row_norm")),
  diffusers("LTXVideoTransformer3DModel", "ltx", refused("row_norm", "head_angles")),
  diffusers("LTX2VideoTransformer3DModel", "ltx2", refused("row_norm", "head_angles")),
  diffusers("HiDreamImageTransformer2DModel", "hidream_image", refused("row_norm")),
];

export const MODEL_TYPES: readonly ModelType[] = [...NORMED_TYPES, ...PLAIN_TYPES, ...REFUSED].flat();

const ROWS = new Map(MODEL_TYPES.flatMap((row) => row.types.map((type) => [type, row] as const)));

/** @param classes the `architectures` of the config, for a model_type that several share */
export function modelType(name: string, classes: readonly string[] = []): ModelType | undefined {
  const names = [name, ...classes.map((of) => `${name}/${of}`)];
  return names.map((known) => ROWS.get(known)).find((row) => row !== undefined);
}
