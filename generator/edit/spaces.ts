/**
 * Finds the space of a config that an edit is for.
 *
 * In: the spaces of a config, and the name of an op or what a model needs. Out: the space, or an error that says what to
 * write.
 */
import { SIDES } from "../../dsl/inputs.js";
import { axisOutside, describeRange, rejectionOf } from "../../dsl/legality.js";
import { defaultOf, hasMeaning, type Values, valueOn } from "../../dsl/points.js";
import {
  bodiesOf,
  expressionOf,
  listed,
  type SideStages,
  sidesOf,
  sideTexts,
  stagesAt,
  valuesOf,
} from "../../dsl/sides.js";
import { camelCase } from "../../runtime/camel_case.js";
import { quoted, show, userError } from "../diagnostics.js";
import type { ConfigPoint, Op, Space } from "../ir.js";
import { entriesOf } from "./text.js";

/** What a model's layers need. */
export interface Wanted {
  /** An op that ships and does it. Another op may do the same. */
  readonly op: Op;
  /** The values of its axes, for each group of layers. */
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
 * The op that does to q, k and v what a model does. If nothing is wanted for v, it may do anything to v. If the config has no
 * such op, and no op could have these values, the result is an op that is in no config: the caller reports the reason.
 * @throws UserError `op-missing`, `op-needed` for several, `bad-option` for an `--op` that does something else.
 */
export function opFor(configPath: string, spaces: readonly Space[], wanted: Wanted, opName?: string): Op {
  const able = (op: Op) => wanted.values.some((each) => problemOf(op, wanted.op, each) === undefined);
  const alike = spaces
    .map(({ op }) => op)
    .filter((op) => wanted.values.some((each) => differenceOf(op, wanted.op, each) === undefined));
  if (opName !== undefined) {
    const { op } = spaceNamed(configPath, spaces, opName);
    if (alike.includes(op)) return op;
    const message = `--op is ${opName} (${sideTexts(op.stages).join("; ")}), and the model needs ${needText(wanted)}`;
    throw userError("bad-option", message, "leave it out, or name an op that does this");
  }
  const possible = alike.filter(able);
  const same = possible.filter(({ stages }) => isSame(stages, wanted.op.stages));
  // An op that does the same by other stages stands behind these.
  const meant = same.length > 0 ? same : possible;
  if (meant.length > 1) {
    const names = meant.map(({ name }) => name).join(", ");
    const message = `several spaces of ${quoted(configPath)} can take the kernels: ${names}`;
    throw userError("op-needed", message, "name the op of one with --op NAME");
  }
  const [op] = [...meant, ...alike];
  if (op !== undefined) return op;
  if (!able(wanted.op)) return wanted.op;
  const message = `no op of ${quoted(configPath)} does ${needText(wanted)}`;
  const name = camelCase(wanted.op.name);
  const what = `import defineSpace and ${name} from normrope/dsl, and export a list of spaces with this one in it:`;
  throw userError("op-missing", message, `${what}\n    ${spaceText(name, wanted)},`);
}

/** The text of a space for an op that ships, with entries for the values that the op allows. */
function spaceText(name: string, { op, values }: Wanted): string {
  const possible = values.filter((each) => problemOf(op, op, each) === undefined);
  const entries = entriesOf(
    op,
    possible.map((each) => pointOf(op, each)),
  );
  const entry = entries.length === 1 ? entries[0] : `[${entries.join(", ")}]`;
  return `defineSpace(${name}, ${entry})`;
}

/** What a model does, in words: of its first layers. */
function needText({ op, values: [first = {}] }: Wanted): string {
  const bodies = bodiesOf(stagesAt(op.stages, pointOf(op, first)));
  return bodies.map(({ sides, calls }) => `${expressionOf(calls)} to ${listed(sides)}`).join(", and ");
}

const isSame = (one: SideStages, other: SideStages) => sideTexts(one).join() === sideTexts(other).join();

/** The point of an op at values of another op's axes: those that it has and that apply. */
export function pointOf({ axes }: Op, values: Values): ConfigPoint {
  let point: Values = {};
  for (const axis of axes) {
    const given = hasMeaning(axis, point) ? values[axis.name] : undefined;
    const value = given ?? defaultOf(axis, point);
    if (value !== undefined) point = { ...point, [axis.name]: value };
  }
  return point as ConfigPoint;
}

/** Why an op allows no kernel for the values of a model's layers; undefined if it does. */
export function problemOf(op: Op, wanted: Op, values: Values): string | undefined {
  const difference = differenceOf(op, wanted, values);
  if (difference !== undefined) return difference;
  const point = pointOf(op, values);
  const outside = axisOutside(op.axes, point);
  if (outside === undefined) return rejectionOf(op, point)?.reason;
  return `${outside.name} ${valueOn(outside, point)} is not ${describeRange(outside)}`;
}

/** What an op does otherwise than the wanted one at these values, of which either has only some; undefined if it does the same. */
function differenceOf(op: Op, wanted: Op, values: Values): string | undefined {
  const [own, needed] = [op, wanted].map((each) => doneAt(each, pointOf(each, values)));
  for (const side of SIDES) {
    const [does, needs] = [own?.get(side), needed?.get(side)];
    if (side === "v" && needs === undefined) continue;
    const names = [does, needs].map((done) => done?.map(({ name }) => name).join());
    if (names[0] !== names[1]) return `${op.name} does something else to ${side} than the model`;
    for (const [i, { at }] of (needs ?? []).entries()) {
      const other = does?.[i]?.at ?? {};
      const axis = Object.keys({ ...at, ...other }).find((name) => at[name] !== other[name]);
      if (axis !== undefined) return `${axis} is ${other[axis]} in ${op.name}, and ${at[axis]} in the model`;
    }
  }
  return undefined;
}

/** What becomes of each side that a kernel works on: stages with the values of their axes. */
function doneAt({ stages }: Op, point: Values) {
  const left = stagesAt(stages, point);
  return new Map(
    sidesOf(left).map((side) => {
      const calls = left[side] ?? [];
      return [side, calls.map((call) => ({ name: call.name, at: valuesOf(call, point) }))] as const;
    }),
  );
}
