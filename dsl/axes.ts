/**
 * The table of axes: every value that a kernel can be specialised by.
 *
 * In: nothing. Out: the table, in one order, and the types that follow from it. Everything that goes through the axes of
 * an op reads them from here: schema, ids, lookup, order, `list`, `add`, `report`, `bench`, bindings, Python.
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

/** A row whose keys are known to the types below. */
const axis = <R extends Range, const O extends Role>(range: R, role: O): R & O => ({ ...range, ...role });

const TABLE = {
  /** Elements of one head. */
  headDim: axis(multipleOf(8, { min: 16, max: 1024 }), { tag: "d", isImplied: true }),
  /** Leading elements of a head that are rotated; the rest passes through. Default: `headDim`. */
  rotaryDim: axis(multipleOf(2, { min: 2, max: 1024 }), {
    ...{ tag: "r", within: "headDim", follows: "headDim" },
    isImplied: true,
  }),
  /** Which elements rotate together: NeoX `(i, i + rotaryDim/2)`, interleaved `(2i, 2i + 1)`. */
  rope: axis(oneOf("neox", "interleaved"), {
    aliases: { gptneox: "neox", rotatehalf: "neox", gptj: "interleaved" },
  }),
  /** Element type of q, k and the weights. */
  dtype: axis(oneOf("bf16", "f16"), {
    aliases: { bfloat16: "bf16", float16: "f16", fp16: "f16", half: "f16" },
    leads: true,
    isImplied: true,
  }),
};

type Table = typeof TABLE;
type ValueOf<R> = R extends EnumRange<infer V> ? V : number;

export type AxisName = keyof Table;
export type AxisValue = number | string;

/** The value of each axis, whether or not it means something everywhere. */
export type AxisValues = { readonly [Name in keyof Table]: ValueOf<Table[Name]> };

/** One point of the config space: what a kernel is specialised for. */
export type ConfigPoint = {
  readonly [Name in keyof Table as Table[Name] extends { when: object } ? never : Name]: ValueOf<Table[Name]>;
} & {
  readonly [Name in keyof Table as Table[Name] extends { when: object } ? Name : never]?:
    | ValueOf<Table[Name]>
    | undefined;
};

type CanBeLeftOut = { default: number | string } | { follows: string };

/** Axes by name: `Each` of those that must be written, and of those that may be left out. */
export type AxesOf<Each extends { readonly [Name in AxisName]: unknown }> = {
  readonly [Name in keyof Table as Table[Name] extends CanBeLeftOut ? never : Name]: Each[Name];
} & {
  readonly [Name in keyof Table as Table[Name] extends CanBeLeftOut ? Name : never]?: Each[Name] | undefined;
};

/** The dtypes that kernels are made for. */
export const DTYPES = TABLE.dtype.values;

/** What the table says of one axis. */
export const axisNamed = (name: AxisName): Axis => ({ name, ...TABLE[name] });

/** The rows of the table, in its order. */
export const AXES: readonly Axis[] = (Object.keys(TABLE) as AxisName[]).map(axisNamed);
