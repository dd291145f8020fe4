/**
 * Legality of ops and points: the rules of stages, the ranges of axes, and the rules between axes.
 *
 * In: stage lists, axes, a value or a point. Out: the first rule that is broken, with the reason, or nothing.
 * Pure. The runtime asks here too, so that "why not" has one answer.
 */
import { AXES, STAGES } from "./axes.js";
import { type Axis, type AxisValue, isInRange } from "./axis.js";
import type { Side } from "./inputs.js";
import { hasMeaning, isAt, type Values } from "./points.js";
import {
  callsOf,
  copiedSides,
  expressionOf,
  inputOfTwoDtypes,
  listed,
  type SideStages,
  sidesOf,
  stageNamed,
  stagesAt,
  valuesOf,
} from "./sides.js";
import type { Stage, StageRule } from "./stage.js";

/** A combination that a rule forbids. */
export interface Rejection {
  readonly rule: string;
  readonly reason: string;
  readonly values: Readonly<Record<string, AxisValue>>;
}

export function describeRange(axis: Axis): string {
  if (axis.kind === "enum") return `one of ${axis.values.map((value) => JSON.stringify(value)).join(", ")}`;
  const bound = axis.within === undefined ? `${axis.max}` : `${axis.within} (at most ${axis.max})`;
  return `a ${axis.step === 1 ? "whole number" : `multiple of ${axis.step}`} from ${axis.min} to ${bound}`;
}

/** The axis's own name for an alias; undefined if it knows none. */
export function aliasOf(axis: Axis, value: unknown): string | undefined {
  if (axis.kind !== "enum" || typeof value !== "string") return undefined;
  const word = value
    .toLowerCase()
    .replace(/^torch\./, "")
    .replaceAll(/[-_]/g, "");
  const name = new Map(Object.entries(axis.aliases ?? {})).get(word);
  return name !== undefined && axis.values.includes(name) ? name : undefined;
}

/** The first axis whose value at a point is outside its range. */
export function axisOutside(axes: readonly Axis[], point: Values): Axis | undefined {
  return axes.find((axis) => {
    const value = point[axis.name];
    return value === undefined ? hasMeaning(axis, point) : !isInRange(axis, value);
  });
}

/** The parts of an op that legality depends on. */
export interface OpRules {
  readonly axes: readonly Axis[];
  readonly stages: SideStages;
}

/** The axes that an op's stages fix and that apply at a point, with their values. */
function fixedBy(stages: SideStages, point: Values): readonly (readonly [Axis, AxisValue])[] {
  return callsOf(stages).flatMap(({ args }) =>
    AXES.flatMap((axis) => {
      const value = args[axis.name];
      return value === undefined || !hasMeaning(axis, { ...point, ...args }) ? [] : [[axis, value] as const];
    }),
  );
}

/** The first rule that a point breaks. Its values must be in their ranges. */
export function rejectionOf({ axes, stages }: OpRules, point: Values): Rejection | undefined {
  const rejected = pointRejection(axes, point);
  if (rejected !== undefined) return rejected;
  for (const [{ when: _, ...axis }, value] of fixedBy(stages, point)) {
    const found = pointRejection([axis as Axis], { ...point, [axis.name]: value });
    if (found !== undefined) return found;
  }
  return callRejection(stages, point);
}

/** The first rule that the stages' values break at a point. */
function callRejection(stages: SideStages, point: Values): Rejection | undefined {
  for (const call of callsOf(stages)) {
    const values = valuesOf(call, point);
    const broken = stageNamed(call.name).rules?.find((rule) => isBroken(rule, { ...point, ...values }));
    if (broken === undefined) continue;
    return { rule: broken.rule, reason: reasonOf(broken, { ...point, ...values }), values };
  }
  const left = stagesAt(stages, point);
  const input = inputOfTwoDtypes(left, point);
  if (input !== undefined) {
    const reason = `one stage reads ${input} as float32, another in the kernel's dtype`;
    return { rule: "one_dtype_of_an_input", reason, values: {} };
  }
  // An op without any stage is refused as a whole: see `stageRejection`.
  if (callsOf(stages).length === 0 || sidesOf(left).length > copiedSides(left).length) return undefined;
  return {
    rule: "nothing_done",
    reason: "no stage does anything, so that a kernel would at most copy",
    values: {},
  };
}

function isBroken({ when, areEqual }: StageRule, values: Values): boolean {
  return isAt(when, values) && (areEqual === undefined || values[areEqual[0]] === values[areEqual[1]]);
}

const reasonOf = ({ reason }: StageRule, values: Values) =>
  reason.replaceAll(/\{(\w+)\}/g, (_, name) => String(values[name]));

function pointRejection(axes: readonly Axis[], point: Values): Rejection | undefined {
  for (const axis of axes) {
    const { name, within, when = {} } = axis;
    const value = point[name];
    if (value === undefined) continue;
    if (!hasMeaning(axis, point)) {
      const where = Object.keys(when).map((other) => `${other} is ${point[other]}`);
      return rejection(point, [name, ...Object.keys(when)], {
        rule: `${name}_without_meaning`,
        reason: `${name} means nothing where ${where.join(" and ")}`,
      });
    }
    const bound = within === undefined ? undefined : point[within];
    if (bound !== undefined && value > bound) {
      return rejection(point, [within ?? "", name], {
        rule: `${name}_within_${within}`,
        reason: `${name} ${value} is more than ${within} ${bound}`,
      });
    }
  }
  return undefined;
}

function rejection(
  point: Values,
  names: readonly string[],
  broken: Pick<Rejection, "rule" | "reason">,
): Rejection {
  return { ...broken, values: Object.fromEntries(names.map((name) => [name, point[name] ?? ""])) };
}

/** A rule that an op's stages break: its name, the reason, the fix, and the stage at fault. */
export interface StageRejection {
  readonly rule: string;
  readonly reason: string;
  readonly fix: string;
  /** The side and the stage's index in it; undefined if no single stage is at fault. */
  readonly at?: { readonly side: Side; readonly index: number };
}

/** The first rule that stage lists break. It depends on the stages' declarations, never on their names. */
export function stageRejection(
  stages: SideStages,
  declared: ReadonlyMap<string, Stage> = STAGES,
): StageRejection | undefined {
  const calls = sidesOf(stages).flatMap((side) =>
    (stages[side] ?? []).map((call, index) => ({ call, at: { side, index } })),
  );
  if (calls.length === 0) {
    const reason = "no side has a stage, so that a kernel would write nothing";
    return {
      rule: "nothing_written",
      reason,
      fix: "apply a stage to a side: `head: (x) => rotate(norm(x))`",
    };
  }
  for (const { call, at } of calls) {
    const { sides } = declared.get(call.name) ?? {};
    if (sides !== undefined && !sides.includes(at.side)) {
      const reason = `${call.name} is for ${listed(sides)} alone, and ${at.side} has it`;
      return {
        rule: "not_on_this_side",
        reason,
        fix: `leave it out of ${at.side}`,
        at,
      };
    }
    const before = at.index === 0 ? undefined : stages[at.side]?.[at.index - 1];
    if (before === undefined || declared.get(before.name)?.isSink !== true) continue;
    const reason = `${call.name} comes after ${before.name}, which has written the head`;
    return {
      rule: "nothing_after_a_sink",
      reason,
      fix: call.name === before.name ? "apply it once" : `apply ${call.name} first`,
      at,
    };
  }
  const [first, ...others] = calls.filter(({ call }) => declared.get(call.name)?.pairing !== undefined);
  const other = first && others.find(({ call }) => expressionOf([call]) !== expressionOf([first.call]));
  if (first === undefined || other === undefined) return undefined;
  const reason = `${other.call.name} pairs other elements than ${first.call.name} of ${first.at.side} does, and a lane holds one pairing`;
  const fix = "give both the same arguments, or make an op of each";
  return { rule: "one_pairing", reason, fix, at: other.at };
}
