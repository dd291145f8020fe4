/**
 * An axis: the values that a kernel can be specialised by, and how they are written.
 *
 * In: nothing. Out: types, and functions that return frozen data. Stages declare their axes with these.
 */

/** A whole number: a multiple of `step` from `min` to `max`. */
export interface IntegerRange {
  readonly kind: "integer";
  /** Every value is a multiple of it. */
  readonly step: number;
  /** The smallest value. */
  readonly min: number;
  /** The largest value. */
  readonly max: number;
}

/** One of a few names. */
export interface EnumRange<V extends string = string> {
  readonly kind: "enum";
  /** The names, in the order of the declaration. */
  readonly values: readonly V[];
}

/** The values of an axis. An op may narrow them. */
export type Range = IntegerRange | EnumRange;

/** Values of axes, by name. It is met if each axis has a value in its range. */
export type Condition = Readonly<Record<string, Range>>;

/** The properties of an axis besides its values. */
interface Role {
  /** The value if a config or a call omits the axis. A kernel id does not spell it. */
  readonly default?: number | string | undefined;
  /** The axis whose value this one takes if it is omitted. A kernel id spells it. */
  readonly follows?: string | undefined;
  /** The axis whose value is this one's maximum. */
  readonly within?: string | undefined;
  /** The values of earlier axes at which this one applies. Elsewhere it is no part of a point. Default: all. */
  readonly when?: Condition | undefined;
  /** How a kernel id spells a value: this letter and a number, or a name's entry in `tags`, or else the name itself. */
  readonly tag?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** Other names of a value, in lower case without dashes. */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
  /** Whether ids and the canonical order begin with this axis. */
  readonly leads?: boolean | undefined;
  /** Whether a call's tensors imply the value, so that Python has no argument for it. */
  readonly isImplied?: boolean | undefined;
}

/** An axis: a row of the table, or of an op that narrows it. */
export type Axis = Range & Role & { readonly name: string };

/** An axis of the multiples of `step` from `min` to `max`. */
export function multipleOf(step: number, range: { min: number; max: number }): IntegerRange {
  return Object.freeze({ kind: "integer", step, ...range });
}

/** An axis of the given names. */
export function oneOf<const V extends readonly string[]>(...values: V): EnumRange<V[number]> {
  return Object.freeze({ kind: "enum", values: Object.freeze(values) });
}

/** Whether a value lies in a range. */
export function isInRange(range: Range, value: unknown): value is AxisValue {
  if (range.kind === "enum") return range.values.some((name) => name === value);
  return (
    typeof value === "number" &&
    Number.isInteger(value) &&
    value % range.step === 0 &&
    value >= range.min &&
    value <= range.max
  );
}

/** A row whose keys TypeScript knows. */
export const axis = <R extends Range, const O extends Role>(range: R, role: O): R & O => ({
  ...range,
  ...role,
});

/** The type of an axis's values. */
export type ValueOf<R> = R extends EnumRange<infer V> ? V : number;

export type AxisValue = number | string;

/** Axes by their names. */
export type Axes = { readonly [name: string]: Range & Role };
