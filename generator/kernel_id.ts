/**
 * Kernel ids: file name, C symbol, manifest key and test name in one.
 *
 * In: an op and a point. Out: an id that names the mathematics, and back: `parseKernelId(kernelId(op, p))` has the op and the
 * values of `p` that are not defaults. The table of axes says how an axis is spelled.
 */
import { createHash } from "node:crypto";
import { AXES, OP_AXIS_NAMES } from "../dsl/axes.js";
import type { Side } from "../dsl/inputs.js";
import { leadersFirst, type Values, valueOn, written } from "../dsl/points.js";
import { expressionOf, formOf, type StageCall, sidesOf, stageNamed, stagesAt } from "../dsl/sides.js";
import type { Axis, AxisValue, ConfigPoint, Op } from "./ir.js";
import { readShippedOps } from "./op_file.js";

/** The names that an op may have. A doubled underscore separates the name from the point. */
export const OP_NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;

type Mathematics = Pick<Op, "name" | "stages">;

/**
 * The first part of the ids of an op's kernels: its name and, unless the op ships, a digest of its stages. So two kernels with
 * one id compute the same.
 */
export function opId(op: Mathematics): string {
  const own = digestOf(op.stages);
  const ships = readShippedOps().some(
    ({ name, stages }) =>
      name === op.name && [stages, without(stages, isIdle)].some((each) => digestOf(each) === own),
  );
  return ships ? op.name : `${op.name}_${own}`;
}

/** Stages without some. */
function without(stages: Op["stages"], isLeftOut: (call: StageCall) => boolean): Op["stages"] {
  const left = sidesOf(stages).map((side) => [side, stages[side]?.filter((call) => !isLeftOut(call))]);
  return Object.fromEntries(left);
}

/** Whether a stage does nothing unless a point says otherwise. An op without it has the same ids where it has kernels. */
const isIdle = (call: StageCall) => formOf(call, {}).length === 0;

const digests = new WeakMap<Op["stages"], string>();

/** Eight hexadecimal digits. The order of a stage's arguments does not matter. */
function digestOf(stages: Op["stages"]): string {
  const known = digests.get(stages);
  if (known !== undefined) return known;
  const told = without(stages, (call) => isEverywhere(call, stages));
  const sides = sidesOf(told).filter((side) => !isToldByTags(side, told[side] ?? []));
  const list = sides.map((side) => [side, expressionOf(told[side] ?? [])]);
  const digest = createHash("sha256").update(JSON.stringify(list)).digest("hex").slice(0, 8);
  digests.set(stages, digest);
  return digest;
}

/** Whether a point's tags tell all of a stage: it is idle, has no arguments, and is on every side that it can be on. */
function isEverywhere(call: StageCall, stages: Op["stages"]): boolean {
  const { sides } = stageNamed(call.name);
  const isOn = (side: Side) =>
    stages[side]?.some(({ name, args }) => name === call.name && Object.keys(args).length === 0) === true;
  return sides !== undefined && isIdle(call) && sides.every(isOn);
}

/**
 * Whether a point's tags tell all of a side: v with one stage, without arguments, that leaves it alone unless the point says
 * otherwise. So an op has the same ids with such a v and without v. Of q and k the tags tell nothing: they name no side.
 */
function isToldByTags(side: Side, calls: readonly StageCall[]): boolean {
  const [call, ...others] = calls;
  if (side !== "v" || call === undefined || others.length > 0 || Object.keys(call.args).length > 0)
    return false;
  return stagesAt({ v: calls }, {}).v === undefined;
}

export function kernelId(op: Mathematics & Pick<Op, "axes">, point: ConfigPoint): string {
  return `${opId(op)}__${spelledPoint(point, op.axes)}`;
}

/** The tags of a point's values, without those at a default. */
export function spelledPoint(point: ConfigPoint | Values, axes: readonly Axis[] = AXES): string {
  return leadersFirst(axes)
    .flatMap((axis) => {
      const value = valueOn(axis, point);
      return value === undefined || value === axis.default ? [] : [tagOf(axis, value)];
    })
    .join("_");
}

/** A point in words: its numbers with their axes, its names as ids spell them. */
export function pointWords(point: ConfigPoint, axes: readonly Axis[]): string {
  return written(axes, point)
    .map(([axis, value]) => (axis.kind === "integer" ? `${axis.name} ${value}` : tagOf(axis, value)))
    .join(", ");
}

function tagOf({ tag = "", tags = {} }: Axis, value: AxisValue): string {
  return typeof value === "number" ? `${tag}${value}` : (tags[value] ?? value);
}

/**
 * The op, as in `opId`, and the values that an id spells; the op's other axes are at their defaults. Undefined if it is no kernel
 * id. `legality` says whether such a kernel can exist.
 */
export function parseKernelId(id: string): { op: string; values: Values } | undefined {
  const [op, spelled, ...rest] = id.split("__");
  if (op === undefined || spelled === undefined || rest.length > 0 || !OP_NAME.test(op)) return undefined;
  const tags = spelled.split("_");
  const found = AXES.flatMap((axis) =>
    tags.flatMap((tag) => readTag(axis, tag) ?? []).map((value) => [axis.name, value]),
  );
  const values: Values = Object.fromEntries(found);
  const isWhole =
    OP_AXIS_NAMES.every((name) => values[name] !== undefined) && spelledPoint(values) === spelled;
  return isWhole ? { op, values } : undefined;
}

/** The value that a tag spells; undefined if the axis has no such tag. */
function readTag(axis: Axis, tag: string): AxisValue | undefined {
  if (axis.kind === "enum") return axis.values.find((value) => tagOf(axis, value) === tag);
  const { tag: letter = "" } = axis;
  const digits = tag.startsWith(letter) ? tag.slice(letter.length) : "";
  if (digits === "0" && axis.min > 0) return undefined;
  return /^(0|[1-9]\d*)$/.test(digits) ? Number(digits) : undefined;
}
