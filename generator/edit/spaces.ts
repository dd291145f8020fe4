/**
 * Finds the space of a config that an edit is for.
 *
 * In: the spaces of a config, and the name of an op or the stages of a model. Out: the space, or an error that says what to
 * write.
 */
import { axisOutside, describeRange, rejectionOf } from "../../dsl/legality.js";
import { completed, type Values, valueOn } from "../../dsl/points.js";
import { callsOf, expressionOf, openAxes, type StageCall, sideTexts } from "../../dsl/sides.js";
import { quoted, show, userError } from "../diagnostics.js";
import type { Op, Space } from "../ir.js";
import { entriesOf } from "./text.js";

/** What a model's layers need. */
export interface Wanted {
  /** The stages of each head of q and k, the innermost first. */
  readonly stages: readonly StageCall[];
  /** The values of the axes, for each group of layers. */
  readonly values: readonly Values[];
}

/** The space of the op that `--op` names. @throws UserError `bad-option`. */
export function spaceNamed(configPath: string, spaces: readonly Space[], opName: string): Space {
  const named = spaces.find(({ op }) => op.name === opName);
  if (named !== undefined) return named;
  const names = spaces.map(({ op }) => op.name).join(", ");
  throw userError("bad-option", `--op is ${show(opName)}`, `the ops of ${quoted(configPath)} are ${names}`);
}

/**
 * The op that does to q and k what a model does. It may do anything to v. If the config has no such op, and no op could have
 * these values, the result is an op that is in no config: the caller reports the reason.
 * @throws UserError `op-missing`, `op-needed` for several, `bad-option` for an `--op` that does something else.
 */
export function opFor(configPath: string, spaces: readonly Space[], wanted: Wanted, opName?: string): Op {
  const { stages, values } = wanted;
  const head = expressionOf(stages);
  const able = (op: Op) => values.some((each) => problemOf(op, each) === undefined);
  const alike = spaces
    .map(({ op }) => op)
    .filter((op) => doesTo(op, stages) && values.some((each) => fixedElsewhere(op, each) === undefined));
  if (opName !== undefined) {
    const { op } = spaceNamed(configPath, spaces, opName);
    if (alike.includes(op)) return op;
    const message = `--op is ${opName} (${sideTexts(op.stages).join("; ")}), and the model needs ${head} for q and k`;
    throw userError("bad-option", message, "leave it out, or name an op that does this");
  }
  const possible = alike.filter(able);
  if (possible.length > 1) {
    const names = possible.map(({ name }) => name).join(", ");
    const message = `several spaces of ${quoted(configPath)} can take the kernels: ${names}`;
    throw userError("op-needed", message, "name the op of one with --op NAME");
  }
  const [op] = [...possible, ...alike];
  if (op !== undefined) return op;
  const name = stages.map(({ name }) => name).join("_");
  const isTaken = spaces.some(({ op }) => op.name === name);
  const own: Op = {
    ...{ name: isTaken ? `${name}_${spaces.length + 1}` : name, source: "" },
    ...{ axes: openAxes({ q: stages, k: stages }), stages: { q: stages, k: stages } },
  };
  if (!able(own)) return own;
  const message = `no op of ${quoted(configPath)} does ${head} to q and k`;
  const words = ["defineOp", "defineSpace", ...new Set(stages.map(({ name }) => name))].join(", ");
  const what = `import ${words} from normrope/dsl, and export a list of spaces with this one in it:`;
  throw userError("op-missing", message, `${what}\n    ${spaceText(own, head, values)},`);
}

/** The text of a space for an op, with entries for the values that the op allows. */
function spaceText(op: Op, head: string, values: readonly Values[]): string {
  const possible = values.filter((each) => problemOf(op, each) === undefined);
  const points = possible.map((each) => completed(op.axes, each));
  const entries = entriesOf(op, points);
  const entry = entries.length === 1 ? entries[0] : `[${entries.join(", ")}]`;
  return `defineSpace(defineOp({ name: "${op.name}", head: (x) => ${head} }), ${entry})`;
}

/** Why an op allows no kernel for the values of a model's layers; undefined if it does. */
export function problemOf(op: Op, values: Values): string | undefined {
  const fixed = fixedElsewhere(op, values);
  if (fixed !== undefined) return fixed;
  const point = completed(op.axes, values);
  const outside = axisOutside(op.axes, point);
  if (outside === undefined) return rejectionOf(op, point)?.reason;
  return `${outside.name} ${valueOn(outside, point)} is not ${describeRange(outside)}`;
}

function doesTo({ stages: { q, k } }: Op, stages: readonly StageCall[]): boolean {
  const names = (calls: readonly StageCall[] = []) => calls.map(({ name }) => name).join();
  return names(q) === names(stages) && names(k) === names(stages);
}

/** A message if the op's stages of q and k fix an axis at another value. */
function fixedElsewhere({ name, stages: { q, k } }: Op, values: Values): string | undefined {
  const fixed = callsOf({ q, k }).flatMap(({ args }) => Object.entries(args));
  const [axis, value] = fixed.find(([axis, value]) => values[axis] !== value) ?? [];
  return axis === undefined ? undefined : `${axis} is ${value} in ${name}, and ${values[axis]} in the model`;
}
