/**
 * The accuracy of a kernel's output against the oracle.
 *
 * In: outputs, decoded, and the oracle's heads. Out: the largest error as a multiple of the allowed error, and the
 * relative error over all elements. Pure.
 */
import type { ReferenceHead } from "../../dsl/stage.js";
import { type Dtype, ulp } from "../../runtime/dtype.js";

/** The allowance in ulp: one rounding to nearest, and a little for float32. */
const ROUNDING_ULPS = 0.51;
/** The limit of ‖out − y‖ / ‖y‖: that of rounding alone (1.66e-3, 2.1e-4), and a little more. */
export const REL_ERROR_LIMIT: Readonly<Record<Dtype, number>> = { bf16: 1.7e-3, f16: 2.2e-4 };

/** The fewest elements for which the relative error is meaningful. */
export const REL_ERROR_MIN_ELEMENTS = 1e5;

export class Accuracy {
  readonly dtype: Dtype;
  elements = 0;
  /** Outputs that are not `y` itself. A kernel that rounds as a model's code has none where sums are exact. */
  differing = 0;
  /** The largest error as a multiple of the allowance: at most 1 for a correct kernel; infinite if an output is NaN. */
  maxError = 0;
  #squaredError = 0;
  #squaredNorm = 0;

  constructor(dtype: Dtype) {
    this.dtype = dtype;
  }

  /** `bound`: float32's possible distance from `y`. Because of cancellation, no bound in ulps alone exists. */
  add(output: number, y: number, bound: number): void {
    const error = Math.abs(output - y);
    const allowed = ROUNDING_ULPS * ulp(this.dtype, y) + bound;
    const multiple = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / allowed;
    if (multiple > this.maxError) this.maxError = multiple;
    this.#squaredError += error * error;
    this.#squaredNorm += y * y;
    this.elements += 1;
    if (output !== y) this.differing += 1;
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
