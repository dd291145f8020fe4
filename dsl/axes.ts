/**
 * The table of axes: every value that a kernel can be specialised by.
 *
 * In: the axes that every op has, and those that stages declare. Out: the table, in one order, and the types that follow
 * from it. Schema, ids, lookup, order, `list`, `add`, `report`, `bench`, bindings and Python all read this table.
 */
import { type Axes, type Axis, axis, type Condition, multipleOf, oneOf, type ValueOf } from "./axis.js";
import { out } from "./out.js";
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
type OutTable = typeof out.stage.axes;
type AxesOfStage<S> = S extends StageFunction<infer A> ? A : never;
type Intersection<U> = (U extends unknown ? (each: U) => void : never) extends (all: infer I) => void
  ? I
  : never;
type Table = OpTable & OutTable & Intersection<AxesOfStage<(typeof stages)[keyof typeof stages]>>;

const FUNCTIONS: Readonly<Record<string, StageFunction<Axes>>> = { ...stages, out };

/** The declaration of each stage, by its name. */
export const STAGES: ReadonlyMap<string, Stage> = new Map(
  Object.keys(FUNCTIONS).map((name) => [name, (FUNCTIONS[name] as StageFunction<Axes>).stage] as const),
);

// A user's compiler checks this file too, with whatever `lib` it is set to. So it uses neither `Object.values` nor `flatMap`.
const ALL = [{ axes: OP_AXES as Axes }, ...Array.from(STAGES.values())]
  .map(({ axes }) => Object.keys(axes).map((name) => ({ name, ...axes[name] }) as Axis))
  .reduce((all, own) => all.concat(own));

const doubled = ALL.find(({ name }, i) => ALL.findIndex((other) => other.name === name) < i);
if (doubled !== undefined)
  throw new RangeError(`two stages declare an axis called ${doubled.name}: rename one`);

/** The axes of what is written: the user's choice, whatever the model. */
export const STORED_AXES: readonly string[] = Object.keys(FUNCTIONS)
  .map((name) => STAGES.get(name))
  .filter((stage) => stage?.isSink === true)
  .map((stage) => Object.keys(stage?.axes ?? {}))
  .reduce((all, own) => all.concat(own), []);

/**
 * Axes with a default come last, so that a new one changes no id, and behind all those of what is written. The axis that ids begin
 * with comes just before them.
 */
const rankOf = (row: Axis) =>
  STORED_AXES.indexOf(row.name) >= 0 ? 3 : row.default !== undefined ? 2 : row.leads === true ? 1 : 0;

/** The rows, in the order in which configs and lists write them. */
export const AXES: readonly Axis[] = ALL.sort((a, b) => rankOf(a) - rankOf(b));

export type OpAxisName = keyof OpTable;
export type AxisName = keyof Table;
/** The axes of every op. */
export type CommonAxisName = OpAxisName | keyof OutTable;

/** The value of each axis, whether or not an op has it. */
export type AxisValues = { readonly [Name in AxisName]: ValueOf<Table[Name]> };

/** One point of the config space. A kernel is specialised for it. It has the axes of its op that apply at the point. */
export type ConfigPoint = { readonly [Name in OpAxisName]: AxisValues[Name] } & {
  readonly [Name in Exclude<AxisName, OpAxisName>]?: AxisValues[Name] | undefined;
};

type CanBeLeftOut = { default: number | string } | { follows: string } | { when: Condition };
type MustBeWritten<Open extends AxisName> = {
  [Name in Open]: Table[Name] extends CanBeLeftOut ? never : Name;
}[Open];

/** `Open` axes by name: those that must be written are required, the others optional. */
export type AxesOf<Each extends { readonly [Name in AxisName]: unknown }, Open extends AxisName> = {
  readonly [Name in MustBeWritten<Open>]: Each[Name];
} & {
  readonly [Name in Exclude<Open, MustBeWritten<Open>>]?: Each[Name] | undefined;
};

/** The dtypes that kernels exist for. */
export const DTYPES = OP_AXES.dtype.values;

/** The axes that every op has. */
export const OP_AXIS_NAMES = Object.keys(OP_AXES);
