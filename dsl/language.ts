/**
 * The words that users write ops and spaces with.
 *
 * In: nothing. Out: types, and functions that return frozen data.
 * The compiler type-checks and reads the files written in this language and never runs them
 * (`generator/load/`), so nothing here computes: a function's signature is its meaning.
 */
import type { AxesOf, AxisName, AxisValues, CommonAxisName } from "./axes.js";
import type { EnumRange, IntegerRange } from "./axis.js";
import type { Head } from "./stage.js";

export { type EnumRange, type IntegerRange, multipleOf, oneOf } from "./axis.js";
export type { Head } from "./stage.js";

/** Ranges that an op narrows, by axis. Only axes that its stages leave open. */
export type Ranges<Open extends AxisName = AxisName> = {
  readonly [Name in Open | CommonAxisName]?: AxisValues[Name] extends string
    ? EnumRange<AxisValues[Name]>
    : IntegerRange;
};

/** Stages around a head, as one expression. The compiler reads it and never runs it. */
export type Expression<Open extends string> = (x: Head<never>) => Head<Open>;

/** A fused operation: the stages of each side. */
export interface Op<Open extends AxisName = AxisName, R extends Ranges = Ranges> {
  /** The first part of every kernel id: lower-case letters, digits and single underscores. */
  readonly name: string;
  /** Fewer values for some axes than `dsl/axes.ts` allows. Default: all. */
  readonly ranges?: R;
  /** The stages of q and k alike. Short for `q` and `k`. */
  readonly head?: Expression<Open>;
  /** The stages of each query head. The kernel does not touch a side that is omitted. */
  readonly q?: Expression<Open>;
  /** The stages of each key head. */
  readonly k?: Expression<Open>;
  /** The stages of each value head. */
  readonly v?: Expression<Open>;
}

/** No ranges. */
type None = Record<never, never>;

/** Declares an op: the stages of each side. The innermost is applied first. */
export function defineOp<
  H extends AxisName = never,
  Q extends AxisName = never,
  K extends AxisName = never,
  V extends AxisName = never,
  R extends Ranges = None,
>(op: {
  readonly name: string;
  readonly ranges?: R & Ranges<NoInfer<H | Q | K | V>>;
  readonly head?: Expression<H>;
  readonly q?: Expression<Q>;
  readonly k?: Expression<K>;
  readonly v?: Expression<V>;
}): Op<H | Q | K | V, R> {
  return Object.freeze(op) as Op<H | Q | K | V, R>;
}

/** The values of an axis in an entry: a list, or one value. */
type Values<V> = V | readonly V[];

type Allowed<R, Name extends AxisName> = R extends { readonly [N in Name]: EnumRange<infer V> }
  ? V
  : AxisValues[Name];

/** A product of axis values. An axis with a default may be omitted. */
export type Entry<Open extends AxisName = AxisName, R extends Ranges = Ranges> = AxesOf<
  { readonly [Name in AxisName]: Values<Allowed<R, Name>> },
  Open | CommonAxisName
>;

/** The kernels that a config asks for: the result of `defineSpace`. */
export interface Space<Open extends AxisName = AxisName, R extends Ranges = Ranges> {
  /** The op of the kernels. */
  readonly op: Op<Open, R>;
  /** One product, or a list of products. */
  readonly entries: Entry<Open, R> | readonly Entry<Open, R>[];
}

/**
 * Asks for kernels of an op: one for each point of a product of axis values, or of a list of products. A config exports one
 * space, or a list of spaces if its library holds several ops.
 */
export function defineSpace<Open extends AxisName, R extends Ranges>(
  op: Op<Open, R>,
  entries: Entry<Open, R> | readonly Entry<Open, R>[],
): Space<Open, R> {
  return Object.freeze({ op, entries });
}
