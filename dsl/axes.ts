/**
 * The table of axes: every value that a kernel can be specialised by.
 *
 * In: the axes that every op has, and those that stages declare. Out: the table, in one order, and the types that follow
 * from it. Everything that goes through the axes of an op reads them from here: schema, ids, lookup, order, `list`, `add`,
 * `report`, `bench`, bindings, Python.
 */
import { type Axes, type Axis, axis, multipleOf, oneOf, type ValueOf } from "./axis.js";
import type { Stage, StageFunction } from "./stage.js";
import * as stages from "./stages/index.js";

export type { Axis, AxisValue } from "./axis.js";

const OP_AXES = {
  /** Elements of one head. */
  headDim: axis(multipleOf(8, { min: 16, max: 1024 }), { tag: "d", isImplied: true }),
  /** Element type of the heads and the weights. */
  dtype: axis(oneOf("bf16", "f16"), {
    aliases: { bfloat16: "bf16", float16: "f16", fp16: "f16", half: "f16" },
    leads: true,
    isImplied: true,
  }),
};

type OpTable = typeof OP_AXES;
type AxesOfStage<S> = S extends StageFunction<infer A> ? A : never;
type Intersection<U> = (U extends unknown ? (each: U) => void : never) extends (all: infer I) => void
  ? I
  : never;
type Table = OpTable & Intersection<AxesOfStage<(typeof stages)[keyof typeof stages]>>;

const FUNCTIONS: Readonly<Record<string, StageFunction<Axes>>> = { ...stages };

/** The declaration of each stage, by its name. */
export const STAGES: ReadonlyMap<string, Stage> = new Map(
  Object.keys(FUNCTIONS).map((name) => [name, (FUNCTIONS[name] as StageFunction<Axes>).stage] as const),
);

// A user's own compiler checks this file, whatever library it is set to: so `Object.values` and `flatMap` are not in it.
const ALL = [{ axes: OP_AXES as Axes }, ...Array.from(STAGES.values())]
  .map(({ axes }) => Object.keys(axes).map((name) => ({ name, ...axes[name] }) as Axis))
  .reduce((all, own) => all.concat(own));

const doubled = ALL.find(({ name }, i) => ALL.findIndex((other) => other.name === name) < i);
if (doubled !== undefined)
  throw new RangeError(`two stages declare an axis called ${doubled.name}: rename one`);

/** Axes with a default come last, so that a new one changes no id. The one that ids begin with is written behind the others. */
const rankOf = (row: Axis) => (row.default !== undefined ? 2 : row.leads === true ? 1 : 0);

/** The rows of the table, in the order in which configs are written and values listed. */
export const AXES: readonly Axis[] = ALL.sort((a, b) => rankOf(a) - rankOf(b));

export type OpAxisName = keyof OpTable;
export type AxisName = keyof Table;

/** The value of each axis, whether or not an op has it. */
export type AxisValues = { readonly [Name in AxisName]: ValueOf<Table[Name]> };

/** One point of the config space: what a kernel is specialised for. It has the axes of its op that mean something there. */
export type ConfigPoint = { readonly [Name in OpAxisName]: AxisValues[Name] } & {
  readonly [Name in Exclude<AxisName, OpAxisName>]?: AxisValues[Name] | undefined;
};

type CanBeLeftOut = { default: number | string } | { follows: string };
type MustBeWritten<Open extends AxisName> = {
  [Name in Open]: Table[Name] extends CanBeLeftOut ? never : Name;
}[Open];

/** `Open` axes by name: `Each` of those that must be written, and of those that may be left out. */
export type AxesOf<Each extends { readonly [Name in AxisName]: unknown }, Open extends AxisName> = {
  readonly [Name in MustBeWritten<Open>]: Each[Name];
} & {
  readonly [Name in Exclude<Open, MustBeWritten<Open>>]?: Each[Name] | undefined;
};

/** The dtypes that kernels are made for. */
export const DTYPES = OP_AXES.dtype.values;

/** The axes that every op has. */
export const OP_AXIS_NAMES = Object.keys(OP_AXES);
