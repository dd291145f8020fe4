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
  readonly step: number;
  readonly min: number;
  readonly max: number | string;
  /** The axis whose value is taken where a space leaves this axis out. */
  readonly default?: string;
}

/** One of a few names. */
export interface EnumAxis<V extends string = string> {
  readonly kind: "enum";
  readonly values: readonly V[];
}

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

export function multipleOf(step: number, range: { min: number; max: number }): IntegerAxis {
  return Object.freeze({ kind: "integer", step, ...range });
}

export function even(range: { min: number; max: number | "headDim"; default?: "headDim" }): IntegerAxis {
  return Object.freeze({ kind: "integer", step: 2, ...range });
}

export function oneOf<const V extends readonly string[]>(...values: V): EnumAxis<V[number]> {
  return Object.freeze({ kind: "enum", values: Object.freeze(values) });
}

/** One head of one token: `[headDim]`, float32 inside the kernel; written as the stages applied to it so far. */
export interface Head {
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
  readonly axis: string;
  readonly type?: V;
}

type ValueOf<A> = A extends EnumAxis<infer V> ? V : number;

export interface HeadContext<A extends Axes> {
  readonly axes: { readonly [Name in keyof A]: AxisValue<ValueOf<A[Name]>> };
  readonly weight: Weight;
  readonly eps: Eps;
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
  readonly name: string;
  readonly axes: A;
  readonly head: (x: Head, context: HeadContext<A>) => Head;
}

export function defineOp<A extends Axes>(op: Op<A>): Op<A> {
  return Object.freeze(op);
}

/** The product of the listed values of every axis; `rotaryDim` may be left out and is then `headDim`. */
export type Entry<A extends Axes = Axes> = {
  readonly [Name in Exclude<keyof A, "rotaryDim">]: readonly ValueOf<A[Name]>[];
} & { readonly rotaryDim?: readonly number[] };

export interface Space<A extends Axes = Axes> {
  readonly op: Op<A>;
  readonly entries: Entry<A> | readonly Entry<A>[];
}

/** The points that kernels are wanted for: one product of axis values, or a list of products. */
export function defineSpace<A extends Axes>(op: Op<A>, entries: Entry<A> | readonly Entry<A>[]): Space<A> {
  return Object.freeze({ op, entries });
}
