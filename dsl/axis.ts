/**
 * What an axis is: values that a kernel can be specialised by, and what is to be known of them.
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

/** The values of an axis, which an op may narrow. */
export type Range = IntegerRange | EnumRange;

/** What the table says of an axis besides its values. */
interface Role {
  /** The value where a config or a call leaves the axis out. A kernel id does not spell it. */
  readonly default?: number | string | undefined;
  /** The axis whose value is taken where this one is left out. A kernel id spells it. */
  readonly follows?: string | undefined;
  /** The axis whose value is the largest that this one can have. */
  readonly within?: string | undefined;
  /** The values of earlier axes at which this one means something; elsewhere it is no part of a point. Default: all. */
  readonly when?: Readonly<Record<string, readonly (number | string)[]>> | undefined;
  /** How a kernel id spells a value: a number behind this letter, a name as `tags` has it or else as it is. */
  readonly tag?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** What others call a value, in small letters and without dashes. */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
  /** Whether ids and the canonical order begin with the axis. */
  readonly leads?: boolean | undefined;
  /** Whether the tensors of a call say the value, so that it is no argument of its own. */
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

/** A row whose keys are known to the types. */
export const axis = <R extends Range, const O extends Role>(range: R, role: O): R & O => ({
  ...range,
  ...role,
});

/** The type of an axis's values. */
export type ValueOf<R> = R extends EnumRange<infer V> ? V : number;

export type AxisValue = number | string;

/** Axes by their names. */
export type Axes = { readonly [name: string]: Range & Role };
