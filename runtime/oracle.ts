/**
 * What the op means, from its equations, in float64.
 *
 * In: a head's elements, its weight, the token's position. Out: the exact result, and the size of what each element
 * was made from, by which rounding is judged. Knows nothing of lanes, vectors or tables. Pure.
 */
import { invalidArgument } from "./errors.js";
import type { ConfigPoint, Stage } from "./manifest.js";
import { resolveStageArgs } from "./manifest.js";

/** What the stages are given besides the head. */
export interface OracleInputs {
  /** `[headDim]` */
  readonly weight: Float64Array;
  readonly eps: number;
  readonly angle: Angle;
}

/** Cosine and sine of `position * invFreq[i]`, and what both are multiplied by. */
export interface Angle {
  readonly cosine: Float64Array;
  readonly sine: Float64Array;
  readonly attentionFactor: number;
}

export interface OracleHead {
  /** `[headDim]` */
  readonly y: Float64Array;
  /** `[headDim]`: for a rotated element max(|a|, |b|) of its pair times the attention factor, else |y|. */
  readonly magnitude: Float64Array;
}

type StageArgs = Readonly<Record<string, string | number>>;
type StageFunction = (head: OracleHead, args: StageArgs, inputs: OracleInputs) => OracleHead;

/** One function for each stage of the DSL, by its name there. */
const STAGES: Readonly<Record<string, StageFunction>> = {
  norm({ y }, _args, { weight, eps }) {
    const meanSquare = y.reduce((sum, x) => sum + x * x, 0) / y.length;
    const scale = 1 / Math.sqrt(meanSquare + eps);
    const normed = y.map((x, i) => x * scale * at(weight, i));
    return { y: normed, magnitude: normed.map(Math.abs) };
  },

  rotate({ y, magnitude }, { pairs, dim }, { angle }) {
    const rotated = y.slice();
    const sizes = magnitude.slice();
    const half = Number(dim) / 2;
    const factor = angle.attentionFactor;
    for (let i = 0; i < half; i++) {
      const [first, second] = pairs === "interleaved" ? [2 * i, 2 * i + 1] : [i, i + half];
      const [a, b] = [at(y, first), at(y, second)];
      const [cosine, sine] = [at(angle.cosine, i), at(angle.sine, i)];
      rotated[first] = factor * (a * cosine - b * sine);
      rotated[second] = factor * (b * cosine + a * sine);
      sizes[first] = sizes[second] = Math.abs(factor) * Math.max(Math.abs(a), Math.abs(b));
    }
    return { y: rotated, magnitude: sizes };
  },
};

/** One head through the stages of an op at a config point. */
export function oracleHead(
  stages: readonly Stage[],
  point: ConfigPoint,
  x: Float64Array,
  inputs: OracleInputs,
): OracleHead {
  const start: OracleHead = { y: x, magnitude: x.map(Math.abs) };
  return stages.reduce((head, stage) => {
    const apply = STAGES[stage.name];
    if (apply === undefined)
      throw invalidArgument("stage", stage.name, "a function of runtime/oracle.ts: write it");
    return apply(head, resolveStageArgs(stage, point), inputs);
  }, start);
}

/**
 * Cosine and sine at a position, exact to float64 also where `position * invFreq` is not: the product's rounding
 * error is found by Dekker's two-product (1971) and turned by as well. |position| up to 2⁵³.
 */
export function angleAt(invFreq: Float64Array, position: number, attentionFactor: number): Angle {
  const cosine = new Float64Array(invFreq.length);
  const sine = new Float64Array(invFreq.length);
  invFreq.forEach((frequency, i) => {
    const product = position * frequency;
    const error = productError(position, frequency, product);
    const [c, s] = [Math.cos(product), Math.sin(product)];
    cosine[i] = c - s * error;
    sine[i] = s + c * error;
  });
  return { cosine, sine, attentionFactor };
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

function at(array: Float64Array, i: number): number {
  const value = array[i];
  if (value === undefined) throw new RangeError(`index ${i} of ${array.length}`);
  return value;
}
