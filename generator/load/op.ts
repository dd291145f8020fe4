/**
 * Reads an op: its name and the ranges of its axes; `head` reads the stages.
 *
 * In: the object given to `defineOp`. Out: the op, or undefined and reports.
 */
import { type CallExpression, type Expression, Node } from "ts-morph";
import { configPointSchema } from "../../runtime/manifest.js";
import { type Diagnostic, show } from "../diagnostics.js";
import type { AxisName, AxisRange, Op } from "../ir.js";
import { OP_NAME } from "../name.js";
import { readHead } from "./head.js";
import {
  dslFunction,
  type Property,
  type Report,
  readElements,
  readProperties,
  readScalar,
  unwrap,
} from "./literals.js";
import { portablePath, spanOf } from "./project.js";
import { shortText, surplusName, unsupported } from "./unsupported.js";

const OP_PARTS = ["name", "axes", "head"];
const AXIS_NAMES = configPointSchema.keyof().options;

export function readOp(call: CallExpression, configPath: string, report: Report): Op | undefined {
  const [definition] = call.getArguments();
  if (!Node.isExpression(definition)) return undefined;
  const properties = readProperties(definition, report);
  if (properties === undefined || !areKnown("an op", properties, OP_PARTS, report)) return undefined;
  const [name, axes, head] = OP_PARTS.map((part) => properties.get(part));
  if (name === undefined || axes === undefined || head === undefined) return undefined;

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
  const ranges = readAxes(axes, report);
  const stages = readHead(head, report);
  if (ranges === undefined || stages === undefined) return undefined;
  const source = portablePath(call.getSourceFile().getFilePath(), configPath);
  return { name: located.value, source, axes: ranges, stages };
}

function readAxes(axes: Property, report: Report): AxisRange[] | undefined {
  const properties = readProperties(axes.value, report);
  if (properties === undefined || !areKnown("an op", properties, AXIS_NAMES, report)) return undefined;
  const ranges = AXIS_NAMES.map((name) => {
    const property = properties.get(name);
    return property === undefined ? undefined : readRange(name, property, report);
  });
  const known = ranges.filter((range) => range !== undefined);
  return known.length === AXIS_NAMES.length ? known : undefined;
}

/** What kernels can be made for: an op may narrow it. */
const LIMITS = {
  headDim: { step: 8, min: 16, max: 1024 },
  rotaryDim: { step: 2, min: 2, max: 1024 },
  rope: configPointSchema.shape.rope.options,
  dtype: configPointSchema.shape.dtype.options,
} as const;

function readRange(name: AxisName, property: Property, report: Report): AxisRange | undefined {
  const call = unwrap(property.value);
  const callee = Node.isCallExpression(call) ? dslFunction(call.getExpression())?.getName() : undefined;
  if (!Node.isCallExpression(call) || callee === undefined) {
    report(unsupported(call, "`multipleOf(…)`, `even(…)` or `oneOf(…)`"));
    return undefined;
  }
  const args = call.getArguments().filter(Node.isExpression);
  const found: Diagnostic[] = [];
  const range =
    name === "headDim" || name === "rotaryDim"
      ? readIntegerRange(name, callee, args, (diagnostic) => found.push(diagnostic))
      : readEnumRange(name, callee, args, (diagnostic) => found.push(diagnostic));
  for (const diagnostic of found) report(diagnostic);
  if (range !== undefined || found.length > 0) return range;
  report({
    code: "bad-op",
    message: `\`${shortText(call)}\` is no range that kernels can be made for`,
    fix: `${describeLimits(name)}, or fewer`,
    span: spanOf(call),
  });
  return undefined;
}

function describeLimits(name: AxisName): string {
  if (name === "rope" || name === "dtype") {
    return `${name} takes \`oneOf(${LIMITS[name].map((value) => JSON.stringify(value)).join(", ")})\``;
  }
  const { step, min, max } = LIMITS[name];
  return `${name} takes multiples of ${step} from ${min} to ${max}`;
}

function readEnumRange(
  name: "rope" | "dtype",
  callee: string,
  args: readonly Expression[],
  report: Report,
): AxisRange | undefined {
  const elements = args.flatMap((arg) =>
    Node.isSpreadElement(arg) ? (readElements(arg.getExpression(), report) ?? []) : [arg],
  );
  const values = elements.map((element) => readScalar(element, report)?.value);
  const legal = LIMITS[name].filter((value) => values.includes(value));
  if (callee !== "oneOf" || legal.length !== values.length) return undefined;
  return { kind: "enum", name, values: values.filter((value) => typeof value === "string") };
}

function readIntegerRange(
  name: "headDim" | "rotaryDim",
  callee: string,
  args: readonly Expression[],
  report: Report,
): AxisRange | undefined {
  const limits = LIMITS[name];
  const isEven = callee === "even";
  if (!isEven && callee !== "multipleOf") return undefined;
  const [stepArgument, bounds] = isEven ? [undefined, ...args] : args;
  const range = bounds && readProperties(bounds, report);
  const known = isEven ? ["min", "max", "default"] : ["min", "max"];
  if (range === undefined || !areKnown(callee, range, known, report)) return undefined;
  const scalar = (key: string) => {
    const value = range.get(key)?.value;
    return value && readScalar(value, report)?.value;
  };
  const step = stepArgument === undefined ? 2 : readScalar(stepArgument, report)?.value;
  const [min, max, fallback] = [scalar("min"), scalar("max"), scalar("default")];
  const bound = typeof max === "number" ? max : AXIS_NAMES.find((axis) => axis === max);
  if (typeof step !== "number" || typeof min !== "number" || bound === undefined || bound === name)
    return undefined;
  const isLegal = step > 0 && step % limits.step === 0 && min >= limits.min && !(Number(bound) > limits.max);
  if (!isLegal) return undefined;
  return {
    kind: "integer",
    name,
    step,
    min,
    max: bound,
    default: AXIS_NAMES.find((axis) => axis === fallback),
  };
}

/** Whether what is given are names that are read; others would be ignored, and are reported. */
function areKnown(
  owner: string,
  given: ReadonlyMap<string, Property>,
  known: readonly string[],
  report: Report,
): boolean {
  const surplus = [...given.values()].filter(({ name }) => !known.includes(name));
  for (const { name, node } of surplus) report(surplusName(owner, name, known, node));
  return surplus.length === 0;
}
