/**
 * RoPE scalings, in the terms of Hugging Face configs: what each is given. `rope_frequencies` has the formulas.
 */

/** Every frequency is divided by `factor` (Chen et al. 2023, position interpolation). */
export interface LinearScaling {
  readonly type: "linear";
  /** How many times longer the context becomes. */
  readonly factor: number;
}

/**
 * NTK-aware scaling for a known length: the base grows so that the lowest frequency covers it. `dynamic` in configs
 * recomputes this as a sequence grows; a table is for one length.
 */
export interface DynamicScaling {
  readonly type: "dynamic";
  /** How many times longer the context may become. */
  readonly factor: number;
  /** `max_position_embeddings`, in tokens; the original one is not used. */
  readonly maxPosition: number;
  /** Tokens of the sequence; up to `maxPosition` there is no scaling. */
  readonly length: number;
}

/** HunYuan's fixed form of `dynamic`: the base times alpha^(d / (d - 2)). */
export interface AlphaScaling {
  readonly type: "alpha";
  /** `alpha` of the config. */
  readonly alpha: number;
}

/**
 * YaRN (Peng et al. 2023): frequencies that turn more than `betaFast` times in the original context stay, those that
 * turn less than `betaSlow` times are divided by `factor`, with a linear ramp between.
 */
export interface YarnScaling {
  readonly type: "yarn";
  /** How many times longer the context becomes. */
  readonly factor: number;
  /** `original_max_position_embeddings`, in tokens. */
  readonly originalMaxPosition: number;
  /** Rotations in the original context; default 32. */
  readonly betaFast?: number | undefined;
  /** Rotations in the original context; default 1. */
  readonly betaSlow?: number | undefined;
  /** Whether the ramp's ends are rounded to whole indices; default true. */
  readonly truncate?: boolean | undefined;
  /** Multiplies cosine and sine; default 0.1 ln(factor) + 1, or the ratio that mscale and mscaleAllDim give. */
  readonly attentionFactor?: number | undefined;
  /** `mscale` of DeepSeek's configs; used where `mscaleAllDim` is given too. */
  readonly mscale?: number | undefined;
  /** `mscale_all_dim` of DeepSeek's configs. What it does to the softmax scale is the caller's. */
  readonly mscaleAllDim?: number | undefined;
}

/** YaRN with the ends of its ramp given, as SGLang's `fused_qk_norm_rope` takes them; factor 1 is no scaling. */
export interface YarnRampScaling {
  readonly type: "yarn-ramp";
  /** What the frequencies behind the ramp are divided by. */
  readonly factor: number;
  /** Index of the last frequency that stays. */
  readonly low: number;
  /** Index of the first frequency that is divided by `factor`. */
  readonly high: number;
  /** Multiplies cosine and sine. */
  readonly attentionFactor: number;
}

/** Llama 3.1: by wavelength, with a smooth band between `originalMaxPosition` over the two factors. */
export interface Llama3Scaling {
  readonly type: "llama3";
  /** What the long wavelengths' frequencies are divided by. */
  readonly factor: number;
  /** Wavelengths above `originalMaxPosition / lowFreqFactor` are the long ones. */
  readonly lowFreqFactor: number;
  /** Wavelengths below `originalMaxPosition / highFreqFactor` stay. */
  readonly highFreqFactor: number;
  /** `original_max_position_embeddings`, in tokens. */
  readonly originalMaxPosition: number;
}

/** LongRoPE (Ding et al. 2024), of Phi-3: a factor for each frequency, one list for short and one for long sequences. */
export interface LongropeScaling {
  readonly type: "longrope";
  /** `[rotaryDim / 2]` */
  readonly shortFactor: readonly number[];
  /** `[rotaryDim / 2]` */
  readonly longFactor: readonly number[];
  /** `original_max_position_embeddings`, in tokens. */
  readonly originalMaxPosition: number;
  /** Tokens of the sequence: above `originalMaxPosition` the long list is taken. Default: the short one. */
  readonly length?: number | undefined;
  /** How many times longer the context becomes; default `maxPosition / originalMaxPosition`. */
  readonly factor?: number | undefined;
  /** `max_position_embeddings`, in tokens; needed where neither `factor` nor `attentionFactor` is given. */
  readonly maxPosition?: number | undefined;
  /** Default sqrt(1 + ln(factor) / ln(originalMaxPosition)). */
  readonly attentionFactor?: number | undefined;
}

/** Gemma 4: frequencies over the whole head, of which only the first `partialRotaryFactor` turn; the others are 0. */
export interface ProportionalScaling {
  readonly type: "proportional";
  /** The part of all pairs that turns, from 0 to 1. */
  readonly partialRotaryFactor: number;
  /** Default 1. */
  readonly factor?: number | undefined;
}

/** The scalings by the names of Hugging Face's `rope_type`, and two forms that are written otherwise there. */
export type RopeScaling =
  | LinearScaling
  | DynamicScaling
  | AlphaScaling
  | YarnScaling
  | YarnRampScaling
  | Llama3Scaling
  | LongropeScaling
  | ProportionalScaling;
