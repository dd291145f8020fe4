/**
 * Which points there can be: the ranges of the axes, and the named rules that a point must obey beyond them.
 *
 * In: axes, a value or a point. Out: whether it can be, or the first rule that it breaks, with the reason and the
 * values. Pure. The runtime asks here too, so that "why not" has one answer.
 */
import type { AxisRange, ConfigPoint } from "../runtime/manifest.js";
import type { Rejection } from "./ir.js";

/** Whether an axis can have a value at all; whether it goes with the other axes is for the rules to say. */
export function isInRange(axes: readonly AxisRange[], range: AxisRange, value: unknown): boolean {
  if (range.kind === "enum") return typeof value === "string" && range.values.includes(value);
  return (
    typeof value === "number" &&
    Number.isInteger(value) &&
    value % range.step === 0 &&
    value >= range.min &&
    value <= maxOf(axes, range.max)
  );
}

export function describeRange(axes: readonly AxisRange[], range: AxisRange): string {
  if (range.kind === "enum") return `one of ${range.values.map((value) => JSON.stringify(value)).join(", ")}`;
  const bound =
    typeof range.max === "number" ? `${range.max}` : `${range.max} (at most ${maxOf(axes, range.max)})`;
  return `a multiple of ${range.step} from ${range.min} to ${bound}`;
}

/** What others call the names of our axes, in small letters and without dashes. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["bfloat16", "bf16"],
  ["float16", "f16"],
  ["fp16", "f16"],
  ["half", "f16"],
  ["gptneox", "neox"],
  ["rotatehalf", "neox"],
  ["gptj", "interleaved"],
]);

/** The name that an axis has for what others call it; undefined where it has none. */
export function aliasOf(range: AxisRange, value: unknown): string | undefined {
  if (range.kind !== "enum" || typeof value !== "string") return undefined;
  const name = ALIASES.get(
    value
      .toLowerCase()
      .replace(/^torch\./, "")
      .replaceAll(/[-_]/g, ""),
  );
  return name !== undefined && range.values.includes(name) ? name : undefined;
}

function maxOf(axes: readonly AxisRange[], max: number | string): number {
  if (typeof max === "number") return max;
  const bounding = axes.find(({ name }) => name === max);
  return bounding?.kind === "integer" ? maxOf(axes, bounding.max) : Number.POSITIVE_INFINITY;
}

interface Rule {
  readonly name: string;
  /** The reason why the rule forbids the point, or undefined. */
  readonly forbids: (point: ConfigPoint) => string | undefined;
  readonly axes: readonly (keyof ConfigPoint)[];
}

export const RULES: readonly Rule[] = [
  {
    name: "rotary_dim_within_head",
    axes: ["headDim", "rotaryDim"],
    forbids: ({ headDim, rotaryDim }) =>
      rotaryDim > headDim ? `a head of ${headDim} elements has no ${rotaryDim} to rotate` : undefined,
  },
];

export function rejectionOf(point: ConfigPoint): Rejection | undefined {
  for (const rule of RULES) {
    const reason = rule.forbids(point);
    if (reason === undefined) continue;
    const values = Object.fromEntries(rule.axes.map((axis) => [axis, point[axis]]));
    return { rule: rule.name, reason, values };
  }
  return undefined;
}
