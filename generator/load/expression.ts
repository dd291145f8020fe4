/**
 * Reads a side's expression as a list of stages.
 *
 * In: a property of `defineOp`'s object, such as `head: (x) => rotate(norm(x))`. Out: the stages in the order of application,
 * each with its node, or undefined and a report.
 */
import { type CallExpression, Node } from "ts-morph";
import { AXES, STAGES } from "../../dsl/axes.js";
import type { AxisValue } from "../../dsl/axis.js";
import { isInRange } from "../../dsl/axis.js";
import { describeRange } from "../../dsl/legality.js";
import { OUT, type StageCall } from "../../dsl/sides.js";
import type { Stage } from "../../dsl/stage.js";
import { show } from "../diagnostics.js";
import { didYouMean } from "./closest.js";
import {
  areKnown,
  dslName,
  type Property,
  type Report,
  readProperties,
  readScalar,
  unwrap,
} from "./literals.js";
import { spanOf } from "./project.js";
import { unsupported } from "./unsupported.js";

/** A longer expression refers to itself. */
const STAGES_MAX = 100;

/** A stage and its node. */
export interface WrittenStage {
  readonly call: StageCall;
  readonly node: Node;
}

/** `f(g(x, a), b)` is the stages g, f: the innermost is applied first. */
export function readExpression({ value, name }: Property, report: Report): WrittenStage[] | undefined {
  const arrow = unwrap(value);
  if (!Node.isArrowFunction(arrow)) {
    report(unsupported(arrow, `an arrow function: \`${name}: (x) => stage(x)\``));
    return undefined;
  }
  const body = arrow.getBody();
  if (!Node.isExpression(body)) {
    report(unsupported(body, "the result as one expression, without braces"));
    return undefined;
  }
  const [x, surplus] = arrow.getParameters();
  if (surplus !== undefined) {
    const message = `\`${name}\` takes one parameter, the head`;
    report({
      ...{ code: "bad-op", message, span: spanOf(surplus) },
      fix: "stages take their inputs from the call by themselves: write `(x) => rotate(norm(x))`",
    });
    return undefined;
  }
  const stages: WrittenStage[] = [];
  for (let current = unwrap(body); x === undefined || current.getText() !== x.getName(); ) {
    const call = Node.isCallExpression(current) ? current : undefined;
    const stage = call && STAGES.get(dslName(call.getExpression()) ?? "");
    const [inner] = call?.getArguments() ?? [];
    if (call === undefined || stage === undefined || !Node.isExpression(inner)) {
      report(unsupported(current, `a stage of normrope/dsl around the head: ${known()}`));
      return undefined;
    }
    const args = readArgs(call, stage, report);
    if (args === undefined) return undefined;
    stages.unshift({ call: { name: stage.name, args }, node: call.getExpression() });
    if (stages.length > STAGES_MAX) {
      report(unsupported(body, "a head that does not lead back to itself"));
      return undefined;
    }
    current = unwrap(inner);
  }
  return stages;
}

/** The stages that are words of the language. */
const known = () =>
  [...STAGES.keys()]
    .filter((name) => name !== OUT.name)
    .map((name) => `\`${name}(x)\``)
    .join(", ");

/** The axes that the arguments of a stage fix. */
function readArgs(call: CallExpression, stage: Stage, report: Report): StageCall["args"] | undefined {
  const { name } = stage;
  const [, args, surplus] = call.getArguments();
  if (surplus !== undefined) {
    const message = `${name} takes no third argument`;
    const fix = "give it the head and one object of arguments";
    report({ code: "bad-op", message, fix, span: spanOf(surplus) });
    return undefined;
  }
  const given = Node.isExpression(args) ? readProperties(args, report) : new Map<string, Property>();
  const axes = AXES.filter((axis) => Object.keys(stage.axes).includes(axis.name));
  const names = axes.map((axis) => axis.name);
  if (given === undefined || !areKnown(name, given, names, report)) return undefined;
  const read: Record<string, AxisValue> = {};
  for (const axis of axes) {
    const property = given.get(axis.name);
    if (property === undefined) continue;
    const found = readScalar(property.value, report);
    if (found === undefined) return undefined;
    if (!isInRange(axis, found.value)) {
      const message = `${show(found.value)} is no value of ${axis.name}, which ${name} takes`;
      const fix = `${axis.name} is ${describeRange(axis)}${didYouMean(axis, found.value)}`;
      report({ code: "value-not-in-axis", message, fix, span: found.span });
      return undefined;
    }
    read[axis.name] = found.value;
  }
  return read;
}
