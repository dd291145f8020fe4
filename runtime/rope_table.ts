/**
 * RoPE parameters → the table that the kernels read.
 *
 * In: base, rotary dim, scaling, in the terms of Hugging Face configs. Out: inverse frequencies in float64, the turns
 * per position as 0.64 fixed point, and the attention factor. Pure. A scaling is nothing but a table: no kernel knows.
 */
import { invalidArgument, reading, requireFields, requireObject, requirePositive } from "./errors.js";
import { plainFrequencies, scaledFrequencies } from "./rope_frequencies.js";
import type { RopeScaling } from "./rope_scaling.js";

/** What a RoPE table is made from. */
export interface RopeParameters {
  /** `rope_theta`. */
  readonly base: number;
  /** Leading elements of a head that rotate: even. */
  readonly rotaryDim: number;
  /** Default: none, `inv_freq[i] = base^(-2i / rotaryDim)`. */
  readonly scaling?: RopeScaling | null | undefined;
}

/** RoPE as the kernels read it, on the host: `library.uploadRope` brings it to the device. */
export interface RopeTable {
  /** Leading elements of a head that rotate. */
  readonly rotaryDim: number;
  /** `[rotaryDim / 2]`, radians per position. */
  readonly invFreq: Float64Array;
  /** `[rotaryDim / 2]`, round(frac(invFreq / 2π) · 2⁶⁴). */
  readonly turns: BigUint64Array;
  /** Multiplies cosine and sine. */
  readonly attentionFactor: number;
}

/** More than any head has. */
const ROTARY_DIM_MAX = 65_536;

/**
 * The table of a model: inverse frequencies by its scaling, in float64, and as exact turns per position.
 * @throws NormropeError `invalid-argument` for parameters that no table can be made from.
 */
export function ropeTable(parameters: RopeParameters): RopeTable {
  requireObject("parameters", parameters);
  return reading("parameters", () => makeTable(parameters));
}

function makeTable(parameters: RopeParameters): RopeTable {
  const { base, rotaryDim, scaling } = parameters;
  requirePositive("base", base);
  requireFields("parameters", parameters, ["base", "rotaryDim", "scaling"]);
  if (!Number.isInteger(rotaryDim) || rotaryDim < 2 || rotaryDim % 2 !== 0 || rotaryDim > ROTARY_DIM_MAX) {
    throw invalidArgument("rotaryDim", rotaryDim, `an even number from 2 to ${ROTARY_DIM_MAX}`);
  }
  if (scaling === undefined || scaling === null) return tableOf(plainFrequencies(base, rotaryDim), 1);
  requireObject("scaling", scaling);
  const { invFreq, attentionFactor } = scaledFrequencies(base, rotaryDim, scaling);
  return tableOf(invFreq, attentionFactor);
}

/**
 * A table from inverse frequencies of the caller's own, in radians per position.
 * @throws NormropeError `invalid-argument`.
 */
export function tableOf(invFreq: Float64Array, attentionFactor: number): RopeTable {
  if (!(ArrayBuffer.isView(invFreq) && invFreq instanceof Float64Array) || invFreq.length === 0) {
    throw invalidArgument("invFreq", invFreq, "a Float64Array with a frequency for each pair");
  }
  if (!Number.isFinite(attentionFactor)) {
    throw invalidArgument("attentionFactor", attentionFactor, "a finite number");
  }
  return {
    rotaryDim: 2 * invFreq.length,
    invFreq,
    turns: BigUint64Array.from(invFreq, (frequency) => turnsPerPosition(frequency)),
    attentionFactor,
  };
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
