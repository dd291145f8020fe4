/**
 * A stage: one step for the heads of a side, and the only extension point.
 *
 * In: the declaration in a file of `stages/`. Out: the function that users write, with the declaration on it. The compiler
 * reads calls of the function and never runs them (`generator/load/`).
 */
import type { Axes, AxisValue, Condition, ValueOf } from "./axis.js";
import type { Side } from "./inputs.js";

/** An input that a stage reads: a row of `dsl/inputs.ts`. Conditions are on the stage's axes. */
export interface StageInput {
  readonly name: string;
  /** Where it is read. Default: everywhere. */
  readonly when?: Condition;
  /** Where a call may leave it out. Default: nowhere. */
  readonly isOptional?: Condition;
  /** Where its elements are of another dtype, although the table says the kernel's. Default: nowhere. */
  readonly dtypes?: { readonly [D in OtherDtype]?: Condition };
}

/** Dtypes of tensors that the table of inputs gives the kernel's dtype. */
export const OTHER_DTYPES = ["f32", "e4m3"] as const;
export type OtherDtype = (typeof OTHER_DTYPES)[number];

/** A stage of a side, with the axes that its arguments fix. */
export interface StageCall {
  readonly name: string;
  readonly args: Readonly<Record<string, AxisValue>>;
}

/** A head between stages of the reference, in float64. */
export interface ReferenceHead {
  /** `[headDim]` */
  readonly y: Float64Array;
  /** `[headDim]`: a bound of a kernel's distance from `y`, without the rounding of the output. */
  readonly error: Float64Array;
}

/** The inputs of one head of one token, by their names in `dsl/inputs.ts`. */
export interface ReferenceInputs {
  /**
   * A tensor's elements for this token and head. `rope_table` is in radians per position, so the reference knows nothing of
   * fixed-point numbers. `positions` has an element for each axis, and `cos_sin` a row for each.
   */
  tensor(name: string): Float64Array;
  /** Whether the call gives a tensor that it may leave out. */
  isGiven(name: string): boolean;
  number(name: string): number;
  /** A number, rounded to the kernel's dtype. */
  rounded(x: number): number;
  /** The distance of neighbouring numbers of the kernel's dtype. */
  ulp(x: number): number;
}

/** The pairing of `rotaryDim` elements of a head, as the axis `rope` says. */
export interface Pairing {
  readonly rope: string;
  readonly rotaryDim: number;
  /** The first of these elements. */
  readonly start: number;
}

/** Values that do not go with each other: a kernel that has them all cannot be. */
export interface StageRule {
  readonly rule: string;
  /** `{axis}` is the value of an axis. */
  readonly reason: string;
  /** Values of the stage's axes, and of those of the point that it is at. */
  readonly when: Condition;
  /** Two axes that must also have equal values for the rule to be broken. */
  readonly areEqual?: readonly [string, string];
}

/**
 * What a stage stands for where a condition holds: other stages, none, or a side that the kernel leaves alone. Such a side is no part
 * of the kernel unless a sink reads it, and has no output.
 */
export interface StageForm {
  readonly when: Condition;
  readonly as: readonly StageCall[] | "left alone";
}

type ValuesOn<A> = { readonly [Name in keyof A]: ValueOf<A[Name]> };

/** The values of a stage's axes, and those of the point that it is at. */
type ValuesAt<A> = ValuesOn<A> & { readonly headDim: number; readonly [axis: string]: AxisValue };

/** The declaration of a stage. */
export interface Stage<A extends Axes = Axes> {
  readonly name: string;
  /**
   * The numbers that it measures of a whole head before it changes the head. Default: none; then an element's result depends
   * on its pair alone.
   */
  measures?(values: ValuesOn<A>): number;
  /** Whether it leaves a head in the kernel's dtype, rounded where a model's code rounds. Default: no, in float32. */
  roundsAsModel?(values: ValuesOn<A>): boolean;
  /** Which elements it pairs, if it does. The pairing decides how a head lies over lanes. */
  pairing?(values: ValuesAt<A>): Pairing;
  readonly axes: A;
  readonly inputs: readonly StageInput[];
  /** Whether it writes the head and leaves it as it is. No other stage may follow it then. Default: no. */
  readonly isSink?: boolean;
  /** The sides that it can be applied to. Default: all. */
  readonly sides?: readonly Side[];
  /** Parts of the CUDA template that depend on the values: the file in the stage's folder, by the name of the part. */
  parts?(values: ValuesOn<A>): Readonly<Record<string, string>>;
  /** What it stands for: the first row whose condition holds. Default: itself. Data, since Python reads it too. */
  readonly becomes?: readonly StageForm[];
  /** Why values do not go with each other. Data, since Python reads it too. */
  readonly rules?: readonly StageRule[];
  /** The stage's equation in float64, at values of its axes. Pure. */
  reference(head: ReferenceHead, values: ValuesOn<A>, inputs: ReferenceInputs): ReferenceHead;
}

/**
 * One head of one token: `[headDim]`, float32 inside the kernel. Only its type matters, since expressions are not run.
 */
export interface Head<out Open extends string = string> {
  /** Never set. The axes that the stages so far leave open. */
  readonly open: Open;
}

/** Arguments that fix no axis. */
type NoArguments = Record<never, never>;

/** A stage as users write it. An argument fixes an axis, which the op then lacks. */
export interface StageFunction<A extends Axes> {
  <Open extends string, const Args extends Partial<ValuesOn<A>> = NoArguments>(
    x: Head<Open>,
    args?: Args & { readonly [Name in Exclude<keyof Args, keyof A>]: never },
  ): Head<Open | Exclude<keyof A & string, keyof Args>>;
  readonly stage: Stage<A>;
}

/** Declares a stage. Its templates are `templates/cuda/stages/<name>.hbs` and `templates/cpu/stages/<name>.hbs`. */
export function defineStage<const A extends Axes>(stage: Stage<A>): StageFunction<A> {
  return Object.assign((x: Head) => x, { stage: Object.freeze(stage) }) as StageFunction<A>;
}
