/**
 * Sixteen-bit floating point in JavaScript, which has none on Node 20.
 *
 * In: bit patterns or numbers. Out: numbers or bit patterns, rounded to nearest even as the kernels do. Pure.
 */
import type { ConfigPoint } from "../dsl/manifest.js";
import { invalidArgument } from "./errors.js";

/** Element type of the heads and the weights. */
export type Dtype = ConfigPoint["dtype"];

/** Bits of the significand that are stored, and the exponent of the smallest normal number. */
const FORMATS = {
  bf16: { significandBits: 7, minExponent: -126, maxExponent: 127 },
  f16: { significandBits: 10, minExponent: -14, maxExponent: 15 },
} as const satisfies Record<Dtype, object>;

function formatOf(dtype: Dtype) {
  if (typeof dtype === "string" && Object.hasOwn(FORMATS, dtype)) return FORMATS[dtype];
  throw invalidArgument("dtype", dtype, `one of ${Object.keys(FORMATS).join(", ")}`);
}

/** The number that a bit pattern stands for. @throws NormropeError `invalid-argument`. */
export function decode(dtype: Dtype, bits: number): number {
  const { significandBits, minExponent, maxExponent } = formatOf(dtype);
  if (!Number.isInteger(bits) || bits < 0 || bits > 0xffff) {
    throw invalidArgument("bits", bits, "a whole number from 0 to 65535");
  }
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> significandBits;
  const significand = bits & ((1 << significandBits) - 1);
  if (exponent === 0) return sign * significand * 2 ** (minExponent - significandBits);
  if (exponent === maxExponent - minExponent + 2) {
    return significand === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  return sign * (1 + significand / 2 ** significandBits) * 2 ** (exponent + minExponent - 1);
}

/**
 * The bit pattern nearest to a number, ties to even; beyond the largest it is infinity.
 * @throws NormropeError `invalid-argument`.
 */
export function encode(dtype: Dtype, value: number): number {
  const { significandBits, minExponent, maxExponent } = formatOf(dtype);
  if (typeof value !== "number") throw invalidArgument("value", value, "a number");
  const infinity = (maxExponent - minExponent + 2) << significandBits;
  if (Number.isNaN(value)) return infinity | (1 << (significandBits - 1));
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude === Number.POSITIVE_INFINITY) return sign | infinity;
  const unit = ulp(dtype, magnitude);
  const rounded = roundHalfToEven(magnitude / unit) * unit;
  const exponent = Math.max(exponentOf(rounded), minExponent);
  if (exponent > maxExponent) return sign | infinity;
  // A subnormal has no hidden bit; adding the significand whole carries a normal one into the exponent field.
  return (
    sign | (((exponent - minExponent) << significandBits) + rounded / powerOfTwo(exponent - significandBits))
  );
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

/** All 65536 numbers of a dtype by bit pattern. Callers share the table and must not write to it. */
export function decodingTable(dtype: Dtype): Float64Array {
  let table = decodingTables.get(dtype);
  if (table === undefined) {
    table = Float64Array.from({ length: 0x10000 }, (_, pattern) => decode(dtype, pattern));
    decodingTables.set(dtype, table);
  }
  return table;
}

/**
 * The bit patterns nearest to numbers, as buffers of sixteen-bit floats take them.
 * @throws NormropeError `invalid-argument`.
 */
export function encodeAll(dtype: Dtype, values: ArrayLike<number>): Uint16Array {
  if (Array.isArray(values) || ArrayBuffer.isView(values)) {
    return Uint16Array.from(values, (value) => encode(dtype, value));
  }
  throw invalidArgument("values", values, "a list or a typed array of numbers");
}
