/**
 * The words a user writes ops and spaces with.
 *
 * In: nothing. Out: types, and functions that return frozen data.
 * The compiler type-checks and reads the files written in this language and never runs them
 * (`generator/load/`), so nothing here computes: a function's signature is its meaning.
 */
import type { AxesOf, AxisName, AxisValues, OpAxisName } from "./axes.js";
import type { EnumRange, IntegerRange } from "./axis.js";
import type { Head } from "./stage.js";

export { type EnumRange, type IntegerRange, multipleOf, oneOf } from "./axis.js";
export type { Head } from "./stage.js";

/** Ranges that an op narrows, by axis: of those that its stages leave open. */
export type Ranges<Open extends AxisName = AxisName> = {
  readonly [Name in Open | OpAxisName]?: AxisValues[Name] extends string
    ? EnumRange<AxisValues[Name]>
    : IntegerRange;
};

/** Stages around a head, in one expression: it is read, not run. */
export type Expression<Open extends string> = (x: Head<never>) => Head<Open>;

/** What a fused kernel does to the heads of each side, over the axes of its stages. */
export interface Op<Open extends AxisName = AxisName, R extends Ranges = Ranges> {
  /** The first part of every kernel id: lower case letters, digits and single underscores. */
  readonly name: string;
  /** Fewer values for some axes than `dsl/axes.ts` allows. Default: all. */
  readonly ranges?: R;
  /** What is done to each head of q and of k alike. */
  readonly head?: Expression<Open>;
  /** What is done to each query head. A side that is left out is no part of the kernel. */
  readonly q?: Expression<Open>;
  /** What is done to each key head. */
  readonly k?: Expression<Open>;
  /** What is done to each value head. */
  readonly v?: Expression<Open>;
}

/** Nothing is narrowed. */
type None = Record<never, never>;

/** Declares an op: the stages of each side, innermost first. */
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

/** What an entry says of an axis: a list of values, or one value. */
type Values<V> = V | readonly V[];

type Allowed<R, Name extends AxisName> = R extends { readonly [N in Name]: EnumRange<infer V> }
  ? V
  : AxisValues[Name];

/** The product of the values of every axis; an axis with a default may be left out. */
export type Entry<Open extends AxisName = AxisName, R extends Ranges = Ranges> = AxesOf<
  { readonly [Name in AxisName]: Values<Allowed<R, Name>> },
  Open | OpAxisName
>;

/** A wish for kernels, as `defineSpace` returns it. */
export interface Space<Open extends AxisName = AxisName, R extends Ranges = Ranges> {
  /** What the kernels do. */
  readonly op: Op<Open, R>;
  /** One product, or a list of products whose points are all wanted. */
  readonly entries: Entry<Open, R> | readonly Entry<Open, R>[];
}

/**
 * The points that kernels of an op are wanted for: one product of axis values, or a list of products. A config exports
 * one space, or a list of them where a library is to hold several ops.
 */
export function defineSpace<Open extends AxisName, R extends Ranges>(
  op: Op<Open, R>,
  entries: Entry<Open, R> | readonly Entry<Open, R>[],
): Space<Open, R> {
  return Object.freeze({ op, entries });
}
