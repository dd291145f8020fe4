/**
 * Edits a config in place: adds values to an axis.
 *
 * In: the path of a config, an axis, values as typed. Out: the ids of the new kernels. The file is written once, by a
 * rename, after the edited text was read and expanded without an error. Comments, line ends and formatting stay.
 */
import {
  type ArrayLiteralExpression,
  type CallExpression,
  type Expression,
  Node,
  type SourceFile,
} from "ts-morph";
import { isInRange } from "../../dsl/axis.js";
import { describeRange } from "../../dsl/legality.js";
import { type Values, valueOn } from "../../dsl/points.js";
import { internalError, quoted, show, type UserError, userError } from "../diagnostics.js";
import type { Axis, AxisValue, ConfigPoint, Op, Space } from "../ir.js";
import { kernelId } from "../kernel_id.js";
import { closest, didYouMean } from "../load/closest.js";
import { readConfig, spaceCalls } from "../load/index.js";
import { readProperties, readScalar, readValues, unwrap } from "../load/literals.js";
import { openConfig, parseConfig, spanOf } from "../load/project.js";
import { entryExpressions } from "../load/space.js";
import { type Compilation, planSpaces } from "../pipeline.js";
import { type Expansion, expand } from "../plan/expand.js";
import { spaceNamed } from "./spaces.js";
import { appendEntry, insertElement, listOf, replaceValue } from "./text.js";
import { writeAtOnce } from "./write.js";

/**
 * @param entryNumber the entry, from 1, counted over all spaces of the config; needed if there are several
 * @param opName the op whose entries are meant, if the config has several spaces
 * @throws UserError with nothing written: `unknown-axis`, `value-not-in-axis`, `value-present`, `entry-needed`,
 *   `entry-without-kernel`, and the errors of the config before or after the edit.
 */
export function addValues(
  configPath: string,
  axisName: string,
  words: readonly string[],
  entryNumber?: number,
  opName?: string,
): string[] {
  const config = openConfig(configPath);
  const read = config.getFullText();
  const loaded = readConfig(config);
  const before = planSpaces(loaded);
  const at = chooseEntry(config, loaded.spaces, entryNumber, opName);
  const axis = findAxis(at.op, axisName);
  const values = parseWords(axis, words);
  let edited = config;
  if (readProperties(entryAt(config, at), ignore)?.has(axis.name)) {
    for (const value of values) edited = parseConfig(configPath, withValue(edited, at, axis, value));
  } else {
    edited = parseConfig(configPath, withEntry(config, before, at, axis, values));
  }
  const old = new Set(before.plans.map(({ id }) => id));
  const after = planSpaces(readConfig(edited));
  const added = after.plans.map(({ id }) => id).filter((id) => !old.has(id));
  if (added.length === 0) {
    const rejected = after.rejections.find(({ point }) => values.includes(valueOn(axis, point) ?? ""));
    throw nothingAdded(axis, values, rejected?.reason);
  }
  writeAtOnce(configPath, read, edited.getFullText());
  return added;
}

/** An entry of a config: the indices of its space and in its space. */
interface EntryIndex {
  readonly op: Op;
  readonly space: number;
  readonly entry: number;
}

/** The only entry of the config, or of the named op, or the one with the number. */
function chooseEntry(
  config: SourceFile,
  spaces: readonly Space[],
  entryNumber: number | undefined,
  opName: string | undefined,
): EntryIndex {
  const path = config.getFilePath();
  const named = opName === undefined ? undefined : spaceNamed(path, spaces, opName).op;
  const all = spaces.flatMap(({ op, entries }, space) =>
    entries.map((_, entry): EntryIndex => ({ op, space, entry })),
  );
  const meant = all.filter(
    ({ op }, i) => (named ?? op) === op && (entryNumber === undefined || entryNumber === i + 1),
  );
  const [only, another] = meant;
  if (only !== undefined && another === undefined) return only;
  const entries = all.map((at, i) => {
    const of = spaces.length > 1 ? `, of ${at.op.name}` : "";
    return `${i + 1} (line ${spanOf(entryAt(config, at)).line}${of})`;
  });
  const have = `the entries of ${quoted(path)} are ${entries.join(", ")}`;
  if (all.length === 0) throw noEntry();
  if (only === undefined) throw userError("bad-option", `--entry is ${entryNumber}`, have);
  const fix = `name one with --entry N${spaces.length > 1 ? ", or its op with --op NAME" : ""}`;
  throw userError("entry-needed", have, fix);
}

/** The text with a value in the axis's list, sorted if the list is. A single value becomes a list. */
function withValue(config: SourceFile, at: EntryIndex, axis: Axis, value: AxisValue): string {
  const written = readProperties(entryAt(config, at), ignore)?.get(axis.name)?.value;
  if (written === undefined) throw internalError("edit", `${axis.name} is not in the entry`);
  const behind = unwrap(written);
  const list = Node.isArrayLiteralExpression(behind) ? behind : undefined;
  const edited = list ?? written;
  if (edited.getSourceFile() !== config) {
    const fix = "add the value there; `add` edits only the config itself";
    const message = `the list of ${axis.name} is in another file`;
    throw userError("unsupported-expression", message, fix, spanOf(edited));
  }
  if (readValues(edited, ignore).some((present) => present.value === value)) {
    const fix = "`normrope list` shows the kernels of the config";
    const message = `${axis.name} has ${JSON.stringify(value)} already`;
    throw userError("value-present", message, fix, spanOf(edited));
  }
  if (list !== undefined) return insertElement(list, indexFor(list, value), JSON.stringify(value));
  const [only] = readValues(edited, ignore);
  const pair = [edited.getText(), JSON.stringify(value)];
  const isBefore = typeof only?.value === "number" && Number(value) < only.value;
  return replaceValue(written, `[${(isBefore ? pair.reverse() : pair).join(", ")}]`);
}

/** The index of a new value: by size if the list is sorted, otherwise at the end. */
function indexFor(list: ArrayLiteralExpression, value: AxisValue): number {
  const written = list.getElements().map((element) => readScalar(element, ignore)?.value);
  const isSorted = written.every(
    (number, i) => typeof number === "number" && Number(written[i - 1] ?? number) <= number,
  );
  const index = isSorted ? written.findIndex((number) => Number(number) > Number(value)) : -1;
  return index < 0 ? written.length : index;
}

/**
 * The text with one more entry. The given entry omits the axis, so writing it there would remove the default's kernels. If the
 * new values depend on another axis, the new entry has only those of its values that give kernels, all of them new.
 */
function withEntry(
  config: SourceFile,
  before: Compilation,
  at: EntryIndex,
  axis: Axis,
  values: readonly AxisValue[],
): string {
  const { op } = at;
  const properties = readProperties(entryAt(config, at), ignore) ?? new Map();
  const present = new Set(before.plans.map(({ id }) => id));
  const lists = new Map<string, readonly AxisValue[]>(
    op.axes.flatMap(({ name }) => {
      const property = properties.get(name);
      if (name === axis.name) return [[name, values] as const];
      return property === undefined
        ? []
        : [[name, readValues(property.value, ignore).map(({ value }) => value)] as const];
    }),
  );
  const isPresent = (point: ConfigPoint) => present.has(kernelId(op, point));
  const needs = [axis.within, axis.follows, ...Object.keys(axis.when ?? {})];
  for (const [name, list] of lists) {
    if (!needs.includes(name)) continue;
    const made = list.map((value) => ({ value, ...expandLists(op, new Map([...lists, [name, [value]]])) }));
    const useful = made.filter(({ points }) => points.length > 0 && !points.some(isPresent));
    if (useful.length > 0)
      lists.set(
        name,
        useful.map(({ value }) => value),
      );
  }
  const { points, rejections } = expandLists(op, lists);
  const byDefault = points.find(isPresent);
  if (byDefault !== undefined) throw madeAlready(axis, valueOn(axis, byDefault) ?? "", byDefault);
  if (points.length === 0) throw nothingAdded(axis, values, rejections[0]?.reason);
  const entry = [...lists].map(([name, list]) => `${name}: ${listOf(list)}`);
  return appendEntry(config, spaceAt(config, at), `{ ${entry.join(", ")} }`);
}

/** The points of an entry with these values. */
function expandLists(op: Op, lists: ReadonlyMap<string, readonly AxisValue[]>): Expansion {
  const span = { file: "", line: 1, column: 1 };
  const axes = [...lists].map(([name, list]) => ({
    name,
    span,
    values: list.map((value) => ({ value, span })),
  }));
  return expand({ op, span, entries: [{ axes, span, complete: false }] });
}

function spaceAt(config: SourceFile, { space }: EntryIndex): CallExpression {
  const call = spaceCalls(config, ignore)[space];
  if (call === undefined) throw noEntry();
  return call;
}

function entryAt(config: SourceFile, at: EntryIndex): Expression {
  const entry = entryExpressions(spaceAt(config, at), ignore)[at.entry];
  if (entry === undefined) throw noEntry();
  return entry;
}

function findAxis(op: Op, name: string): Axis {
  const axis = op.axes.find((candidate) => candidate.name === name);
  if (axis !== undefined) return axis;
  const names = op.axes.map((candidate) => candidate.name);
  const near = closest(name, names);
  const fix = near === undefined ? `its axes are ${names.join(", ")}` : `did you mean ${near}?`;
  throw userError("unknown-axis", `${op.name} has no axis ${show(name)}`, fix);
}

function parseWords(axis: Axis, words: readonly string[]): AxisValue[] {
  const values: AxisValue[] = [];
  for (const word of words) {
    const value = axis.kind === "integer" && /^-?\d+$/.test(word) ? Number(word) : word;
    if (!isInRange(axis, value)) {
      const fix = `${axis.name} is ${describeRange(axis)}${didYouMean(axis, value)}`;
      throw userError("value-not-in-axis", `${show(word)} is no value of ${axis.name}`, fix);
    }
    if (values.includes(value)) {
      throw userError("duplicate-value", `the command names ${value} twice`, "name each value once");
    }
    values.push(value);
  }
  return values;
}

function nothingAdded({ name }: Axis, values: readonly AxisValue[], reason?: string): UserError {
  const why = reason === undefined ? "" : `: ${reason}`;
  const message = `${name} ${values.join(", ")} adds no kernel${why}`;
  const fix = "add another value, or first the values of other axes that go with it";
  return userError("entry-without-kernel", message, fix);
}

function madeAlready({ name, follows }: Axis, value: AxisValue, point: Values): UserError {
  const kernels = follows === undefined ? "the kernels" : `the kernels of ${follows} ${point[follows]}`;
  const message = `${kernels} have ${name} ${value} already, by default`;
  return userError("value-present", message, `leave ${value} out, or write another entry for the others`);
}

function noEntry(): UserError {
  return userError("empty-space", "the space has no entry to add to", "write one with a value for each axis");
}

/** Unreadable parts were reported when the config was compiled. */
function ignore(): void {}
