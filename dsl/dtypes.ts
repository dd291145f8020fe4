/** The table of floating-point formats of 16 and 8 bits. Nothing else knows how many bytes a number has. */

/**
 * The bytes of a number, the bits of its significand that are stored, the exponents of the smallest and the largest normal number, and
 * the pattern of infinity. A format without infinity saturates instead, and its last pattern is a NaN.
 */
export const FORMATS = {
  bf16: { bytes: 2, significandBits: 7, minExponent: -126, maxExponent: 127, infinity: 0x7f80 },
  f16: { bytes: 2, significandBits: 10, minExponent: -14, maxExponent: 15, infinity: 0x7c00 },
  e4m3: { bytes: 1, significandBits: 3, minExponent: -6, maxExponent: 8, infinity: undefined },
} as const;

/** The name of a format. */
export type Format = keyof typeof FORMATS;
