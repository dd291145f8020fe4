/**
 * Kernel ids: file name, C symbol, manifest key and test name in one.
 *
 * In: an op and a point. Out: an id that names the mathematics, and back. Injective: `parseKernelId(kernelId(op, p))` is
 * `{op, p}`. How an axis is spelled is for the table of axes to say.
 */
import { createHash } from "node:crypto";
import { AXES } from "../dsl/axes.js";
import { completed, hasMeaning, leadersFirst, valueOn, written } from "../dsl/points.js";
import type { StageArgument } from "../runtime/manifest.js";
import { compareText } from "./diagnostics.js";
import type { Axis, AxisValue, ConfigPoint, Op } from "./ir.js";
import { readShippedOp } from "./op_file.js";

/** What an op may be called: no doubled underscore, which separates the name from the point. */
export const OP_NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;

type Mathematics = Pick<Op, "name" | "stages">;

/**
 * The first part of the ids of an op's kernels: its name and, where it is no op that ships, a digest of its stages. So two
 * kernels with one id compute the same, whoever named them.
 */
export function opId(op: Mathematics): string {
  const [own, shipped] = [digestOf(op.stages), readShippedOp()];
  return op.name === shipped.name && own === digestOf(shipped.stages) ? op.name : `${op.name}_${own}`;
}

const digests = new WeakMap<Op["stages"], string>();

/**
 * Eight hexadecimal digits; the order in which a stage's arguments are written is of no matter. An axis with a constant
 * default is left out: the rest of an id says its value, and ids stay as they are when a stage comes to take it.
 */
function digestOf(stages: Op["stages"]): string {
  const known = digests.get(stages);
  if (known !== undefined) return known;
  const isSpelled = (argument: StageArgument) =>
    argument.kind !== "axis" || AXES.find(({ name }) => name === argument.axis)?.default === undefined;
  const list = stages.map(({ name, args }) => [
    name,
    Object.entries(args)
      .filter(([, argument]) => isSpelled(argument))
      .sort(([a], [b]) => compareText(a, b)),
  ]);
  const digest = createHash("sha256").update(JSON.stringify(list)).digest("hex").slice(0, 8);
  digests.set(stages, digest);
  return digest;
}

export function kernelId(op: Mathematics & Pick<Op, "axes">, point: ConfigPoint): string {
  return `${opId(op)}__${spelledPoint(point, op.axes)}`;
}

/** The tags of a point's values, but for those at a default that every kernel without the axis has. */
export function spelledPoint(point: ConfigPoint, axes: readonly Axis[] = AXES): string {
  return leadersFirst(axes)
    .flatMap((axis) => {
      const value = valueOn(axis, point);
      return value === undefined || value === axis.default ? [] : [tagOf(axis, value)];
    })
    .join("_");
}

/** A point for people to read: its numbers with their axes, its names as ids spell them. */
export function pointWords(point: ConfigPoint, axes: readonly Axis[] = AXES): string {
  return written(axes, point)
    .map(([axis, value]) => (axis.kind === "integer" ? `${axis.name} ${value}` : tagOf(axis, value)))
    .join(", ");
}

function tagOf({ tag = "", tags = {} }: Axis, value: AxisValue): string {
  return typeof value === "number" ? `${tag}${value}` : (tags[value] ?? value);
}

/**
 * The op, as `opId` gives it, and the point that an id names, or undefined where it is no kernel id. Whether there can be
 * such a kernel is for `legality` to say.
 */
export function parseKernelId(id: string): { op: string; point: ConfigPoint } | undefined {
  const [op, spelled, ...rest] = id.split("__");
  if (op === undefined || spelled === undefined || rest.length > 0 || !OP_NAME.test(op)) return undefined;
  const tags = spelled.split("_");
  const values = AXES.flatMap((axis) => {
    const found = tags.flatMap((tag) => readTag(axis, tag) ?? []);
    return found.map((value) => [axis.name, value]);
  });
  const point = completed(AXES, Object.fromEntries(values));
  const lacks = AXES.some((axis) => valueOn(axis, point) === undefined && hasMeaning(axis, point));
  const isWhole = !lacks && spelledPoint(point) === spelled;
  return isWhole ? { op, point } : undefined;
}

/** The value that a tag spells; undefined where it is none of the axis. */
function readTag(axis: Axis, tag: string): AxisValue | undefined {
  if (axis.kind === "enum") return axis.values.find((value) => tagOf(axis, value) === tag);
  const { tag: letter = "" } = axis;
  const digits = tag.startsWith(letter) ? tag.slice(letter.length) : "";
  return /^[1-9]\d*$/.test(digits) ? Number(digits) : undefined;
}
