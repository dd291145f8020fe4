/**
 * Reads what a stage is given, by what its function declares.
 *
 * In: the call of a stage function, and its declaration in `dsl/language.ts`. Out: its arguments, or undefined and a
 * report. The declared type says where an argument's value comes from: templates and the oracle take an input and an
 * axis from the call and the point, and would not look at a constant in their place.
 */
import { type CallExpression, type Expression, type FunctionDeclaration, Node, type Type } from "ts-morph";
import { AXES } from "../../dsl/axes.js";
import type { Stage, StageArgument } from "../../runtime/manifest.js";
import { internalError } from "../diagnostics.js";
import { type Report, readProperties, readScalar, unwrap } from "./literals.js";
import { spanOf } from "./project.js";
import { shortText, surplusName } from "./unsupported.js";

/** What each name in `head` means, as a path in its context: `weight`, `axes`, `axes.rope`, or `head`; "" is the context. */
export type Paths = ReadonlyMap<string, string>;

/** What the call of a kernel gives. */
const INPUTS = ["weight", "eps", "angle"] as const;
/** What an argument is declared to take. */
type Slot = (typeof INPUTS)[number] | "axis" | "constant";

interface Declared {
  readonly slot: Slot;
  readonly isOptional: boolean;
}

export function readStageArgs(
  call: CallExpression,
  stage: FunctionDeclaration,
  paths: Paths,
  report: Report,
): Stage["args"] | undefined {
  const name = stage.getName() ?? "";
  const bad = (node: Node, message: string, fix: string) => {
    report({ code: "bad-op", message, fix, span: spanOf(node) });
    return undefined;
  };
  const [, args, surplus] = call.getArguments();
  if (surplus !== undefined) {
    return bad(surplus, `${name} takes no third argument`, "give it the head and one object of arguments");
  }
  const given = Node.isExpression(args) ? readProperties(args, report) : new Map<string, never>();
  if (given === undefined) return undefined;
  const declared = declaredArgs(stage);
  const read: Stage["args"] = {};
  for (const [argument, { node, value }] of given) {
    const slot = declared.get(argument)?.slot;
    if (slot === undefined) {
      report(surplusName(name, argument, [...declared.keys()], node));
      return undefined;
    }
    const found = readArgument(slot, value, paths, report);
    if (found === undefined) return undefined;
    if (found === "unfit") {
      const { takes, fix } = TAKES[slot];
      return bad(
        node,
        `\`${argument}\` of ${name} is \`${shortText(value)}\`, and can only be ${takes}`,
        fix,
      );
    }
    read[argument] = found;
  }
  const missing = [...declared].find(([argument, { isOptional }]) => !isOptional && !given.has(argument));
  if (missing === undefined) return read;
  const [argument, { slot }] = missing;
  return bad(call, `${name} is given no \`${argument}\``, `add it: ${TAKES[slot].fix}`);
}

const ofCall = (input: string) => ({
  takes: `the ${input} of the call`,
  fix: `write \`${input}\`, which \`head: (x, { ${input} }) => …\` takes`,
});
const TAKES: Readonly<Record<Slot, { readonly takes: string; readonly fix: string }>> = {
  weight: ofCall("weight"),
  eps: ofCall("eps"),
  angle: ofCall("angle"),
  axis: {
    takes: "an axis",
    fix: "write an axis by its name: `head: (x, { axes }) => …` takes them, and `axes.rotaryDim` is one",
  },
  constant: { takes: "a number", fix: "write a number that float32 can hold" },
};

/** The arguments of a stage function by name. */
function declaredArgs(stage: FunctionDeclaration): Map<string, Declared> {
  const [, args] = stage.getParameters();
  const properties = args?.getType().getNonNullableType().getProperties() ?? [];
  return new Map(
    properties.map((property) => {
      const name = property.getName();
      const type = property.getTypeAtLocation(stage).getNonNullableType();
      const slot = slotOf(type, stage);
      if (slot !== undefined) return [name, { slot, isOptional: property.isOptional() }];
      throw internalError("load", `${stage.getName()} declares ${name} as ${type.getText(stage)}`);
    }),
  );
}

function slotOf(type: Type, stage: FunctionDeclaration): Slot | undefined {
  if (type.isNumber()) return "constant";
  if (type.getProperty("axis") !== undefined) return "axis";
  const input = type.getProperty("input")?.getTypeAtLocation(stage).getLiteralValue();
  return INPUTS.find((name) => name === input);
}

/** The argument, "unfit" for what the slot does not take, or undefined and a report. */
function readArgument(
  slot: Slot,
  value: Expression,
  paths: Paths,
  report: Report,
): StageArgument | "unfit" | undefined {
  const path = pathOf(value, paths);
  if (slot === "axis") {
    const axis = AXES.find(({ name }) => path === `axes.${name}`);
    return axis === undefined ? "unfit" : { kind: "axis", axis: axis.name };
  }
  if (slot !== "constant") return path === slot ? { kind: "input", name: slot } : "unfit";
  if (path !== undefined) return "unfit";
  const constant = readScalar(value, report)?.value;
  if (constant === undefined) return undefined;
  const isFloat = typeof constant === "number" && Number.isFinite(Math.fround(constant));
  return isFloat ? { kind: "constant", value: constant } : "unfit";
}

/** `axes.rope` for `axes.rope`, `context.axes.rope` and a renamed `a.rope`; undefined for anything else. */
function pathOf(expression: Expression, paths: Paths): string | undefined {
  const access = unwrap(expression);
  if (Node.isIdentifier(access)) return paths.get(access.getText());
  if (!Node.isPropertyAccessExpression(access)) return undefined;
  const base = pathOf(access.getExpression(), paths);
  return base === undefined ? undefined : memberPath(base, access.getName());
}

/** The path of a member of what a path leads to. */
export function memberPath(base: string, name: string): string {
  return base === "" ? name : `${base}.${name}`;
}
