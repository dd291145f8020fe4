/**
 * How far a kernel's output is from the oracle's.
 *
 * In: outputs, decoded, and the oracle's heads. Out: the largest error as a multiple of what is allowed, and the
 * relative error over all elements. Pure.
 */

import type { ReferenceHead } from "../../dsl/stage.js";
import { type Dtype, ulp } from "../../runtime/dtype.js";

/** Rounding once to nearest, and a little for what float32 does before it, in units in the last place. */
const ROUNDING_ULPS = 0.51;
/** ‖out − y‖ / ‖y‖ that rounding alone comes to (1.66e-3, 2.1e-4), and a little more. */
export const REL_ERROR_LIMIT: Readonly<Record<Dtype, number>> = { bf16: 1.7e-3, f16: 2.2e-4 };

/** Elements without which the relative error says little. */
export const REL_ERROR_MIN_ELEMENTS = 1e5;

export class Accuracy {
  readonly dtype: Dtype;
  elements = 0;
  /** The largest error as a multiple of the allowance: at most 1 for a right kernel; infinite where an output is NaN. */
  maxError = 0;
  #squaredError = 0;
  #squaredNorm = 0;

  constructor(dtype: Dtype) {
    this.dtype = dtype;
  }

  /** `bound`: how far float32 may be from `y`. Cancellation makes a bound in ulps alone impossible. */
  add(output: number, y: number, bound: number): void {
    const error = Math.abs(output - y);
    const allowed = ROUNDING_ULPS * ulp(this.dtype, y) + bound;
    const multiple = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / allowed;
    if (multiple > this.maxError) this.maxError = multiple;
    this.#squaredError += error * error;
    this.#squaredNorm += y * y;
    this.elements += 1;
  }

  addHead(output: Float64Array, head: ReferenceHead): void {
    for (let i = 0; i < output.length; i++) {
      this.add(output[i] ?? Number.NaN, head.y[i] ?? Number.NaN, head.error[i] ?? 0);
    }
  }

  /** ‖out − y‖ / ‖y‖ over everything added so far. */
  get relError(): number {
    return this.#squaredNorm === 0 ? 0 : Math.sqrt(this.#squaredError / this.#squaredNorm);
  }
}
