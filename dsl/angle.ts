/**
 * The angles of a position, for the reference.
 *
 * In: frequencies in radians for each step of position, and a position. Out: cosines and sines, exact to float64. Pure.
 */

interface Angles {
  readonly cosines: Float64Array;
  readonly sines: Float64Array;
}

/** The last results, as many as a token can have positions: all its heads share them. */
const LAST = 4;
let last: readonly (Angles & { readonly invFreq: Float64Array; readonly position: number })[] = [];

/**
 * Cosine and sine of `position * invFreq[i]`, exact to float64. The product's rounding error is found by Dekker's two-product
 * (1971) and added as a second rotation. |position| up to 2⁵³.
 */
export function angleAt(invFreq: Float64Array, position: number): Angles {
  const known = last.find((angles) => angles.invFreq === invFreq && angles.position === position);
  if (known !== undefined) return known;
  const cosines = new Float64Array(invFreq.length);
  const sines = new Float64Array(invFreq.length);
  invFreq.forEach((frequency, i) => {
    const product = position * frequency;
    const error = productError(position, frequency, product);
    const [c, s] = [Math.cos(product), Math.sin(product)];
    cosines[i] = c - s * error;
    sines[i] = s + c * error;
  });
  last = [{ cosines, sines, invFreq, position }, ...last.slice(0, LAST - 1)];
  return { cosines, sines };
}

function productError(x: number, y: number, product: number): number {
  const [xHigh, yHigh] = [upperHalf(x), upperHalf(y)];
  const [xLow, yLow] = [x - xHigh, y - yHigh];
  return xHigh * yHigh - product + xHigh * yLow + xLow * yHigh + xLow * yLow;
}

/** The upper 26 bits of a float64's significand: Veltkamp's split. */
function upperHalf(x: number): number {
  const scaled = 134217729 * x;
  return scaled - (scaled - x);
}
