/**
 * Reads the ranges that an op narrows, as in `ranges: { … multipleOf(16, { min: 16, max: 64 }) }`.
 *
 * In: the property `ranges` of `defineOp`'s object, and the axes that the stages leave open. Out: the op's axes, or undefined
 * and reports.
 */
import { type CallExpression, Node } from "ts-morph";
import type { Diagnostic } from "../diagnostics.js";
import type { Axis, AxisValue } from "../ir.js";
import {
  areKnown,
  dslName,
  type Property,
  type Report,
  readElements,
  readProperties,
  readScalar,
  unwrap,
} from "./literals.js";
import { spanOf } from "./project.js";
import { shortText, unsupported } from "./unsupported.js";

/** The op's axes, some of them narrowed. */
export function readRanges(
  ranges: Property | undefined,
  own: readonly Axis[],
  report: Report,
): readonly Axis[] | undefined {
  if (ranges === undefined) return own;
  const narrowed = readProperties(ranges.value, report);
  const names = own.map(({ name }) => name);
  if (narrowed === undefined || !areKnown("ranges", narrowed, names, report)) return undefined;
  const axes = own.flatMap((axis) => {
    const property = narrowed.get(axis.name);
    return (property === undefined ? axis : readRange(axis, property, report)) ?? [];
  });
  return axes.length === own.length ? axes : undefined;
}

function readRange(axis: Axis, property: Property, report: Report): Axis | undefined {
  const call = unwrap(property.value);
  const callee = Node.isCallExpression(call) ? dslName(call.getExpression()) : undefined;
  if (!Node.isCallExpression(call) || callee === undefined) {
    report(unsupported(call, "`multipleOf(…)` or `oneOf(…)`"));
    return undefined;
  }
  const found: Diagnostic[] = [];
  const read = readCall(callee, call, (diagnostic) => found.push(diagnostic));
  for (const diagnostic of found) report(diagnostic);
  if (found.length > 0) return undefined;
  const range = read && narrowedBy(axis, read);
  if (range !== undefined) return range;
  report({
    code: "bad-op",
    message: `\`${shortText(call)}\` is no range that kernels can be made for`,
    fix: `${describeLimits(axis)}, or fewer`,
    span: spanOf(call),
  });
  return undefined;
}

function describeLimits(axis: Axis): string {
  if (axis.kind === "enum") {
    return `${axis.name} takes \`oneOf(${axis.values.map((value) => JSON.stringify(value)).join(", ")})\``;
  }
  return `${axis.name} takes multiples of ${axis.step} from ${axis.min} to ${axis.max}`;
}

/** The arguments of a range. */
type Given =
  | { readonly callee: "oneOf"; readonly values: readonly AxisValue[] }
  | {
      readonly callee: "multipleOf";
      readonly step: AxisValue;
      readonly min: AxisValue;
      readonly max: AxisValue;
    };

/** Undefined if it is no range, or after a report. */
function readCall(callee: string, call: CallExpression, report: Report): Given | undefined {
  const args = call.getArguments().filter(Node.isExpression);
  if (callee === "oneOf") {
    const elements = args.flatMap((arg) =>
      Node.isSpreadElement(arg) ? (readElements(arg.getExpression(), report) ?? []) : [arg],
    );
    return { callee, values: elements.flatMap((element) => readScalar(element, report)?.value ?? []) };
  }
  if (callee !== "multipleOf") return undefined;
  const [step, bounds] = args;
  const range = bounds && readProperties(bounds, report);
  if (step === undefined || range === undefined || !areKnown(callee, range, ["min", "max"], report))
    return undefined;
  const [min, max] = [range.get("min"), range.get("max")];
  const read = [step, min?.value, max?.value].map((value) => value && readScalar(value, report)?.value);
  const [stepValue, minValue, maxValue] = read;
  if (stepValue === undefined || minValue === undefined || maxValue === undefined) return undefined;
  return { callee, step: stepValue, min: minValue, max: maxValue };
}

/** The axis with fewer values; undefined if they are not all its own. */
function narrowedBy(axis: Axis, given: Given): Axis | undefined {
  if (axis.kind === "enum") {
    if (given.callee !== "oneOf") return undefined;
    const values = axis.values.filter((value) => given.values.includes(value));
    return values.length === given.values.length && values.length > 0 ? { ...axis, values } : undefined;
  }
  if (given.callee !== "multipleOf") return undefined;
  const { step, min, max } = given;
  if (typeof step !== "number" || typeof min !== "number" || typeof max !== "number") return undefined;
  const isNarrower =
    [step, min, max].every(Number.isInteger) &&
    step > 0 &&
    step % axis.step === 0 &&
    min >= axis.min &&
    min <= max &&
    max <= axis.max;
  return isNarrower ? { ...axis, step, min, max } : undefined;
}
