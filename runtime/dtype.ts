/**
 * Floating point of 16 and 8 bits in JavaScript, which has none on Node 20.
 *
 * In: bit patterns or numbers. Out: numbers or bit patterns, rounded to nearest even as the kernels do. Pure.
 */
import { FORMATS, type Format } from "../dsl/dtypes.js";
import { invalidArgument } from "./errors.js";

/** Element type of heads: the kernel's of inputs and weights, also e4m3 (OCP FP8) of what is written. */
export type Dtype = Format;

function formatOf(dtype: Dtype) {
  if (typeof dtype === "string" && Object.hasOwn(FORMATS, dtype)) return FORMATS[dtype];
  throw invalidArgument("dtype", dtype, `one of ${Object.keys(FORMATS).join(", ")}`);
}

/** The number that a bit pattern stands for. @throws NormropeError `invalid-argument`. */
export function decode(dtype: Dtype, bits: number): number {
  const { bytes, significandBits, minExponent, infinity } = formatOf(dtype);
  const most = 2 ** (8 * bytes) - 1;
  if (!Number.isInteger(bits) || bits < 0 || bits > most) {
    throw invalidArgument("bits", bits, `a whole number from 0 to ${most}`);
  }
  const signBit = 2 ** (8 * bytes - 1);
  const sign = bits & signBit ? -1 : 1;
  const magnitude = bits & (signBit - 1);
  const exponent = magnitude >> significandBits;
  const significand = magnitude & ((1 << significandBits) - 1);
  if (exponent === 0) return sign * significand * 2 ** (minExponent - significandBits);
  if (magnitude === infinity) return sign * Number.POSITIVE_INFINITY;
  if (magnitude > (infinity ?? signBit - 2)) return Number.NaN;
  return sign * (1 + significand / 2 ** significandBits) * 2 ** (exponent + minExponent - 1);
}

/**
 * The bit pattern nearest to a number, ties to even; beyond the largest it is infinity, or the largest if there is no infinity.
 * @throws NormropeError `invalid-argument`.
 */
export function encode(dtype: Dtype, value: number): number {
  const { bytes, significandBits, minExponent, maxExponent, infinity } = formatOf(dtype);
  if (typeof value !== "number") throw invalidArgument("value", value, "a number");
  const signBit = 2 ** (8 * bytes - 1);
  if (Number.isNaN(value))
    return infinity === undefined ? signBit - 1 : infinity | (1 << (significandBits - 1));
  const sign = value < 0 || Object.is(value, -0) ? signBit : 0;
  const beyond = infinity ?? signBit - 2;
  const magnitude = Math.abs(value);
  if (magnitude === Number.POSITIVE_INFINITY) return sign | beyond;
  const unit = ulp(dtype, magnitude);
  const rounded = roundHalfToEven(magnitude / unit) * unit;
  const exponent = Math.max(exponentOf(rounded), minExponent);
  if (exponent > maxExponent) return sign | beyond;
  // A subnormal has no hidden bit; adding the significand whole carries a normal one into the exponent field.
  const pattern =
    ((exponent - minExponent) << significandBits) + rounded / powerOfTwo(exponent - significandBits);
  return sign | Math.min(pattern, beyond);
}

/** The distance of neighbouring numbers of a dtype around a value. */
export function ulp(dtype: Dtype, value: number): number {
  const { significandBits, minExponent } = formatOf(dtype);
  return powerOfTwo(Math.max(exponentOf(value), minExponent) - significandBits);
}

const bits = new DataView(new ArrayBuffer(8));

/** floor(log2|x|), exact; -1023 for 0 and what is below float64's normal numbers. */
function exponentOf(x: number): number {
  bits.setFloat64(0, x);
  return ((bits.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/** 2^n, for n from -1022 to 1023. `2 ** n` is too slow for every judged element. */
function powerOfTwo(n: number): number {
  bits.setUint32(0, (n + 1023) << 20);
  bits.setUint32(4, 0);
  return bits.getFloat64(0);
}

function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return floor + Number(rest > 0.5 || (rest === 0.5 && floor % 2 === 1));
}

const decodingTables = new Map<Dtype, Float64Array>();

/** All numbers of a dtype by bit pattern. Callers share the table and must not write to it. */
export function decodingTable(dtype: Dtype): Float64Array {
  let table = decodingTables.get(dtype);
  if (table === undefined) {
    table = Float64Array.from({ length: 2 ** (8 * bytesOf(dtype)) }, (_, pattern) => decode(dtype, pattern));
    decodingTables.set(dtype, table);
  }
  return table;
}

/** The bytes of a number. */
export const bytesOf = (dtype: Dtype): 1 | 2 => formatOf(dtype).bytes;

/** Bit patterns as a buffer takes them. */
export type Patterns<D extends Dtype = Dtype> = D extends "e4m3" ? Uint8Array : Uint16Array;

/**
 * The bit patterns nearest to numbers, as buffers of a dtype take them.
 * @throws NormropeError `invalid-argument`.
 */
export function encodeAll<D extends Dtype>(dtype: D, values: ArrayLike<number>): Patterns<D> {
  if (Array.isArray(values) || ArrayBuffer.isView(values)) {
    const patterns = bytesOf(dtype) === 1 ? new Uint8Array(values.length) : new Uint16Array(values.length);
    return patterns.map((_, i) => encode(dtype, values[i] as number)) as Patterns<D>;
  }
  throw invalidArgument("values", values, "a list or a typed array of numbers");
}
