/**
 * Reads the expression in an op's `head` as a list of stages.
 *
 * In: the `head` of what is given to `defineOp`. Out: the stages in the order of application, or undefined and a report.
 */
import {
  type ArrowFunction,
  type BindingName,
  type CallExpression,
  type FunctionDeclaration,
  Node,
} from "ts-morph";
import type { Stage } from "../../runtime/manifest.js";
import { dslFunction, type Property, type Report, unwrap } from "./literals.js";
import { spanOf } from "./project.js";
import { memberPath, type Paths, readStageArgs } from "./stage_args.js";
import { unsupported } from "./unsupported.js";

/** More stages than this are a head that is made of itself. */
const STAGES_MAX = 100;

/** `f(g(x, a), b)` is the stages g, f: the innermost is applied first. */
export function readHead(head: Property, report: Report): Stage[] | undefined {
  const arrow = unwrap(head.value);
  if (!Node.isArrowFunction(arrow)) {
    report(unsupported(arrow, "an arrow function `(x, { … }) => stage(x, …)`"));
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
    const call = Node.isCallExpression(current) ? current : undefined;
    const stage = call && stageFunction(call);
    const [inner] = call?.getArguments() ?? [];
    if (call === undefined || stage === undefined || !Node.isExpression(inner)) {
      report(unsupported(current, "a stage function of normrope/dsl around the head, such as `norm(x, …)`"));
      return undefined;
    }
    const args = readStageArgs(call, stage, paths, report);
    if (args === undefined) return undefined;
    stages.unshift({ name: stage.getName() ?? "", args });
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

/** The function of the language that is called, where it is one from head to head. */
function stageFunction(call: CallExpression): FunctionDeclaration | undefined {
  const declaration = dslFunction(call.getExpression());
  const [first] = declaration?.getParameters() ?? [];
  return first?.getType().getSymbol()?.getName() === "Head" ? declaration : undefined;
}

/** What each parameter of `head` means: `head`, `weight`, `axes`, …; a name destructured or not. */
function parameterPaths(arrow: ArrowFunction): Paths {
  const [x, context] = arrow.getParameters();
  const paths = new Map<string, string>();
  if (x !== undefined) paths.set(x.getName(), "head");
  if (context !== undefined) addPaths(paths, context.getNameNode(), "");
  return paths;
}

function addPaths(paths: Map<string, string>, name: BindingName, path: string): void {
  if (!Node.isObjectBindingPattern(name)) {
    paths.set(name.getText(), path);
    return;
  }
  for (const element of name.getElements()) {
    const isRest = element.getDotDotDotToken() !== undefined;
    const member = element.getPropertyNameNode()?.getText() ?? element.getName();
    addPaths(paths, element.getNameNode(), isRest ? path : memberPath(path, member));
  }
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
  const norms = stages.filter(({ name }) => name === "norm");
  if (norms.length === 1 && stages[0] === norms[0]) return undefined;
  return {
    message: "norm is not the first stage, and the only norm",
    fix: "apply norm to x itself, and only there",
  };
}
