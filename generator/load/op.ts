/**
 * Reads an op: its name, the stages of its sides, and the ranges that it narrows.
 *
 * In: the object given to `defineOp`. Out: the op, or undefined and reports.
 */
import { type CallExpression, Node } from "ts-morph";
import { SIDES, type Side } from "../../dsl/inputs.js";
import { stageRejection } from "../../dsl/legality.js";
import { openAxes, type SideStages, type StageCall } from "../../dsl/sides.js";
import { type Diagnostic, show } from "../diagnostics.js";
import type { Axis, AxisValue, Op } from "../ir.js";
import { OP_NAME } from "../kernel_id.js";
import { readExpression, type WrittenStage } from "./expression.js";
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
import { portablePath, spanOf } from "./project.js";
import { shortText, unsupported } from "./unsupported.js";

export function readOp(call: CallExpression, configPath: string, reportTo: Report): Op | undefined {
  const [definition] = call.getArguments();
  if (!Node.isExpression(definition)) return undefined;
  let isRead = true;
  const report: Report = (diagnostic) => {
    isRead = false;
    reportTo(diagnostic);
  };
  const properties = readProperties(definition, report);
  if (
    properties === undefined ||
    !areKnown("an op", properties, ["name", "ranges", "head", ...SIDES], report)
  )
    return undefined;
  const name = properties.get("name");
  if (name === undefined) {
    const fix = 'give it one, such as `name: "my_op"`';
    if (isRead) report({ code: "bad-op", message: "the op has no `name`", fix, span: spanOf(definition) });
    return undefined;
  }

  const located = readScalar(name.value, report);
  if (located === undefined) return undefined;
  if (typeof located.value !== "string" || !OP_NAME.test(located.value)) {
    report({
      code: "bad-op",
      message: `${show(located.value)} cannot be the name of an op`,
      fix: "use lower-case words joined by single underscores, such as qk_norm_rope",
      span: located.span,
    });
    return undefined;
  }
  if (!isRead) return undefined; // what is missing then is not missed twice
  const stages = readSides(definition, properties, report);
  if (stages === undefined) return undefined;
  const axes = readRanges(properties.get("ranges"), openAxes(stages), report);
  if (axes === undefined) return undefined;
  const source = portablePath(call.getSourceFile().getFilePath(), configPath);
  return { name: located.value, source, axes, stages };
}

/** The stages of each side that has any. */
function readSides(
  definition: Node,
  properties: ReadonlyMap<string, Property>,
  report: Report,
): SideStages | undefined {
  const bad = (node: Node, message: string, fix: string) => {
    report({ code: "bad-op", message, fix, span: spanOf(node) });
    return undefined;
  };
  const head = properties.get("head");
  const doubled = head && (properties.get("q") ?? properties.get("k"));
  if (doubled !== undefined) {
    const message = `the op has \`head\`, which is short for q and k, and \`${doubled.name}\``;
    return bad(doubled.node, message, "write `q` and `k`, or `head` alone");
  }
  const written = new Map<Side, WrittenStage[]>();
  for (const side of SIDES) {
    const property = properties.get(side) ?? (side === "v" ? undefined : head);
    if (property === undefined) continue;
    const read = readExpression(property, report);
    if (read === undefined) return undefined;
    if (read.length > 0) written.set(side, read);
  }
  const stages: Record<string, StageCall[]> = {};
  for (const [side, read] of written) stages[side] = read.map(({ call }) => call);
  const rejection = stageRejection(stages);
  if (rejection === undefined) return stages;
  const { rule, reason, fix, at } = rejection;
  const node = at && written.get(at.side)?.[at.index]?.node;
  return bad(node ?? definition, `${reason} (rule ${rule})`, fix);
}

/** The op's axes, narrowed where it says so. */
function readRanges(
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

/** What a range is given, by the function that makes it. */
type Given =
  | { readonly callee: "oneOf"; readonly values: readonly AxisValue[] }
  | {
      readonly callee: "multipleOf";
      readonly step: AxisValue;
      readonly min: AxisValue;
      readonly max: AxisValue;
    };

/** Undefined where it is no range, or what is wrong is reported. */
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

/** The axis with fewer values; undefined where they are not among its own. */
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
