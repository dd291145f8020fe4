/**
 * RoPE parameters → the table that the kernels read.
 *
 * In: base, rotary dim, scaling, in the terms of Hugging Face configs. Out: inverse frequencies in float64 and the
 * attention factor. The C library converts them to turns. Pure. A scaling is only another table: kernels know none.
 */
import { invalidArgument, requireFields, requireObject, requirePositive } from "./errors.js";
import { scaledFrequencies } from "./rope_frequencies.js";
import type { RopeScaling } from "./rope_scalings.js";

/** The parameters of a RoPE table. */
export interface RopeParameters {
  /** `rope_theta`. */
  readonly base: number;
  /** Leading elements of a head that rotate: even. */
  readonly rotaryDim: number;
  /** Default: none, `inv_freq[i] = base^(-2i / rotaryDim)`. */
  readonly scaling?: RopeScaling | null | undefined;
}

/** A RoPE table on the host. `library.uploadRope` converts it for the device. */
export interface RopeTable {
  /** Leading elements of a head that rotate. */
  readonly rotaryDim: number;
  /** `[rotaryDim / 2]`, radians per position. */
  readonly invFreq: Float64Array;
  /** Multiplies cosine and sine. */
  readonly attentionFactor: number;
}

/** An upper limit, larger than any head. */
const ROTARY_DIM_MAX = 65_536;

/**
 * Makes a model's table: inverse frequencies by its scaling, in float64.
 * @throws NormropeError `invalid-argument` for parameters that no table can be made from.
 */
export function ropeTable(parameters: RopeParameters): RopeTable {
  requireObject("parameters", parameters);
  const { base, rotaryDim, scaling } = parameters;
  requirePositive("base", base);
  requireFields("parameters", parameters, ["base", "rotaryDim", "scaling"]);
  if (!Number.isInteger(rotaryDim) || rotaryDim < 2 || rotaryDim % 2 !== 0 || rotaryDim > ROTARY_DIM_MAX) {
    throw invalidArgument("rotaryDim", rotaryDim, `an even number from 2 to ${ROTARY_DIM_MAX}`);
  }
  if (scaling !== undefined && scaling !== null) requireObject("scaling", scaling);
  const { invFreq, attentionFactor } = scaledFrequencies(base, rotaryDim, scaling ?? undefined);
  return tableOf(invFreq, attentionFactor);
}

/**
 * Makes a table from your own inverse frequencies, in radians per position.
 * @throws NormropeError `invalid-argument`.
 */
export function tableOf(invFreq: Float64Array, attentionFactor: number): RopeTable {
  if (!(ArrayBuffer.isView(invFreq) && invFreq instanceof Float64Array) || invFreq.length === 0) {
    throw invalidArgument("invFreq", invFreq, "a Float64Array with a frequency for each pair");
  }
  if (!Number.isFinite(attentionFactor)) {
    throw invalidArgument("attentionFactor", attentionFactor, "a finite number");
  }
  for (const frequency of invFreq) {
    if (!(frequency >= 0 && frequency < 2 ** 64)) {
      throw invalidArgument("inverse frequency", frequency, "from 0 up to below 2^64");
    }
  }
  return { rotaryDim: 2 * invFreq.length, invFreq, attentionFactor };
}
