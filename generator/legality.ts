/**
 * The named rules that a point must obey beyond the ranges of its axes.
 *
 * In: a point. Out: the first rule that it breaks, with the reason and the values, or undefined. Pure.
 * The runtime asks these rules too, so that "why not" has one answer.
 */
import type { ConfigPoint } from "../runtime/manifest.js";
import type { Rejection } from "./ir.js";

interface Rule {
  readonly name: string;
  /** The reason why the rule forbids the point, or undefined. */
  readonly forbids: (point: ConfigPoint) => string | undefined;
  readonly axes: readonly (keyof ConfigPoint)[];
}

export const RULES: readonly Rule[] = [
  {
    name: "rotary_dim_within_head",
    axes: ["headDim", "rotaryDim"],
    forbids: ({ headDim, rotaryDim }) =>
      rotaryDim > headDim ? `a head of ${headDim} elements has no ${rotaryDim} to rotate` : undefined,
  },
];

export function rejectionOf(point: ConfigPoint): Rejection | undefined {
  for (const rule of RULES) {
    const reason = rule.forbids(point);
    if (reason === undefined) continue;
    const values = Object.fromEntries(rule.axes.map((axis) => [axis, point[axis]]));
    return { rule: rule.name, reason, values };
  }
  return undefined;
}
