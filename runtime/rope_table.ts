/**
 * RoPE parameters → the table that the kernels read.
 *
 * In: base, rotary dim, scaling, in the terms of Hugging Face configs. Out: inverse frequencies in float64, the turns
 * per position as 0.64 fixed point, and the attention factor. Pure. A scaling is nothing but a table: no kernel knows.
 */
import { invalidArgument } from "./errors.js";

/**
 * YaRN (Peng et al. 2023), as in transformers' `_compute_yarn_parameters`: frequencies that turn more than
 * `betaFast` times in the original context stay, those that turn less than `betaSlow` times are divided by `factor`,
 * with a linear ramp between.
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
  readonly mscale?: number | undefined;
  readonly mscaleAllDim?: number | undefined;
}

export interface RopeParameters {
  /** `rope_theta`. */
  readonly base: number;
  /** Leading elements of a head that rotate: even. */
  readonly rotaryDim: number;
  /** Default: none, `inv_freq[i] = base^(-2i / rotaryDim)`. */
  readonly scaling?: YarnScaling | undefined;
}

export interface RopeTable {
  readonly rotaryDim: number;
  /** `[rotaryDim / 2]`, radians per position. */
  readonly invFreq: Float64Array;
  /** `[rotaryDim / 2]`, round(frac(invFreq / 2π) · 2⁶⁴). */
  readonly turns: BigUint64Array;
  /** Multiplies cosine and sine. */
  readonly attentionFactor: number;
}

/** @throws NormropeError `invalid-argument` for parameters that no table can be made from. */
export function ropeTable({ base, rotaryDim, scaling }: RopeParameters): RopeTable {
  requirePositive("base", base);
  if (!Number.isInteger(rotaryDim) || rotaryDim < 2 || rotaryDim % 2 !== 0) {
    throw invalidArgument("rotaryDim", rotaryDim, "an even number of at least 2");
  }
  const plain = Float64Array.from({ length: rotaryDim / 2 }, (_, i) => base ** ((-2 * i) / rotaryDim));
  if (scaling === undefined) return tableOf(plain, 1);
  if (scaling.type !== "yarn") throw invalidArgument("scaling.type", scaling.type, '"yarn"');
  return tableOf(yarnFrequencies(plain, base, rotaryDim, scaling), yarnAttentionFactor(scaling));
}

/** A table from inverse frequencies of the caller's own, in radians per position. */
export function tableOf(invFreq: Float64Array, attentionFactor: number): RopeTable {
  return {
    rotaryDim: 2 * invFreq.length,
    invFreq,
    turns: BigUint64Array.from(invFreq, (frequency) => turnsPerPosition(frequency)),
    attentionFactor,
  };
}

function yarnFrequencies(plain: Float64Array, base: number, dim: number, scaling: YarnScaling): Float64Array {
  const { factor, originalMaxPosition, betaFast = 32, betaSlow = 1, truncate = true } = scaling;
  requirePositive("scaling.factor", factor);
  requirePositive("scaling.originalMaxPosition", originalMaxPosition);
  requirePositive("scaling.betaFast", betaFast);
  requirePositive("scaling.betaSlow", betaSlow);
  /** The index of the frequency that turns `rotations` times in the original context. */
  const indexOf = (rotations: number) =>
    (dim * Math.log(originalMaxPosition / (2 * Math.PI * rotations))) / (2 * Math.log(base));
  const fast = truncate ? Math.floor(indexOf(betaFast)) : indexOf(betaFast);
  const slow = truncate ? Math.ceil(indexOf(betaSlow)) : indexOf(betaSlow);
  const low = Math.max(fast, 0);
  const high = Math.min(slow, dim - 1);
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
  const scale = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  return mscale && mscaleAllDim ? scale(mscale) / scale(mscaleAllDim) : scale(1);
}

/** 1 / 2π as a fraction of 2²⁵⁶. */
const INVERSE_TWO_PI = 0x28be60db9391054a7f09d5f47d4d377036d8a5664f10e4107f9458eaf7aef158n;
const FRACTION_BITS = 256;

/** round(frac(x / 2π) · 2⁶⁴) for 0 <= x < 2⁶⁴: exact, in integers. `normrope_rope_table` gives the same bits in C. */
function turnsPerPosition(x: number): bigint {
  if (!(x >= 0 && x < 2 ** 64)) throw invalidArgument("inverse frequency", x, "from 0 up to below 2^64");
  const { integer, exponent } = splitFloat64(x);
  const shift = BigInt(FRACTION_BITS - 64 - exponent);
  const turns = (integer * INVERSE_TWO_PI + (1n << (shift - 1n))) >> shift;
  return BigInt.asUintN(64, turns);
}

/** x = integer · 2^exponent, exact. */
function splitFloat64(x: number): { integer: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const stored = view.getBigUint64(0);
  const biased = Number((stored >> 52n) & 0x7ffn);
  const fraction = stored & 0xfffffffffffffn;
  if (biased === 0) return { integer: fraction, exponent: -1074 };
  return { integer: fraction | (1n << 52n), exponent: biased - 1075 };
}

function requirePositive(field: string, value: number): void {
  if (!(value > 0 && value < Number.POSITIVE_INFINITY))
    throw invalidArgument(field, value, "a positive number");
}
