/**
 * The table of RoPE scalings: the parameters of each, and its formulas for inverse frequencies and for the factor of cosine
 * and sine.
 *
 * In: nothing. Out: the rows. The types of `ropeTable`'s parameters, the checks of `rope_frequencies`, and Python's
 * `_rope_scalings.py` are made from them. So a formula uses only what Python has too: constants, arithmetic, comparisons,
 * choices and functions of Math. Formulas without a paper are from transformers v5.18.0,
 * `modeling_rope_utils.py`.
 */

/** The rule of a parameter. */
export interface ParameterRule {
  /** The least and the greatest value. A number is always finite. */
  readonly min?: number;
  readonly max?: number;
  /** Whether a number must be above `min`. */
  readonly isMinExcluded?: boolean;
  /** The parameter that is its minimum. */
  readonly atLeast?: string;
  /** The default. A parameter without one must be given. */
  readonly default?: number;
  /** One number for each frequency. */
  readonly isList?: true;
  /** A boolean. Formulas see 1 or 0. */
  readonly isFlag?: true;
}

/** Positive, and without a default. */
const POSITIVE = { min: 0, isMinExcluded: true } as const;
/** The same; 0 means that it was omitted. */
const MAYBE_POSITIVE = { ...POSITIVE, default: 0 } as const;
const FINITE = {} as const;

/** The inputs of every formula besides the scaling's own parameters. */
interface Given {
  /** The index of the frequency, from 0. */
  readonly i: number;
  /** base^(-2i / rotaryDim): Su et al. 2021. */
  readonly plain: number;
  /** `rope_theta`. */
  readonly base: number;
  readonly rotaryDim: number;
}

type GivenWith<Rules> = Given & { readonly [P in keyof Rules]: number };

/** A kind of scaling. `Rules`: the rules of its parameters. */
export interface ScalingRow<Rules = Readonly<Record<string, ParameterRule>>> {
  readonly parameters: Rules;
  /** Parameters of which one must be given. */
  readonly oneOf?: readonly string[];
  /** Values of `base` or `rotaryDim` for which it is undefined. */
  readonly refuses?: { readonly [P in "base" | "rotaryDim"]?: number };
  /** Inverse frequency `i`, in radians per position. */
  frequency(given: GivenWith<Rules>): number;
  /** The factor of cosine and sine; default 1. `i` and `plain` are the first frequency's. */
  attentionFactor?(given: GivenWith<Rules>): number;
}

const scaling = <const Rules extends Readonly<Record<string, ParameterRule>>>(row: ScalingRow<Rules>) => row;

/** Inverse frequency of a base that grows so that the lowest is stretched and the highest stays. */
const stretched = (i: number, base: number, rotaryDim: number, stretch: number) =>
  (base * stretch ** (rotaryDim / (rotaryDim - 2))) ** ((-2 * i) / rotaryDim);

/** Frequencies up to index `low` stay, from index `high` on they are divided by the factor. */
const ramp = (i: number, plain: number, factor: number, low: number, high: number) => {
  const width = high === low ? 0.001 : high - low;
  const interpolated = Math.min(Math.max((i - low) / width, 0), 1);
  return (plain / factor) * interpolated + plain * (1 - interpolated);
};

/** The scalings by Hugging Face's `rope_type`, and two that configs write differently. */
export const SCALINGS = {
  /** Every frequency is divided by `factor`: position interpolation, Chen et al. 2023. */
  linear: scaling({
    parameters: {
      /** How many times longer the context becomes. */
      factor: POSITIVE,
    },
    frequency: ({ plain, factor }) => plain / factor,
  }),

  /**
   * NTK-aware scaling for a known length: the base grows so that the lowest frequency covers it. `dynamic` in configs
   * recomputes this as a sequence grows; a table is for one length.
   */
  dynamic: scaling({
    parameters: {
      /** How many times longer the context may become. */
      factor: POSITIVE,
      /** In tokens; `original_max_position_embeddings` is not used. */
      maxPositionEmbeddings: POSITIVE,
      /** Tokens of the sequence; up to `maxPositionEmbeddings` there is no scaling. */
      length: POSITIVE,
    },
    refuses: { rotaryDim: 2 },
    frequency: ({ i, base, rotaryDim, factor, maxPositionEmbeddings, length }) => {
      const longest = Math.max(length, maxPositionEmbeddings);
      const stretch = (factor * longest) / maxPositionEmbeddings - (factor - 1);
      return stretched(i, base, rotaryDim, stretch);
    },
  }),

  /** HunYuan's fixed form of `dynamic`: the base times alpha^(d / (d - 2)). */
  alpha: scaling({
    parameters: {
      /** `alpha` of the config. */
      alpha: POSITIVE,
    },
    refuses: { rotaryDim: 2 },
    frequency: ({ i, base, rotaryDim, alpha }) => stretched(i, base, rotaryDim, alpha),
  }),

  /**
   * YaRN, Peng et al. 2023: frequencies that turn more than `betaFast` times in the original context stay, those that
   * turn less than `betaSlow` times are divided by `factor`, with a linear ramp between.
   */
  yarn: scaling({
    parameters: {
      /** How many times longer the context becomes. */
      factor: POSITIVE,
      /** In tokens. */
      originalMaxPositionEmbeddings: POSITIVE,
      /** Rotations in the original context; default 32. */
      betaFast: { ...POSITIVE, default: 32, atLeast: "betaSlow" },
      /** Rotations in the original context; default 1. */
      betaSlow: { ...POSITIVE, default: 1 },
      /** Whether the ramp's ends are rounded to whole indices; default true. */
      truncate: { isFlag: true, default: 1 },
      /** Multiplies cosine and sine; default 0.1 ln(factor) + 1, or the ratio that mscale and mscaleAllDim give. */
      attentionFactor: MAYBE_POSITIVE,
      /** `mscale` of DeepSeek's configs; used only with `mscaleAllDim`. */
      mscale: { default: 0 },
      /** `mscale_all_dim` of DeepSeek's configs. Its effect on the softmax scale is up to the caller. */
      mscaleAllDim: { default: 0 },
    },
    refuses: { base: 1 },
    frequency: ({
      i,
      plain,
      base,
      rotaryDim,
      factor,
      originalMaxPositionEmbeddings,
      betaFast,
      betaSlow,
      truncate,
    }) => {
      const indices = rotaryDim / (2 * Math.log(base));
      const fastest = indices * Math.log(originalMaxPositionEmbeddings / (2 * Math.PI * betaFast));
      const slowest = indices * Math.log(originalMaxPositionEmbeddings / (2 * Math.PI * betaSlow));
      const low = Math.max(truncate === 1 ? Math.floor(fastest) : fastest, 0);
      const high = Math.min(truncate === 1 ? Math.ceil(slowest) : slowest, rotaryDim - 1);
      return ramp(i, plain, factor, low, high);
    },
    attentionFactor: ({ factor, attentionFactor, mscale, mscaleAllDim }) => {
      const growth = factor <= 1 ? 0 : 0.1 * Math.log(factor);
      const isByRatio = mscale !== 0 && mscaleAllDim !== 0;
      const grown = isByRatio ? (growth * mscale + 1) / (growth * mscaleAllDim + 1) : growth + 1;
      return attentionFactor === 0 ? grown : attentionFactor;
    },
  }),

  /** YaRN with the ends of its ramp given, as SGLang's `fused_qk_norm_rope` takes them; factor 1 is no scaling. */
  "yarn-ramp": scaling({
    parameters: {
      /** The divisor of the frequencies after the ramp. */
      factor: POSITIVE,
      /** Index of the last frequency that stays. */
      low: FINITE,
      /** Index of the first frequency that is divided by `factor`. */
      high: { atLeast: "low" },
      /** Multiplies cosine and sine. */
      attentionFactor: POSITIVE,
    },
    frequency: ({ i, plain, factor, low, high }) => ramp(i, plain, factor, low, high),
    attentionFactor: ({ attentionFactor }) => attentionFactor,
  }),

  /** Llama 3.1: by wavelength, with a smooth band between `originalMaxPositionEmbeddings` over the two factors. */
  llama3: scaling({
    parameters: {
      /** The divisor of the long wavelengths' frequencies. */
      factor: POSITIVE,
      /** Wavelengths above `originalMaxPositionEmbeddings / lowFreqFactor` are the long ones. */
      lowFreqFactor: POSITIVE,
      /** Wavelengths below `originalMaxPositionEmbeddings / highFreqFactor` stay. */
      highFreqFactor: { ...POSITIVE, atLeast: "lowFreqFactor" },
      /** In tokens. */
      originalMaxPositionEmbeddings: POSITIVE,
    },
    frequency: ({ plain, factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings }) => {
      const wavelengths = (originalMaxPositionEmbeddings * plain) / (2 * Math.PI);
      const width = highFreqFactor === lowFreqFactor ? 1 : highFreqFactor - lowFreqFactor;
      const kept = (wavelengths - lowFreqFactor) / width;
      const smoothed = ((1 - kept) * plain) / factor + kept * plain;
      const isLong = wavelengths < lowFreqFactor;
      return wavelengths >= highFreqFactor ? plain : isLong ? plain / factor : smoothed;
    },
  }),

  /** LongRoPE, Ding et al. 2024, of Phi-3: a factor for each frequency, one list for short and one for long sequences. */
  longrope: scaling({
    parameters: {
      /** In tokens. */
      originalMaxPositionEmbeddings: { min: 1, isMinExcluded: true },
      /** `[rotaryDim / 2]` */
      shortFactor: { ...POSITIVE, isList: true },
      /** `[rotaryDim / 2]` */
      longFactor: { ...POSITIVE, isList: true },
      /** Tokens of the sequence: above `originalMaxPositionEmbeddings` the long list is taken. Default: the short one. */
      length: { default: 0 },
      /** How many times longer the context becomes; default `maxPositionEmbeddings / originalMaxPositionEmbeddings`. */
      factor: MAYBE_POSITIVE,
      /** In tokens; needed if neither `factor` nor `attentionFactor` is given. */
      maxPositionEmbeddings: MAYBE_POSITIVE,
      /** Default sqrt(1 + ln(factor) / ln(originalMaxPositionEmbeddings)). */
      attentionFactor: MAYBE_POSITIVE,
    },
    oneOf: ["factor", "maxPositionEmbeddings", "attentionFactor"],
    frequency: ({ plain, shortFactor, longFactor, originalMaxPositionEmbeddings, length }) =>
      plain / (length > originalMaxPositionEmbeddings ? longFactor : shortFactor),
    attentionFactor: ({ originalMaxPositionEmbeddings, factor, maxPositionEmbeddings, attentionFactor }) => {
      const stretch = factor === 0 ? maxPositionEmbeddings / originalMaxPositionEmbeddings : factor;
      const growth = Math.log(Math.max(stretch, 1)) / Math.log(originalMaxPositionEmbeddings);
      return attentionFactor === 0 ? Math.sqrt(1 + growth) : attentionFactor;
    },
  }),

  /** Gemma 4: frequencies over the whole head, of which only the first `partialRotaryFactor` turn; the others are 0. */
  proportional: scaling({
    parameters: {
      /** The part of all pairs that turns, from 0 to 1. */
      partialRotaryFactor: { min: 0, max: 1 },
      /** Default 1. */
      factor: { ...POSITIVE, default: 1 },
    },
    frequency: ({ i, plain, rotaryDim, partialRotaryFactor, factor }) =>
      i < Math.floor((partialRotaryFactor * rotaryDim) / 2) ? plain / factor : 0,
  }),
} as const;

/** The type of a parameter. */
type Value<Rule> = Rule extends { isList: true }
  ? readonly number[]
  : Rule extends { isFlag: true }
    ? boolean
    : number;

type Rules<T extends ScalingType> = (typeof SCALINGS)[T]["parameters"];
type Optional<T extends ScalingType> = {
  [P in keyof Rules<T>]: Rules<T>[P] extends { default: number } ? P : never;
}[keyof Rules<T>];

/** The kinds of scaling. */
export type ScalingType = keyof typeof SCALINGS;

/** The parameters of one type of scaling. */
export type Scaling<T extends ScalingType> = { readonly type: T } & {
  readonly [P in Exclude<keyof Rules<T>, Optional<T>>]: Value<Rules<T>[P]>;
} & { readonly [P in Optional<T>]?: Value<Rules<T>[P]> | undefined };

/** The parameters of any type of scaling. */
export type RopeScaling = { [T in ScalingType]: Scaling<T> }[ScalingType];
