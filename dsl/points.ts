/**
 * Points of the config space, by the axes of an op.
 *
 * In: axes, in the order of the table, and values. Out: whole points, what a config writes of one, and one order for all.
 * Pure. Spells the name of no axis.
 */
import type { ConfigPoint } from "./axes.js";
import type { Axis, AxisValue } from "./axis.js";

/** Values of some axes, by name. */
export type Values = Readonly<Record<string, AxisValue | undefined>>;

/** The value on an axis; undefined where it means nothing. */
export const valueOn = ({ name }: Axis, values: Values): AxisValue | undefined => values[name];

/** Whether values are among those that something is bound to. */
export function isAt(when: Readonly<Record<string, readonly AxisValue[]>> = {}, values: Values): boolean {
  return Object.entries(when).every(([name, allowed]) => allowed.some((value) => value === values[name]));
}

/** Whether an axis means something beside the values of earlier axes. */
export const hasMeaning = ({ when }: Axis, values: Values): boolean => isAt(when, values);

/** The value of an axis that is left out beside the values of earlier axes; undefined where it cannot be. */
export function defaultOf(axis: Axis, values: Values): AxisValue | undefined {
  if (!hasMeaning(axis, values)) return undefined;
  return axis.follows === undefined ? axis.default : values[axis.follows];
}

/** Whether an axis can be left out at all. */
function isOptional({ default: fixed, follows }: Axis): boolean {
  return fixed !== undefined || follows !== undefined;
}

/** The values with every axis that they leave out at its default. What they hold is for `legality` to check. */
export function completed(axes: readonly Axis[], values: Values): ConfigPoint {
  let point: Values = {};
  for (const axis of axes) {
    const given = values[axis.name];
    const value = given ?? defaultOf(axis, point) ?? given; // a null of the caller's stays, to be shown
    if (value !== undefined) point = { ...point, [axis.name]: value };
  }
  return point as ConfigPoint;
}

/** The values with every axis that they leave out at its default, or else, for a name, at its first. */
export function withFirst(axes: readonly Axis[], values: Values): ConfigPoint {
  const first = axes.flatMap((axis) =>
    axis.kind === "enum" && !isOptional(axis) ? [[axis.name, axis.values[0]]] : [],
  );
  return completed(axes, { ...Object.fromEntries(first), ...values });
}

/** What a config writes for a point: the axes that are not at their default. */
export function written(axes: readonly Axis[], point: Values): readonly (readonly [Axis, AxisValue])[] {
  return axes.flatMap((axis) => {
    const value = point[axis.name];
    return value === undefined || value === defaultOf(axis, point) ? [] : [[axis, value] as const];
  });
}

export function isSamePoint(axes: readonly Axis[], a: Values, b: Values): boolean {
  return axes.every(({ name }) => a[name] === b[name]);
}

/** The axes in the order in which ids spell them and points are sorted. */
export function leadersFirst(axes: readonly Axis[]): readonly Axis[] {
  return [...axes.filter(({ leads }) => leads), ...axes.filter(({ leads }) => !leads)];
}

/** One order for every way to write a space, so that the emitted text does not depend on it. */
export function comparePoints(axes: readonly Axis[]): (a: Values, b: Values) => number {
  const names = leadersFirst(axes).map(({ name }) => name);
  return (a, b) =>
    names.map((name) => compareValues(a[name], b[name])).find((difference) => difference !== 0) ?? 0;
}

function compareValues(a: AxisValue = "", b: AxisValue = ""): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return a < b ? -1 : a > b ? 1 : 0;
}
