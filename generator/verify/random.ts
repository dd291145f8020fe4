/**
 * Made-up data: the same on every machine.
 *
 * In: a seed. Out: random numbers, and bit patterns of floats of 16 or 8 bits. Pure, but for the state of a generator.
 */
import { bytesOf, type Dtype, encode, encodeAll, type Patterns } from "../../runtime/dtype.js";

/** xorshift32: uniform in [0, 1), the same on every machine. */
export function randomNumbers(seed: number): () => number {
  let state = (seed * 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** Longer data repeats after this many elements. It is prime, so repeats never align with heads. */
const PERIOD = 99_991;

/** The most distinct numbers for each scale. */
const DRAWN = 4096;
const SCALES = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8];
const BLOCK = 256;

/** Roughly normal values, in blocks of different scale. */
export function randomBits<D extends Dtype>(dtype: D, length: number, random: () => number): Patterns<D> {
  const drawn = Math.min(DRAWN, length);
  const normal = Float64Array.from({ length: drawn }, () => random() + random() + random() + random() - 2);
  const scaled = SCALES.map((scale) =>
    encodeAll<Dtype>(
      dtype,
      normal.map((value) => scale * value),
    ),
  );
  const bits: Patterns = bytesOf(dtype) === 1 ? new Uint8Array(length) : new Uint16Array(length);
  const period = Math.min(length, PERIOD);
  let numbers = bits;
  for (let i = 0; i < period; i++) {
    if (i % BLOCK === 0) numbers = scaled[Math.floor(random() * SCALES.length)] ?? bits;
    bits[i] = numbers[Math.floor(random() * drawn)] ?? 0;
  }
  for (let filled = period; filled < length; filled += period) {
    bits.copyWithin(filled, 0, Math.min(period, length - filled));
  }
  return bits as Patterns<D>;
}

/** Integers from -3 to 3; each `span` of them is zero in sum, whatever its place. */
export function mirroredIntegers(
  dtype: Dtype,
  length: number,
  span: number,
  random: () => number,
): Uint16Array {
  const bits = new Uint16Array(length);
  const half = span / 2;
  const drawn = Float64Array.from({ length: half }, () => Math.floor(7 * random()) - 3);
  for (let i = 0; i < length; i++) {
    const sign = Math.floor(i / half) % 2 === 0 ? 1 : -1;
    bits[i] = encode(dtype, sign * (drawn[i % half] ?? 0));
  }
  return bits;
}

/** Numbers around 1, or around 0. */
export function randomWeights(
  dtype: Dtype,
  length: number,
  random: () => number,
  isSigned = false,
): Uint16Array {
  return Uint16Array.from({ length }, () => encode(dtype, weight(random, isSigned)));
}

/** Float32 numbers around 1, or around 0. */
export function randomFloats(length: number, random: () => number, isSigned = false): Float32Array {
  return Float32Array.from({ length }, () => weight(random, isSigned));
}

const weight = (random: () => number, isSigned: boolean) => (isSigned ? 2 * random() - 1 : 0.5 + random());
