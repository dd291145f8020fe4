/**
 * The stages of an op by side: which there are, their axis values, and their inputs.
 *
 * In: stage lists and a point. Out: each stage with the values of its axes, and the inputs of a kernel. Pure.
 */
import { AXES, OP_AXIS_NAMES, STAGES } from "./axes.js";
import type { Axis, AxisValue } from "./axis.js";
import { argsLayout, SIDES, type Side } from "./inputs.js";
import { isAt, type Values } from "./points.js";
import type { Pairing, Stage } from "./stage.js";

export type { Pairing };

/** A stage of a side, with the axes that its arguments fix. */
export interface StageCall {
  readonly name: string;
  readonly args: Readonly<Record<string, AxisValue>>;
}

/** The stages of each side that has any, in the order of application. */
export type SideStages = { readonly [S in Side]?: readonly StageCall[] | undefined };

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

/** The value of each of a stage's axes at a point. */
export function valuesOf({ name, args }: StageCall, point: Values): Record<string, AxisValue> {
  return Object.fromEntries(
    Object.keys(stageNamed(name).axes).flatMap((axis) => {
      const value = args[axis] ?? point[axis];
      return value === undefined ? [] : [[axis, value]];
    }),
  );
}

/** The axes of an op: those of every op, and those that at least one of its stages leaves open. */
export function openAxes(stages: SideStages): readonly Axis[] {
  const open = callsOf(stages).flatMap(({ name, args }) =>
    Object.keys(stageNamed(name).axes).filter((axis) => args[axis] === undefined),
  );
  return AXES.filter(({ name }) => OP_AXIS_NAMES.includes(name) || open.includes(name));
}

/** The inputs that a stage reads at a point. */
export function inputsOf(call: StageCall, point: Values): readonly string[] {
  const values = valuesOf(call, point);
  return stageNamed(call.name)
    .inputs.filter(({ when }) => isAt(when, values))
    .map(({ name }) => name);
}

/** The inputs of a kernel, as paths of `normrope_args`: `q.in`, `q.weight`, `positions`. */
export function kernelInputs(stages: SideStages, point: Values): readonly string[] {
  const sides = sidesOf(stages);
  const read = new Set(
    sides.flatMap((side) => [
      ...[`${side}.in`, `${side}.out`],
      ...(stages[side] ?? []).flatMap((call) =>
        inputsOf(call, point).flatMap((name) => [name, `${side}.${name}`]),
      ),
    ]),
  );
  return [...argsLayout().fields.keys()].filter((path) => read.has(path));
}

/** The pairing of an op's stages at a point. All stages that pair elements agree. */
export function pairingOf(stages: SideStages, point: Values): Pairing | undefined {
  const call = callsOf(stages).find(({ name }) => stageNamed(name).pairing !== undefined);
  return call && stageNamed(call.name).pairing?.(valuesOf(call, point) as Record<string, never>);
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
    const same = bodies.find((body) => expressionOf(body.calls) === expressionOf(calls));
    if (same === undefined) bodies.push({ sides: [side], calls });
    else same.sides.push(side);
  }
  return bodies;
}

/** Stages as a user writes them: `rotate(norm(x, { weight: "none" }))`. */
export function expressionOf(calls: readonly StageCall[]): string {
  return calls.reduce((inner, { name, args }) => {
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
