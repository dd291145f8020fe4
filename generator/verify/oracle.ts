/**
 * The oracle: an op's result for one head, from its stages' references, in float64.
 *
 * In: the stages of a side, a point, the head's elements and its inputs. Out: the exact result, and a bound of
 * float32's error. Knows nothing of lanes, vectors or tables. Pure.
 */
import type { Values } from "../../dsl/points.js";
import { type StageCall, stageNamed, valuesOf } from "../../dsl/sides.js";
import type { ReferenceHead, ReferenceInputs } from "../../dsl/stage.js";

/** Applies the stages of a side to one head. `x`: `[headDim]`, exact. */
export function oracleHead(
  calls: readonly StageCall[],
  point: Values,
  x: Float64Array,
  inputs: ReferenceInputs,
): ReferenceHead {
  const start: ReferenceHead = { y: x, error: new Float64Array(x.length) };
  return calls.reduce(
    (head, call) => stageNamed(call.name).reference(head, valuesOf(call, point) as never, inputs),
    start,
  );
}
