/**
 * RoPE scalings → inverse frequencies.
 *
 * In: base, rotary dim and a scaling. Out: float64 inverse frequencies in radians per position, and what cosine and
 * sine are multiplied by. Pure. Source of the formulas, where no paper is named: transformers v5.18.0,
 * `modeling_rope_utils.py`.
 */
import { invalidArgument, requireFields, requirePositive } from "./errors.js";
import type {
  DynamicScaling,
  Llama3Scaling,
  LongropeScaling,
  ProportionalScaling,
  RopeScaling,
  YarnScaling,
} from "./rope_scaling.js";

export interface ScaledFrequencies {
  readonly invFreq: Float64Array;
  readonly attentionFactor: number;
}

/** What each type of scaling is given, besides its type. */
const FIELDS: {
  readonly [T in RopeScaling["type"]]: readonly Exclude<keyof Extract<RopeScaling, { type: T }>, "type">[];
} = {
  linear: ["factor"],
  dynamic: ["factor", "maxPosition", "length"],
  alpha: ["alpha"],
  yarn: [
    ...(["factor", "originalMaxPosition", "betaFast", "betaSlow", "truncate"] as const),
    ...(["attentionFactor", "mscale", "mscaleAllDim"] as const),
  ],
  "yarn-ramp": ["factor", "low", "high", "attentionFactor"],
  llama3: ["factor", "lowFreqFactor", "highFreqFactor", "originalMaxPosition"],
  longrope: [
    ...(["shortFactor", "longFactor", "originalMaxPosition", "length"] as const),
    ...(["factor", "maxPosition", "attentionFactor"] as const),
  ],
  proportional: ["partialRotaryFactor", "factor"],
};

/** `inv_freq[i] = base^(-2i / rotaryDim)`: Su et al. 2021. */
export function plainFrequencies(base: number, rotaryDim: number): Float64Array {
  return Float64Array.from({ length: rotaryDim / 2 }, (_, i) => base ** ((-2 * i) / rotaryDim));
}

/** @throws NormropeError `invalid-argument`, naming the parameter. */
export function scaledFrequencies(base: number, rotaryDim: number, scaling: RopeScaling): ScaledFrequencies {
  if (typeof scaling.type !== "string" || !Object.hasOwn(FIELDS, scaling.type)) {
    throw invalidArgument("scaling.type", scaling.type, `one of ${Object.keys(FIELDS).join(", ")}`);
  }
  requireFields("scaling", scaling, ["type", ...FIELDS[scaling.type]]);
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
      if (scaling.high < scaling.low) {
        throw invalidArgument("scaling.high", scaling.high, `at least low, ${scaling.low}`);
      }
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
      return scaling satisfies never;
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
  if (typeof truncate !== "boolean") throw invalidArgument("scaling.truncate", truncate, "true or false");
  if (betaFast < betaSlow) {
    throw invalidArgument("scaling.betaFast", betaFast, `at least betaSlow, ${betaSlow}`);
  }
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

function yarnAttentionFactor(scaling: YarnScaling): number {
  const { factor, attentionFactor, mscale, mscaleAllDim } = scaling;
  if (mscale !== undefined) finite("scaling.mscale", mscale);
  if (mscaleAllDim !== undefined) finite("scaling.mscaleAllDim", mscaleAllDim);
  if (attentionFactor !== undefined) {
    requirePositive("scaling.attentionFactor", attentionFactor);
    return attentionFactor;
  }
  const scale = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
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
  if (!(Number.isFinite(originalMaxPosition) && originalMaxPosition > 1)) {
    throw invalidArgument("scaling.originalMaxPosition", originalMaxPosition, "a number above 1");
  }
  finite("scaling.length", length);
  for (const [name, list] of [
    ["shortFactor", shortFactor],
    ["longFactor", longFactor],
  ] as const) {
    if (!Array.isArray(list) || list.length !== plain.length)
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

function finite(field: string, value: number): number {
  if (!Number.isFinite(value)) throw invalidArgument(field, value, "a finite number");
  return value;
}
