/**
 * The words a user writes ops and spaces with.
 *
 * In: nothing. Out: types, and functions that return frozen data.
 * The compiler type-checks and reads the files written in this language and never runs them
 * (`generator/load/`), so nothing here computes: a function's signature is its meaning.
 */
import type { AxesOf, AxisName, AxisValues, EnumRange, IntegerRange } from "./axes.js";

export { type EnumRange, type IntegerRange, multipleOf, oneOf } from "./axes.js";

/** One head of one token: `[headDim]`, float32 inside the kernel; written as the stages applied to it so far. */
export interface Head {
  /** The stages in the order of application, each with its arguments by name. */
  readonly stages: readonly { readonly name: string; readonly args: object }[];
}
/** The norm's weight: `[headDim]`, in the kernel's dtype; q and k have one each. */
export interface Weight {
  readonly input: "weight";
}
/** Added to the mean of squares: float32, given at each call. */
export interface Eps {
  readonly input: "eps";
}
/** The token's angle for each rotated pair, and the attention factor: from the RoPE table and the position. */
export interface Angle {
  readonly input: "angle";
}
/** The value, of type `V`, that a config point has on an axis. */
export interface ValueOn<V> {
  /** The axis's name. */
  readonly axis: string;
  /** Carries the type only: it has no value. */
  readonly type?: V;
}

/** What `head` may use besides the head itself. */
export interface HeadContext {
  /** The point's value on each axis, as a stage takes it. */
  readonly axes: { readonly [Name in AxisName]: ValueOn<AxisValues[Name]> };
  /** The norm's weight of q or of k. */
  readonly weight: Weight;
  /** The norm's eps. */
  readonly eps: Eps;
  /** The angles of the token's position. */
  readonly angle: Angle;
}

/** Root mean square norm: `x * rsqrt(mean(x^2) + eps) * weight`. Source: Zhang and Sennrich 2019, eq. 4. */
export function norm(x: Head, args: { weight: Weight; eps: Eps }): Head {
  return apply(x, "norm", args);
}

/**
 * Rotary embedding of the leading `dim` elements: each pair `(a, b)` becomes
 * `(a cos - b sin, b cos + a sin)` with the pair's angle at the token's position, times the attention factor.
 * Source: Su et al. 2021, eq. 34; the attention factor is YaRN's (Peng et al. 2023, section 3.4).
 */
export function rotate(
  x: Head,
  args: { angle: Angle; pairs: ValueOn<AxisValues["rope"]>; dim: ValueOn<AxisValues["rotaryDim"]> },
): Head {
  return apply(x, "rotate", args);
}

function apply(x: Head, name: string, args: object): Head {
  return Object.freeze({ stages: Object.freeze([...x.stages, Object.freeze({ name, args })]) });
}

/** Ranges that an op narrows, by axis. */
export type Ranges = {
  readonly [Name in AxisName]?: AxisValues[Name] extends string ? EnumRange<AxisValues[Name]> : IntegerRange;
};

/** What a fused kernel does to one head, over the axes of its stages. */
export interface Op<R extends Ranges = Ranges> {
  /** The first part of every kernel id: lower case letters, digits and single underscores. */
  readonly name: string;
  /** Fewer values for some axes than `dsl/axes.ts` allows. Default: all. */
  readonly ranges?: R;
  /** One expression of stages: it is read, not run. */
  readonly head: (x: Head, context: HeadContext) => Head;
}

/** Declares an op. */
export function defineOp<R extends Ranges>(op: Op<R>): Op<R> {
  return Object.freeze(op);
}

/** What an entry says of an axis: a list of values, or one value. */
type Values<V> = V | readonly V[];

type Allowed<R, Name extends AxisName> = R extends { readonly [N in Name]: EnumRange<infer V> }
  ? V
  : AxisValues[Name];

/** The product of the values of every axis; an axis with a default may be left out. */
export type Entry<R extends Ranges = Ranges> = AxesOf<{
  readonly [Name in AxisName]: Values<Allowed<R, Name>>;
}>;

/** A wish for kernels, as `defineSpace` returns it. */
export interface Space<R extends Ranges = Ranges> {
  /** What the kernels do. */
  readonly op: Op<R>;
  /** One product, or a list of products whose points are all wanted. */
  readonly entries: Entry<R> | readonly Entry<R>[];
}

/**
 * The points that kernels of an op are wanted for: one product of axis values, or a list of products. A config exports
 * one space, or a list of them where a library is to hold several ops.
 */
export function defineSpace<R extends Ranges>(op: Op<R>, entries: Entry<R> | readonly Entry<R>[]): Space<R> {
  return Object.freeze({ op, entries });
}
