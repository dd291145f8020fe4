/**
 * Which points there can be: the ranges of the axes, and what they demand of each other.
 *
 * In: axes, a value or a point. Out: whether it can be, or the first rule that it breaks, with the reason and the values.
 * Pure. The runtime asks here too, so that "why not" has one answer.
 */
import type { Axis, AxisValue } from "./axes.js";
import { hasMeaning, type Values } from "./points.js";

/** A combination that a rule forbids. */
export interface Rejection {
  readonly rule: string;
  readonly reason: string;
  readonly values: Readonly<Record<string, AxisValue>>;
}

/** Whether an axis can have a value at all; whether it goes with the other axes is for `rejectionOf` to say. */
export function isInRange(axis: Axis, value: unknown): value is AxisValue {
  if (axis.kind === "enum") return typeof value === "string" && axis.values.includes(value);
  return (
    typeof value === "number" &&
    Number.isInteger(value) &&
    value % axis.step === 0 &&
    value >= axis.min &&
    value <= axis.max
  );
}

export function describeRange(axis: Axis): string {
  if (axis.kind === "enum") return `one of ${axis.values.map((value) => JSON.stringify(value)).join(", ")}`;
  const bound = axis.within === undefined ? `${axis.max}` : `${axis.within} (at most ${axis.max})`;
  return `a multiple of ${axis.step} from ${axis.min} to ${bound}`;
}

/** The name that an axis has for what others call it; undefined where it has none. */
export function aliasOf(axis: Axis, value: unknown): string | undefined {
  if (axis.kind !== "enum" || typeof value !== "string") return undefined;
  const word = value
    .toLowerCase()
    .replace(/^torch\./, "")
    .replaceAll(/[-_]/g, "");
  const name = new Map(Object.entries(axis.aliases ?? {})).get(word);
  return name !== undefined && axis.values.includes(name) ? name : undefined;
}

/** The first axis whose value it cannot have at all. An axis that means nothing at the point has none. */
export function axisOutside(axes: readonly Axis[], point: Values): Axis | undefined {
  return axes.find((axis) => {
    const value = point[axis.name];
    return value === undefined ? hasMeaning(axis, point) : !isInRange(axis, value);
  });
}

/** The first rule that a point breaks whose values are each in their range. */
export function rejectionOf(axes: readonly Axis[], point: Values): Rejection | undefined {
  for (const axis of axes) {
    const { name, within, when = {} } = axis;
    const value = point[name];
    if (value === undefined) continue;
    if (!hasMeaning(axis, point)) {
      const where = Object.keys(when).map((other) => `${other} is ${point[other]}`);
      return rejection(point, [name, ...Object.keys(when)], {
        rule: `${name}_without_meaning`,
        reason: `${name} means nothing where ${where.join(" and ")}`,
      });
    }
    const bound = within === undefined ? undefined : point[within];
    if (bound !== undefined && value > bound) {
      return rejection(point, [within ?? "", name], {
        rule: `${name}_within_${within}`,
        reason: `${name} ${value} is more than ${within} ${bound}`,
      });
    }
  }
  return undefined;
}

function rejection(
  point: Values,
  names: readonly string[],
  broken: Pick<Rejection, "rule" | "reason">,
): Rejection {
  return { ...broken, values: Object.fromEntries(names.map((name) => [name, point[name] ?? ""])) };
}
