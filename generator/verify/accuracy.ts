/**
 * The accuracy of a kernel's output against the oracle.
 *
 * In: outputs, decoded, and the oracle's heads. Out: the largest error as a multiple of the allowed error, and the
 * relative error over all elements. Pure.
 */
import type { ReferenceHead } from "../../dsl/stage.js";
import { type Dtype, decode, encode, ulp } from "../../runtime/dtype.js";

/** The allowance in ulp: one rounding to nearest, and a little for float32. */
const ROUNDING_ULPS = 0.51;
/** The limit of ‖out − y‖ / ‖y‖: that of rounding alone (1.66e-3, 2.1e-4, 2.66e-2), and a little more. */
export const REL_ERROR_LIMIT: Readonly<Record<Dtype, number>> = { bf16: 1.7e-3, f16: 2.2e-4, e4m3: 2.8e-2 };

/** The fewest elements for which the relative error is meaningful. */
export const REL_ERROR_MIN_ELEMENTS = 1e5;

interface Squares {
  error: number;
  norm: number;
  elements: number;
}

export class Accuracy {
  /** The kernel's. */
  readonly dtype: Dtype;
  elements = 0;
  /** Outputs that are not `y` itself. A kernel that rounds as a model's code has none where sums are exact. */
  differing = 0;
  /** The largest error as a multiple of the allowance: at most 1 for a correct kernel; infinite if an output is NaN. */
  maxError = 0;
  readonly #squares = new Map<Dtype, Squares>();

  constructor(dtype: Dtype) {
    this.dtype = dtype;
  }

  /** `bound`: float32's possible distance from `y`. Because of cancellation, no bound in ulps alone exists. */
  add(output: number, y: number, bound: number, dtype = this.dtype): void {
    const error = Math.abs(output - y);
    const allowed = ROUNDING_ULPS * ulp(dtype, y) + bound;
    const multiple = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / allowed;
    if (multiple > this.maxError) this.maxError = multiple;
    const squares = this.#squaresOf(dtype);
    squares.error += error * error;
    squares.norm += y * y;
    squares.elements += 1;
    this.elements += 1;
    const stored = dtype === this.dtype ? y : decode(dtype, encode(dtype, Math.fround(y)));
    if (output !== stored) this.differing += 1;
  }

  addHead(output: Float64Array, head: ReferenceHead, dtype = this.dtype): void {
    for (let i = 0; i < output.length; i++) {
      this.add(output[i] ?? Number.NaN, head.y[i] ?? Number.NaN, head.error[i] ?? 0, dtype);
    }
  }

  #squaresOf(dtype: Dtype): Squares {
    const squares = this.#squares.get(dtype) ?? { error: 0, norm: 0, elements: 0 };
    this.#squares.set(dtype, squares);
    return squares;
  }

  /** ‖out − y‖ / ‖y‖ over everything added so far: in the kernel's dtype, or in the other if there is nothing in it. */
  get relError(): number {
    const [first = this.dtype] = this.#squares.keys();
    const { error, norm } = this.#squaresOf(this.#squares.has(this.dtype) ? this.dtype : first);
    return norm === 0 ? 0 : Math.sqrt(error / norm);
  }

  /** The largest of these errors, over its dtype's limit. Dtypes with too few elements do not count. */
  get relErrorOverLimit(): number {
    const multiples = [...this.#squares].map(([dtype, { error, norm, elements }]) =>
      elements < REL_ERROR_MIN_ELEMENTS || norm === 0 ? 0 : Math.sqrt(error / norm) / REL_ERROR_LIMIT[dtype],
    );
    return Math.max(0, ...multiples);
  }
}
