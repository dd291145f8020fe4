/**
 * Points of the config space, by the axes of an op.
 *
 * In: axes, in the order of the table, and values. Out: complete points, their short form in a config, and their order. Pure.
 * Names no axis.
 */
import type { ConfigPoint } from "./axes.js";
import { type Axis, type AxisValue, type Condition, isInRange } from "./axis.js";

/** Values of some axes, by name. */
export type Values = Readonly<Record<string, AxisValue | undefined>>;

/** The value of an axis; undefined if the axis does not apply. */
export const valueOn = ({ name }: Axis, values: Values): AxisValue | undefined => values[name];

/** Whether values meet a condition. */
export function isAt(when: Condition | undefined, values: Values): boolean {
  for (const name in when) {
    const range = when[name];
    if (range !== undefined && !isInRange(range, values[name])) return false;
  }
  return true;
}

/** Whether an axis applies, given the values of earlier axes. */
export const hasMeaning = ({ when }: Axis, values: Values): boolean => isAt(when, values);

/** The value of an omitted axis, given the values of earlier axes; undefined if it must be written. */
export function defaultOf(axis: Axis, values: Values): AxisValue | undefined {
  if (!hasMeaning(axis, values)) return undefined;
  return axis.follows === undefined ? axis.default : values[axis.follows];
}

/** Whether an axis may be omitted. */
function isOptional({ default: fixed, follows }: Axis): boolean {
  return fixed !== undefined || follows !== undefined;
}

/** Completes values with defaults. `legality` checks them. */
export function completed(axes: readonly Axis[], values: Values): ConfigPoint {
  let point: Values = {};
  for (const axis of axes) {
    const given = values[axis.name];
    const value = given ?? defaultOf(axis, point) ?? given; // a caller's null stays, for the message
    if (value !== undefined) point = { ...point, [axis.name]: value };
  }
  return point as ConfigPoint;
}

/** Completes values with defaults, and names without a default with their first value. */
export function withFirst(axes: readonly Axis[], values: Values): ConfigPoint {
  const first = axes.flatMap((axis) =>
    axis.kind === "enum" && !isOptional(axis) ? [[axis.name, axis.values[0]]] : [],
  );
  return completed(axes, { ...Object.fromEntries(first), ...values });
}

/** The axes that a config writes for a point: those not at their default. */
export function written(axes: readonly Axis[], point: Values): readonly (readonly [Axis, AxisValue])[] {
  return axes.flatMap((axis) => {
    const value = point[axis.name];
    return value === undefined || value === defaultOf(axis, point) ? [] : [[axis, value] as const];
  });
}

/** The axes whose values tell kernels apart: those without a default, and those of which a kernel has another value. */
export function telling(axes: readonly Axis[], points: readonly Values[]): readonly Axis[] {
  return axes.filter(
    (axis) =>
      points.some((point) => valueOn(axis, point) !== undefined) &&
      (axis.default === undefined ||
        points.some((point) => ![undefined, axis.default].includes(valueOn(axis, point)))),
  );
}

export function isSamePoint(axes: readonly Axis[], a: Values, b: Values): boolean {
  return axes.every(({ name }) => a[name] === b[name]);
}

/** The axes in the order of ids and of sorting. */
export function leadersFirst(axes: readonly Axis[]): readonly Axis[] {
  return [...axes.filter(({ leads }) => leads), ...axes.filter(({ leads }) => !leads)];
}

/** Orders points. The emitted text does not depend on how a space is written. */
export function comparePoints(axes: readonly Axis[]): (a: Values, b: Values) => number {
  const names = leadersFirst(axes).map(({ name }) => name);
  return (a, b) =>
    names.map((name) => compareValues(a[name], b[name])).find((difference) => difference !== 0) ?? 0;
}

function compareValues(a: AxisValue = "", b: AxisValue = ""): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return a < b ? -1 : a > b ? 1 : 0;
}
