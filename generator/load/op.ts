/**
 * Reads an op: its axes, and the expression in `head` as a list of stages.
 *
 * In: the object given to `defineOp`. Out: the op, or undefined and reports.
 */
import { type ArrowFunction, type CallExpression, type Expression, Node } from "ts-morph";
import { configPointSchema, type Stage, type StageArgument } from "../../runtime/manifest.js";
import { show } from "../diagnostics.js";
import type { AxisName, AxisRange, Op } from "../ir.js";
import { OP_NAME } from "../name.js";
import {
  dslFunction,
  type Property,
  type Report,
  readProperties,
  readScalar,
  unsupported,
  unwrap,
} from "./literals.js";
import { portablePath, spanOf } from "./project.js";

const AXIS_NAMES = configPointSchema.keyof().options;

export function readOp(call: CallExpression, configPath: string, report: Report): Op | undefined {
  const [definition] = call.getArguments();
  if (!Node.isExpression(definition)) return undefined;
  const properties = readProperties(definition, report);
  const name = properties?.get("name");
  const axes = properties?.get("axes");
  const head = properties?.get("head");
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
  if (properties === undefined) return undefined;
  const ranges = AXIS_NAMES.map((name) => {
    const property = properties.get(name);
    return property === undefined ? undefined : readRange(name, property, report);
  });
  const known = ranges.filter((range) => range !== undefined);
  return known.length === AXIS_NAMES.length ? known : undefined;
}

/** What `plan` can lay out over lanes: an op may narrow it. */
const LIMITS = {
  headDim: { step: 8, min: 16, max: 1024 },
  rotaryDim: { step: 2, min: 2, max: 1024 },
} as const;

function readRange(name: AxisName, property: Property, report: Report): AxisRange | undefined {
  const call = unwrap(property.value);
  const callee = Node.isCallExpression(call) ? dslFunction(call.getExpression()) : undefined;
  if (!Node.isCallExpression(call) || callee === undefined) {
    report(unsupported(property.value, "`multipleOf(…)`, `even(…)` or `oneOf(…)`"));
    return undefined;
  }
  const args = call.getArguments().filter(Node.isExpression);
  if (callee === "oneOf") {
    const values = args.map((arg) => readScalar(arg, report)?.value);
    return { kind: "enum", name, values: values.filter((value) => typeof value === "string") };
  }
  const [first, second] = args;
  const isEven = callee === "even";
  const range = readIntegerRange(name, isEven ? undefined : first, isEven ? first : second, report);
  if (range !== undefined) return range;
  const { step, min, max } = name === "rotaryDim" ? LIMITS.rotaryDim : LIMITS.headDim;
  report({
    code: "bad-op",
    message: `\`${property.value.getText()}\` is no range that kernels can be made for`,
    fix: `${name} takes multiples of ${step} from ${min} to ${max}, or fewer`,
    span: spanOf(property.value),
  });
  return undefined;
}

function readIntegerRange(
  name: AxisName,
  stepArgument: Expression | undefined,
  bounds: Expression | undefined,
  report: Report,
): AxisRange | undefined {
  if (name !== "headDim" && name !== "rotaryDim") return undefined;
  const limits = LIMITS[name];
  const range = bounds && readProperties(bounds, report);
  const scalar = (key: string) => {
    const value = range?.get(key)?.value;
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

/** More stages than this are a head that is made of itself. */
const STAGES_MAX = 100;

/** `f(g(x, a), b)` is the stages g, f: the innermost is applied first. */
function readHead(head: Property, report: Report): Stage[] | undefined {
  const arrow = unwrap(head.value);
  if (!Node.isArrowFunction(arrow)) {
    report(unsupported(head.value, "an arrow function `(x, { … }) => stage(x, …)`"));
    return undefined;
  }
  const body = arrow.getBody();
  if (!Node.isExpression(body)) {
    report(unsupported(body, "the result as one expression, without braces"));
    return undefined;
  }
  const paths = parameterPaths(arrow);
  const stages: Stage[] = [];
  for (let current = unwrap(body); paths.get(current.getText()) !== "head"; ) {
    const name = Node.isCallExpression(current) ? dslFunction(current.getExpression()) : undefined;
    const [inner, args] = Node.isCallExpression(current) ? current.getArguments() : [];
    if (name === undefined || !Node.isExpression(inner)) {
      report(
        unsupported(current, "a stage function of normrope/dsl around the head, such as `rmsNorm(x, …)`"),
      );
      return undefined;
    }
    const read = Node.isExpression(args) ? readStageArgs(args, paths, report) : {};
    if (read === undefined) return undefined;
    stages.unshift({ name, args: read });
    if (stages.length > STAGES_MAX) {
      report(unsupported(body, "a head that does not lead back to itself"));
      return undefined;
    }
    current = unwrap(inner);
  }
  const problem = stageProblem(stages);
  if (problem === undefined) return stages;
  report({ code: "bad-op", ...problem, span: spanOf(head.node) });
  return undefined;
}

/** What each parameter of `head` means: `head`, `weight`, `axes`, …; a name destructured or not. */
function parameterPaths(arrow: ArrowFunction): Map<string, string> {
  const [x, context] = arrow.getParameters();
  const paths = new Map<string, string>();
  if (x !== undefined) paths.set(x.getName(), "head");
  const pattern = context?.getNameNode();
  if (Node.isObjectBindingPattern(pattern)) {
    for (const element of pattern.getElements()) {
      paths.set(element.getName(), element.getPropertyNameNode()?.getText() ?? element.getName());
    }
  } else if (context !== undefined) {
    paths.set(context.getName(), "");
  }
  return paths;
}

function readStageArgs(
  args: Expression,
  paths: ReadonlyMap<string, string>,
  report: Report,
): Stage["args"] | undefined {
  const properties = readProperties(args, report);
  if (properties === undefined) return undefined;
  const read: Stage["args"] = {};
  for (const [name, { value }] of properties) {
    const argument = readStageArgument(value, paths, report);
    if (argument === undefined) return undefined;
    read[name] = argument;
  }
  return read;
}

function readStageArgument(
  value: Expression,
  paths: ReadonlyMap<string, string>,
  report: Report,
): StageArgument | undefined {
  const path = pathOf(value, paths);
  if (path === "weight" || path === "eps" || path === "angle") return { kind: "input", name: path };
  const axis = AXIS_NAMES.find((name) => path === `axes.${name}`);
  if (axis !== undefined) return { kind: "axis", axis };
  const constant = readScalar(value, report);
  if (constant === undefined) return undefined;
  if (typeof constant.value === "number" && Number.isFinite(Math.fround(constant.value))) {
    return { kind: "constant", value: constant.value };
  }
  report(unsupported(value, "a number that float32 can hold, or an input or axis of the context"));
  return undefined;
}

/** `axes.rope` for `axes.rope`, `context.axes.rope` and a renamed `a.rope`; undefined for anything else. */
function pathOf(expression: Expression, paths: ReadonlyMap<string, string>): string | undefined {
  const access = unwrap(expression);
  if (Node.isIdentifier(access)) return paths.get(access.getText());
  if (!Node.isPropertyAccessExpression(access)) return undefined;
  const base = pathOf(access.getExpression(), paths);
  if (base === undefined) return undefined;
  return base === "" ? access.getName() : `${base}.${access.getName()}`;
}

/**
 * The norm measures the head as it comes in; the layout over lanes, the RoPE table's length and the C interface
 * follow from one rotation over the op's own axes.
 */
function stageProblem(stages: readonly Stage[]): { message: string; fix: string } | undefined {
  const rotations = stages.filter(({ name }) => name === "rotate");
  const { pairs, dim } = rotations[0]?.args ?? {};
  const fix = "rotate once, with `pairs: axes.rope, dim: axes.rotaryDim`";
  if (rotations.length !== 1) return { message: `the head is rotated ${rotations.length} times`, fix };
  if (pairs?.kind !== "axis" || pairs.axis !== "rope")
    return { message: "`pairs` of rotate is not `axes.rope`", fix };
  if (dim?.kind !== "axis" || dim.axis !== "rotaryDim")
    return { message: "`dim` of rotate is not `axes.rotaryDim`", fix };
  const norms = stages.filter(({ name }) => name === "rmsNorm");
  if (norms.length === 1 && stages[0] === norms[0]) return undefined;
  return {
    message: "rmsNorm is not the first stage, and the only norm",
    fix: "apply rmsNorm to x itself, and only there",
  };
}
