/**
 * RoPE scalings: what each does to the inverse frequencies, and its attention factor.
 *
 * In: base, rotary dim and a scaling in the terms of Hugging Face configs. Out: float64 inverse frequencies in radians
 * per position, and what cosine and sine are multiplied by. Pure. Source of the formulas, where no paper is named:
 * transformers v5.18.0, `modeling_rope_utils.py`.
 */
import { invalidArgument } from "./errors.js";

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

export interface ScaledFrequencies {
  readonly invFreq: Float64Array;
  readonly attentionFactor: number;
}

/** `inv_freq[i] = base^(-2i / rotaryDim)`: Su et al. 2021. */
export function plainFrequencies(base: number, rotaryDim: number): Float64Array {
  return Float64Array.from({ length: rotaryDim / 2 }, (_, i) => base ** ((-2 * i) / rotaryDim));
}

/** @throws NormropeError `invalid-argument`, naming the parameter. */
export function scaledFrequencies(base: number, rotaryDim: number, scaling: RopeScaling): ScaledFrequencies {
  const plain = plainFrequencies(base, rotaryDim);
  switch (scaling.type) {
    case "linear":
      requirePositive("scaling.factor", scaling.factor);
      return { invFreq: plain.map((frequency) => frequency / scaling.factor), attentionFactor: 1 };
    case "dynamic":
      return {
        invFreq: plainFrequencies(base * dynamicGrowth(rotaryDim, scaling), rotaryDim),
        attentionFactor: 1,
      };
    case "alpha":
      requirePositive("scaling.alpha", scaling.alpha);
      return {
        invFreq: plainFrequencies(base * grow(scaling.alpha, rotaryDim), rotaryDim),
        attentionFactor: 1,
      };
    case "yarn":
      return yarn(plain, base, rotaryDim, scaling);
    case "yarn-ramp":
      requirePositive("scaling.factor", scaling.factor);
      requirePositive("scaling.attentionFactor", scaling.attentionFactor);
      return {
        invFreq: ramp(
          plain,
          scaling.factor,
          finite("scaling.low", scaling.low),
          finite("scaling.high", scaling.high),
        ),
        attentionFactor: scaling.attentionFactor,
      };
    case "llama3":
      return { invFreq: llama3(plain, scaling), attentionFactor: 1 };
    case "longrope":
      return longrope(plain, scaling);
    case "proportional":
      return { invFreq: proportional(plain, scaling), attentionFactor: 1 };
    default:
      throw unknownType(scaling);
  }
}

function dynamicGrowth(rotaryDim: number, { factor, maxPosition, length }: DynamicScaling): number {
  requirePositive("scaling.factor", factor);
  requirePositive("scaling.maxPosition", maxPosition);
  requirePositive("scaling.length", length);
  return grow((factor * Math.max(length, maxPosition)) / maxPosition - (factor - 1), rotaryDim);
}

/** The growth of the base that stretches the lowest of d/2 frequencies by `stretch` and leaves the highest. */
function grow(stretch: number, rotaryDim: number): number {
  if (rotaryDim === 2) throw invalidArgument("rotaryDim", rotaryDim, "at least 4 for a scaling of the base");
  return stretch ** (rotaryDim / (rotaryDim - 2));
}

function yarn(plain: Float64Array, base: number, dim: number, scaling: YarnScaling): ScaledFrequencies {
  const { factor, originalMaxPosition, betaFast = 32, betaSlow = 1, truncate = true } = scaling;
  requirePositive("scaling.factor", factor);
  requirePositive("scaling.originalMaxPosition", originalMaxPosition);
  requirePositive("scaling.betaFast", betaFast);
  requirePositive("scaling.betaSlow", betaSlow);
  if (base === 1) throw invalidArgument("base", base, "a number other than 1 for YaRN");
  /** The index of the frequency that turns `rotations` times in the original context. */
  const indexOf = (rotations: number) =>
    (dim * Math.log(originalMaxPosition / (2 * Math.PI * rotations))) / (2 * Math.log(base));
  const fast = truncate ? Math.floor(indexOf(betaFast)) : indexOf(betaFast);
  const slow = truncate ? Math.ceil(indexOf(betaSlow)) : indexOf(betaSlow);
  const invFreq = ramp(plain, factor, Math.max(fast, 0), Math.min(slow, dim - 1));
  return { invFreq, attentionFactor: yarnAttentionFactor(scaling) };
}

/** Frequencies up to index `low` stay, from index `high` on they are divided by the factor. */
function ramp(plain: Float64Array, factor: number, low: number, high: number): Float64Array {
  const width = high === low ? 0.001 : high - low;
  return plain.map((frequency, i) => {
    const interpolated = Math.min(Math.max((i - low) / width, 0), 1);
    return (frequency / factor) * interpolated + frequency * (1 - interpolated);
  });
}

function yarnAttentionFactor({ factor, attentionFactor, mscale, mscaleAllDim }: YarnScaling): number {
  if (attentionFactor !== undefined) {
    requirePositive("scaling.attentionFactor", attentionFactor);
    return attentionFactor;
  }
  const scale = (m: number) => (factor <= 1 ? 1 : 0.1 * finite("scaling.mscale", m) * Math.log(factor) + 1);
  return mscale && mscaleAllDim ? scale(mscale) / scale(mscaleAllDim) : scale(1);
}

function llama3(plain: Float64Array, scaling: Llama3Scaling): Float64Array {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPosition } = scaling;
  requirePositive("scaling.factor", factor);
  requirePositive("scaling.lowFreqFactor", lowFreqFactor);
  requirePositive("scaling.highFreqFactor", highFreqFactor);
  requirePositive("scaling.originalMaxPosition", originalMaxPosition);
  if (highFreqFactor < lowFreqFactor) {
    throw invalidArgument(
      "scaling.highFreqFactor",
      highFreqFactor,
      `at least lowFreqFactor, ${lowFreqFactor}`,
    );
  }
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < originalMaxPosition / highFreqFactor) return frequency;
    if (wavelength > originalMaxPosition / lowFreqFactor) return frequency / factor;
    if (highFreqFactor === lowFreqFactor) return frequency;
    const t = (originalMaxPosition / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - t) * frequency) / factor + t * frequency;
  });
}

function longrope(plain: Float64Array, scaling: LongropeScaling): ScaledFrequencies {
  const { shortFactor, longFactor, originalMaxPosition, length = 0, maxPosition, attentionFactor } = scaling;
  requirePositive("scaling.originalMaxPosition", originalMaxPosition);
  for (const [name, list] of [
    ["shortFactor", shortFactor],
    ["longFactor", longFactor],
  ] as const) {
    if (list.length !== plain.length)
      throw invalidArgument(`scaling.${name}`, list, `${plain.length} numbers long`);
    list.forEach((value, i) => {
      requirePositive(`scaling.${name}[${i}]`, value);
    });
  }
  const stretch = length > originalMaxPosition ? longFactor : shortFactor;
  const invFreq = plain.map((frequency, i) => frequency / (stretch[i] ?? Number.NaN));
  if (attentionFactor !== undefined) {
    requirePositive("scaling.attentionFactor", attentionFactor);
    return { invFreq, attentionFactor };
  }
  const factor = scaling.factor ?? (maxPosition ?? Number.NaN) / originalMaxPosition;
  requirePositive("scaling.factor (or scaling.maxPosition)", factor);
  const grown = Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPosition));
  return { invFreq, attentionFactor: factor <= 1 ? 1 : grown };
}

function proportional(
  plain: Float64Array,
  { partialRotaryFactor, factor = 1 }: ProportionalScaling,
): Float64Array {
  requirePositive("scaling.factor", factor);
  if (!(partialRotaryFactor >= 0 && partialRotaryFactor <= 1)) {
    throw invalidArgument("scaling.partialRotaryFactor", partialRotaryFactor, "a number from 0 to 1");
  }
  const turning = Math.floor(partialRotaryFactor * plain.length);
  return plain.map((frequency, i) => (i < turning ? frequency / factor : 0));
}

function unknownType(scaling: never): Error {
  const { type } = scaling as { type?: unknown };
  return invalidArgument("scaling.type", type, "one of the types of RopeScaling, such as yarn or llama3");
}

export function requirePositive(field: string, value: number): void {
  if (!(value > 0 && value < Number.POSITIVE_INFINITY))
    throw invalidArgument(field, value, "a positive number");
}

function finite(field: string, value: number): number {
  if (!Number.isFinite(value)) throw invalidArgument(field, value, "a finite number");
  return value;
}
