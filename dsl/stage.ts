/**
 * What a stage is: one step for the heads of a side, and the only extension point.
 *
 * In: what a file of `stages/` declares. Out: the function that users write the stage with, which has the declaration. The
 * compiler reads calls of it and never runs them (`generator/load/`): its arguments fix axes, its order is the op's.
 */
import type { Axes, ValueOf } from "./axis.js";

/** An input that a stage reads: a row of `dsl/inputs.ts`. */
export interface StageInput {
  readonly name: string;
  /** The values of the stage's axes at which it is read. Default: all. */
  readonly when?: { readonly [axis: string]: readonly (number | string)[] };
}

/** A head on its way through the reference, in float64. */
export interface ReferenceHead {
  /** `[headDim]` */
  readonly y: Float64Array;
  /** `[headDim]`: how far float32 may be from `y` by then, the rounding of the output left out. */
  readonly error: Float64Array;
}

/** The inputs that belong to one head of one token, by their names in `dsl/inputs.ts`. */
export interface ReferenceInputs {
  /**
   * The elements of a tensor: those of the token and of the head, where it has these dimensions. `rope_table` is in radians
   * for each step of position, so that the reference knows nothing of fixed-point numbers.
   */
  tensor(name: string): Float64Array;
  number(name: string): number;
}

/** How the elements of a head are paired: the leading `rotaryDim` of them, as the axis `rope` says. */
export interface Pairing {
  readonly rope: string;
  readonly rotaryDim: number;
}

type ValuesOn<A> = { readonly [Name in keyof A]: ValueOf<A[Name]> };

/** What a stage declares. */
export interface Stage<A extends Axes = Axes> {
  readonly name: string;
  /** What an element's result depends on: itself and what it is paired with, or all of the head, which is measured first. */
  readonly scope: "element" | "head";
  /** Which elements it pairs, where it pairs any: that fixes how a head lies over lanes. */
  pairing?(values: ValuesOn<A>): Pairing;
  readonly axes: A;
  readonly inputs: readonly StageInput[];
  /** Whether it writes the head, so that no stage may come behind it. Default: not. */
  readonly isSink?: boolean;
  /** The stage from its equation, in float64, for values of its axes. Pure. */
  reference(head: ReferenceHead, values: ValuesOn<A>, inputs: ReferenceInputs): ReferenceHead;
}

/**
 * One head of one token: `[headDim]`, float32 inside the kernel. `Open`: the axes of the stages applied to it so far. It
 * carries a type and nothing else, as expressions are read, not run.
 */
export interface Head<out Open extends string = string> {
  /** A type alone: the axes that the stages so far leave open. */
  readonly open: Open;
}

/** They fix no axis. */
type NoArguments = Record<never, never>;

/** A stage as users write it: an argument fixes an axis and takes it out of the op. */
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
