/**
 * The stages of an op by side: which there are, their axis values, and their inputs.
 *
 * In: stage lists and a point. Out: each stage with the values of its axes, and the inputs of a kernel. Pure.
 */
import { AXES, OP_AXIS_NAMES, STAGES } from "./axes.js";
import type { Axis, AxisValue, Condition } from "./axis.js";
import { argsLayout, SIDES, type Side } from "./inputs.js";
import { hasMeaning, isAt, type Values } from "./points.js";
import {
  OTHER_DTYPES,
  type OtherDtype,
  type Pairing,
  type Stage,
  type StageCall,
  type StageInput,
} from "./stage.js";

export type { Pairing, StageCall };

/** The stages of each side that has any, in the order of application. */
export type SideStages = { readonly [S in Side]?: readonly StageCall[] | undefined };

/** The end of every side that a kernel does not leave alone: the result is written to the output. It is no word of the language. */
export const OUT: StageCall = { name: "out", args: {} };

/** The sides that a kernel works on, in the order of the C interface. */
export const sidesOf = (stages: SideStages): readonly Side[] =>
  SIDES.filter((side) => stages[side] !== undefined);

/** Every stage of every side. */
export const callsOf = (stages: SideStages): readonly StageCall[] =>
  sidesOf(stages).flatMap((side) => stages[side] ?? []);

/** The declaration of a stage. @throws RangeError if there is none, as in a manifest of another version. */
export function stageNamed(name: string): Stage {
  const stage = STAGES.get(name);
  if (stage === undefined) throw new RangeError(`there is no stage ${name}`);
  return stage;
}

/** The value of each of a stage's axes that apply at a point. An axis that the op lacks has its default. */
export function valuesOf(call: StageCall, point: Values): Readonly<Record<string, AxisValue>> {
  if (last.point !== point) last = { point, known: new Map() };
  const known = last.known.get(call) ?? computedValues(call, point);
  last.known.set(call, known);
  return known;
}

/** What is known of the last point: a kernel's plan asks for the same many times, and there may be thousands of kernels. */
let last: { readonly point: Values; readonly known: Map<StageCall, Record<string, AxisValue>> } = {
  point: {},
  known: new Map(),
};

function computedValues({ name, args }: StageCall, point: Values): Record<string, AxisValue> {
  const values: Record<string, AxisValue> = {};
  const all: Record<string, AxisValue | undefined> = { ...point };
  for (const axis of axesOf(stageNamed(name))) {
    const value = args[axis.name] ?? point[axis.name] ?? axis.default;
    if (value === undefined || !hasMeaning(axis, all)) continue;
    values[axis.name] = value;
    all[axis.name] = value;
  }
  return values;
}

const ownAxes = new WeakMap<Stage, readonly Axis[]>();

/** A stage's axes, in the order of the table. */
function axesOf(stage: Stage): readonly Axis[] {
  const known = ownAxes.get(stage);
  if (known !== undefined) return known;
  const own = AXES.filter(({ name }) => name in stage.axes);
  ownAxes.set(stage, own);
  return own;
}

/** The values of a stage's axes, and those of the point that it is at. */
const valuesAt = (call: StageCall, point: Values) => ({ ...point, ...valuesOf(call, point) }) as never;

/** What a stage stands for at a point. */
export function formOf(call: StageCall, point: Values): readonly StageCall[] | "left alone" {
  const values = valuesAt(call, point);
  return stageNamed(call.name).becomes?.find(({ when }) => isAt(when, values))?.as ?? [call];
}

const isSink = ({ name }: StageCall) => stageNamed(name).isSink === true;

/**
 * What an op's stages come down to at a point: without those that do nothing there, without the sides that the kernel leaves alone,
 * and with the output of the others. A side with nothing else is copied.
 */
export function stagesAt(stages: SideStages, point: Values): SideStages {
  const found = sidesOf(stages).flatMap((side) => {
    const forms = (stages[side] ?? []).map((call) => formOf(call, point));
    const calls = forms.flatMap((form) => (form === "left alone" ? [] : form));
    if (!forms.includes("left alone")) return [[side, [...calls, OUT]]];
    return calls.some(isSink) ? [[side, calls]] : [];
  });
  return Object.fromEntries(found);
}

/** The sides of `stagesAt` that a kernel only copies, which cannot be done in place. */
export const copiedSides = (stages: SideStages): Side[] =>
  sidesOf(stages).filter((side) => stages[side]?.every((call) => call === OUT));

/**
 * The axes of an op: those of every op, and those that at least one of its stages leaves open. Conditions that arguments settle are
 * settled here: a condition that holds is dropped, and an axis that never applies is no axis of the op.
 */
export function openAxes(stages: SideStages): readonly Axis[] {
  return AXES.flatMap((axis): readonly Axis[] => {
    if (OP_AXIS_NAMES.includes(axis.name)) return [axis];
    const open = [...callsOf(stages), OUT].filter(
      ({ name, args }) => axis.name in stageNamed(name).axes && !(axis.name in args),
    );
    const left = open.flatMap(({ args }) => {
      const rest = Object.entries(axis.when ?? {}).filter(([name]) => !(name in args));
      return isAt(axis.when, { ...args, ...firstOf(rest) }) ? [Object.fromEntries(rest)] : [];
    });
    if (left.length === 0) return [];
    const { when: _, ...always } = axis;
    const [when = {}] = left.sort((a, b) => Object.keys(a).length - Object.keys(b).length);
    return [(Object.keys(when).length === 0 ? always : { ...always, when }) as Axis];
  });
}

/** A value that meets each condition. */
function firstOf(conditions: readonly (readonly [string, Condition[string]])[]): Values {
  return Object.fromEntries(
    conditions.map(([name, range]) => [name, range.kind === "enum" ? range.values[0] : range.max]),
  );
}

/** The inputs that a stage reads at values of its axes. */
const readAt = ({ name }: StageCall, values: Values): readonly StageInput[] =>
  stageNamed(name).inputs.filter(({ when }) => isAt(when, values));

/** The names of the inputs that a stage reads at a point. */
export const inputsOf = (call: StageCall, point: Values): readonly string[] =>
  readAt(call, valuesOf(call, point)).map(({ name }) => name);

/** Every field of `normrope_args`, in its order. */
const PATHS = [...argsLayout().fields.keys()];

/** The inputs of a kernel, as paths of `normrope_args`: `q.in`, `q.weight`, `positions`. */
export interface KernelInputs {
  /** All that it takes. */
  readonly inputs: string[];
  /** Those that a call may leave out. */
  readonly optionalInputs: string[];
  /** The dtypes of those that have another one than the table of inputs says. */
  readonly inputDtypes: Readonly<Record<string, OtherDtype>>;
}

/** The inputs of a kernel at a point, with the stages that `stagesAt` gives. */
export function kernelInputs(stages: SideStages, point: Values): KernelInputs {
  const [taken, optional, dtypes] = [new Set<string>(), new Set<string>(), new Map<string, OtherDtype>()];
  for (const side of sidesOf(stages)) {
    taken.add(`${side}.in`);
    const calls = stages[side] ?? [];
    for (const call of calls) {
      const values = valuesOf(call, point);
      for (const input of readAt(call, values)) {
        const { name, isOptional } = input;
        const [paths, dtype] = [[name, `${side}.${name}`], dtypeOf(input, values)];
        for (const path of paths) {
          taken.add(path);
          if (isOptional !== undefined && isAt(isOptional, values)) optional.add(path);
          if (dtype !== undefined) dtypes.set(path, dtype);
        }
      }
    }
    if (calls.filter(isSink).length > 1) optional.add(`${side}.out`);
  }
  const those = (names: { has(name: string): boolean }) => PATHS.filter((path) => names.has(path));
  return {
    ...{ inputs: those(taken), optionalInputs: those(optional) },
    inputDtypes: Object.fromEntries(those(dtypes).map((path) => [path, dtypes.get(path)])) as never,
  };
}

/** The dtype of an input that is not what the table of inputs says. */
const dtypeOf = ({ dtypes = {} }: StageInput, values: Values): OtherDtype | undefined =>
  OTHER_DTYPES.find((dtype) => dtypes[dtype] !== undefined && isAt(dtypes[dtype], values));

/** An input of a side that one stage reads as float32 and another in the kernel's dtype: `q.weight`. */
export function inputOfTwoDtypes(stages: SideStages, point: Values): string | undefined {
  for (const side of sidesOf(stages)) {
    const dtypes = new Map<string, OtherDtype | undefined>();
    for (const call of stages[side] ?? []) {
      const values = valuesOf(call, point);
      for (const input of readAt(call, values)) {
        const own = dtypeOf(input, values);
        if (dtypes.has(input.name) && dtypes.get(input.name) !== own) return `${side}.${input.name}`;
        dtypes.set(input.name, own);
      }
    }
  }
  return undefined;
}

/** The pairing of stages at a point. All stages that pair elements agree. */
export function pairingOf(stages: SideStages, point: Values): Pairing | undefined {
  const call = callsOf(stages).find(({ name }) => stageNamed(name).pairing !== undefined);
  return call && stageNamed(call.name).pairing?.(valuesAt(call, point));
}

/** The positions of a token: an element of `positions` for each. */
export function positionAxesOf(stages: SideStages, point: Values): number {
  return Math.max(1, ...callsOf(stages).map((call) => Number(valuesOf(call, point).positionAxes ?? 1)));
}

/** Sides with equal stage lists. They share one body in a kernel. */
export interface Body {
  readonly sides: readonly Side[];
  readonly calls: readonly StageCall[];
}

/** The sides of an op in groups of equal stage lists, in the order of their first sides. */
export function bodiesOf(stages: SideStages): readonly Body[] {
  const bodies: { sides: Side[]; calls: readonly StageCall[] }[] = [];
  for (const side of sidesOf(stages)) {
    const calls = stages[side] ?? [];
    const same = bodies.find((body) => areEqual(body.calls, calls));
    if (same === undefined) bodies.push({ sides: [side], calls });
    else same.sides.push(side);
  }
  return bodies;
}

const areEqual = (one: readonly StageCall[], other: readonly StageCall[]) =>
  one.includes(OUT) === other.includes(OUT) && expressionOf(one) === expressionOf(other);

/** Stages as a user writes them: `rotate(norm(x, { weight: "none" }))`. */
export function expressionOf(calls: readonly StageCall[]): string {
  const written = calls.filter((call) => call !== OUT);
  return written.reduce((inner, { name, args }) => {
    const fixed = Object.entries(args)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([axis, value]) => `${axis}: ${JSON.stringify(value)}`);
    return `${name}(${inner}${fixed.length === 0 ? "" : `, { ${fixed.join(", ")} }`})`;
  }, "x");
}

/** A body in words: `q and k: rotate(norm(x))`. */
export const bodyText = ({ sides, calls }: Body): string => `${listed(sides)}: ${expressionOf(calls)}`;

/** All bodies in words. */
export const sideTexts = (stages: SideStages): readonly string[] => bodiesOf(stages).map(bodyText);

/** `q`, `q and k`, `q, k and v`. */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
