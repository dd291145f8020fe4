/**
 * The words a user writes ops and spaces with.
 *
 * In: nothing. Out: types, and functions that return frozen data.
 * The compiler type-checks and reads the files written in this language and never runs them
 * (`generator/load/`), so nothing here computes: a function's signature is its meaning.
 */

/** A whole number: a multiple of `step` from `min` to `max`. A `max` that names an axis is that axis's value. */
export interface IntegerAxis {
  readonly kind: "integer";
  /** Every value is a multiple of it. */
  readonly step: number;
  /** The smallest value. */
  readonly min: number;
  /** The largest value, or the axis that gives it. */
  readonly max: number | string;
  /** The axis whose value is taken where a space leaves this axis out. */
  readonly default?: string;
}

/** One of a few names. */
export interface EnumAxis<V extends string = string> {
  readonly kind: "enum";
  /** The names, in the order of the declaration. */
  readonly values: readonly V[];
}

/** What an op declares for an axis. */
export type Axis = IntegerAxis | EnumAxis;

/** The axes that this compiler knows how to specialise on; an op declares the range of each. */
export interface Axes {
  /** Elements of one head. */
  readonly headDim: IntegerAxis;
  /** Leading elements of a head that are rotated; the rest passes through. */
  readonly rotaryDim: IntegerAxis;
  /** Which elements rotate together: NeoX `(i, i + rotaryDim/2)`, interleaved `(2i, 2i + 1)`. */
  readonly rope: EnumAxis<"neox" | "interleaved">;
  /** Element type of q, k and the weights. */
  readonly dtype: EnumAxis<"bf16" | "f16">;
}

/** An axis of the multiples of `step` from `min` to `max`. */
export function multipleOf(step: number, range: { min: number; max: number }): IntegerAxis {
  return Object.freeze({ kind: "integer", step, ...range });
}

/** An axis of the even numbers from `min` to `max`, which may be the name of an axis; so may `default`. */
export function even(range: { min: number; max: number | "headDim"; default?: "headDim" }): IntegerAxis {
  return Object.freeze({ kind: "integer", step: 2, ...range });
}

/** An axis of the given names. */
export function oneOf<const V extends readonly string[]>(...values: V): EnumAxis<V[number]> {
  return Object.freeze({ kind: "enum", values: Object.freeze(values) });
}

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
export interface AxisValue<V> {
  /** The axis's name. */
  readonly axis: string;
  /** Carries the type only: it has no value. */
  readonly type?: V;
}

type ValueOf<A> = A extends EnumAxis<infer V> ? V : number;

/** What `head` may use besides the head itself. */
export interface HeadContext<A extends Axes> {
  /** The point's value on each axis, as a stage takes it. */
  readonly axes: { readonly [Name in keyof A]: AxisValue<ValueOf<A[Name]>> };
  /** The norm's weight of q or of k. */
  readonly weight: Weight;
  /** The norm's eps. */
  readonly eps: Eps;
  /** The angles of the token's position. */
  readonly angle: Angle;
}

/** Root mean square norm: `x * rsqrt(mean(x^2) + eps) * weight`. Source: Zhang and Sennrich 2019, eq. 4. */
export function rmsNorm(x: Head, args: { weight: Weight; eps: Eps }): Head {
  return apply(x, "rmsNorm", args);
}

/**
 * Rotary embedding of the leading `dim` elements: each pair `(a, b)` becomes
 * `(a cos - b sin, b cos + a sin)` with the pair's angle at the token's position, times the attention factor.
 * Source: Su et al. 2021, eq. 34; the attention factor is YaRN's (Peng et al. 2023, section 3.4).
 */
export function rotate(
  x: Head,
  args: { angle: Angle; pairs: AxisValue<"neox" | "interleaved">; dim: AxisValue<number> },
): Head {
  return apply(x, "rotate", args);
}

function apply(x: Head, name: string, args: object): Head {
  return Object.freeze({ stages: Object.freeze([...x.stages, Object.freeze({ name, args })]) });
}

/** What a fused kernel does to one head, over which axes. */
export interface Op<A extends Axes = Axes> {
  /** The first part of every kernel id: lower case letters, digits and single underscores. */
  readonly name: string;
  /** The range of each axis. */
  readonly axes: A;
  /** One expression of stages: it is read, not run. */
  readonly head: (x: Head, context: HeadContext<A>) => Head;
}

/** Declares an op. */
export function defineOp<A extends Axes>(op: Op<A>): Op<A> {
  return Object.freeze(op);
}

/** What an entry says of an axis: a list of values, or one value. */
type Values<V> = V | readonly V[];

/** The product of the values of every axis; `rotaryDim` may be left out and is then `headDim`. */
export type Entry<A extends Axes = Axes> = {
  readonly [Name in Exclude<keyof A, "rotaryDim">]: Values<ValueOf<A[Name]>>;
} & { readonly rotaryDim?: Values<number> };

/** A wish for kernels, as `defineSpace` returns it. */
export interface Space<A extends Axes = Axes> {
  /** What the kernels do. */
  readonly op: Op<A>;
  /** One product, or a list of products whose points are all wanted. */
  readonly entries: Entry<A> | readonly Entry<A>[];
}

/** The points that kernels are wanted for: one product of axis values, or a list of products. */
export function defineSpace<A extends Axes>(op: Op<A>, entries: Entry<A> | readonly Entry<A>[]): Space<A> {
  return Object.freeze({ op, entries });
}
