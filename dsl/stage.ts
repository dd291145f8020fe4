/**
 * A stage: one step for the heads of a side, and the only extension point.
 *
 * In: the declaration in a file of `stages/`. Out: the function that users write, with the declaration on it. The compiler
 * reads calls of the function and never runs them (`generator/load/`).
 */
import type { Axes, ValueOf } from "./axis.js";

/** An input that a stage reads: a row of `dsl/inputs.ts`. */
export interface StageInput {
  readonly name: string;
  /** The values of the stage's axes at which it is read. Default: all. */
  readonly when?: { readonly [axis: string]: readonly (number | string)[] };
}

/** A head between stages of the reference, in float64. */
export interface ReferenceHead {
  /** `[headDim]` */
  readonly y: Float64Array;
  /** `[headDim]`: a bound of float32's distance from `y`, without the rounding of the output. */
  readonly error: Float64Array;
}

/** The inputs of one head of one token, by their names in `dsl/inputs.ts`. */
export interface ReferenceInputs {
  /**
   * A tensor's elements for this token and head. `rope_table` is in radians per position, so the reference knows nothing of
   * fixed-point numbers.
   */
  tensor(name: string): Float64Array;
  number(name: string): number;
}

/** The pairing of a head's leading `rotaryDim` elements, as the axis `rope` says. */
export interface Pairing {
  readonly rope: string;
  readonly rotaryDim: number;
}

type ValuesOn<A> = { readonly [Name in keyof A]: ValueOf<A[Name]> };

/** The declaration of a stage. */
export interface Stage<A extends Axes = Axes> {
  readonly name: string;
  /** What an element's result depends on: its pair, or the whole head, which is then measured first. */
  readonly scope: "element" | "head";
  /** Which elements it pairs, if it does. The pairing decides how a head lies over lanes. */
  pairing?(values: ValuesOn<A>): Pairing;
  readonly axes: A;
  readonly inputs: readonly StageInput[];
  /** Whether it writes the head. No stage may follow it then. Default: no. */
  readonly isSink?: boolean;
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
