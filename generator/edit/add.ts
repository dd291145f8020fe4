/**
 * Edits a config in place: adds values to an axis.
 *
 * In: the path of a config, an axis, values as typed. Out: the ids of the kernels that this adds; the file is written
 * once, by a rename, after the edited text was read and expanded without an error. Text is inserted where the syntax
 * tree says, so that comments, line ends and formatting stay.
 */
import { type ArrayLiteralExpression, type Expression, Node, type SourceFile } from "ts-morph";
import { closest, didYouMean } from "../closest.js";
import { internalError, quoted, show, UserError, userError } from "../diagnostics.js";
import type { AxisRange, AxisValue, ConfigPoint, Op } from "../ir.js";
import { describeRange, isInRange, rejectionOf } from "../legality.js";
import { findSpaceCall, readConfig } from "../load/index.js";
import { readProperties, readScalar, readValues, unwrap } from "../load/literals.js";
import { openConfig, parseConfig, spanOf } from "../load/project.js";
import { entryExpressions } from "../load/space.js";
import { type Compilation, planSpace } from "../pipeline.js";
import { appendEntry, insertElement, listOf, replaceValue } from "./text.js";
import { writeAtOnce } from "./write.js";

/**
 * @param entryNumber which entry of a list, from 1
 * @throws UserError with nothing written: `unknown-axis`, `value-not-in-axis`, `value-present`, `entry-needed`,
 *   `entry-without-kernel`, and whatever is wrong with the config before or after.
 */
export function addValues(
  configPath: string,
  axisName: string,
  words: readonly string[],
  entryNumber?: number,
): string[] {
  const config = openConfig(configPath);
  const read = config.getFullText();
  const before = compileSource(config);
  const range = findRange(before.op, axisName);
  const values = parseWords(before.op, range, words);
  const outcomes = candidates(config, entryNumber).map((index) =>
    tryEntry(parseConfig(configPath, read), before, range, values, index),
  );
  const possible = outcomes.filter((outcome) => outcome.kind === "edited");
  const [only] = possible;
  if (only === undefined) throw outcomes.find((outcome) => outcome.kind === "failed")?.error ?? noEntry();
  if (possible.length > 1) throw entryNeeded(configPath, possible);
  writeAtOnce(configPath, read, only.text);
  return only.added;
}

interface Edited {
  readonly kind: "edited";
  readonly text: string;
  readonly added: string[];
  readonly entry: number;
  readonly line: number;
}

/** The edit of one entry, on a copy of the config of its own. */
function tryEntry(
  copy: SourceFile,
  before: Compilation,
  range: AxisRange,
  values: readonly AxisValue[],
  index: number,
): Edited | { readonly kind: "failed"; readonly error: UserError } {
  try {
    let config = copy;
    const configPath = copy.getFilePath();
    const { line } = spanOf(entryAt(config, index));
    if (readProperties(entryAt(config, index), ignore)?.has(range.name)) {
      for (const value of values) config = parseConfig(configPath, withValue(config, index, range, value));
    } else {
      config = parseConfig(configPath, withEntry(config, entryAt(config, index), before.op, range, values));
    }
    const old = new Set(before.plans.map(({ id }) => id));
    const after = compileSource(config);
    const added = after.plans.map(({ id }) => id).filter((id) => !old.has(id));
    if (added.length === 0) {
      const rejected = after.rejections.find(({ point }) => values.includes(point[range.name]));
      throw nothingAdded(range, values, rejected?.reason);
    }
    return { kind: "edited", text: config.getFullText(), added, line, entry: index + 1 };
  } catch (error) {
    if (error instanceof UserError) return { kind: "failed", error };
    throw error;
  }
}

/** The text with a value in the axis's list, in order where the list is in order; one value becomes a list. */
function withValue(config: SourceFile, index: number, range: AxisRange, value: AxisValue): string {
  const written = readProperties(entryAt(config, index), ignore)?.get(range.name)?.value;
  if (written === undefined) throw internalError("edit", `${range.name} is not in the entry`);
  const behind = unwrap(written);
  const list = Node.isArrayLiteralExpression(behind) ? behind : undefined;
  const edited = list ?? written;
  if (edited.getSourceFile() !== config) {
    const fix = "add the value there; `add` edits only the config itself";
    const message = `the list of ${range.name} is in another file`;
    throw userError("unsupported-expression", message, fix, spanOf(edited));
  }
  if (readValues(edited, ignore).some((present) => present.value === value)) {
    const fix = "`normrope list` shows the kernels of the config";
    const message = `${range.name} has ${JSON.stringify(value)} already`;
    throw userError("value-present", message, fix, spanOf(edited));
  }
  if (list !== undefined) return insertElement(list, placeOf(list, value), JSON.stringify(value));
  const [only] = readValues(edited, ignore);
  const pair = [edited.getText(), JSON.stringify(value)];
  const isBefore = typeof only?.value === "number" && Number(value) < only.value;
  return replaceValue(written, `[${(isBefore ? pair.reverse() : pair).join(", ")}]`);
}

/** Where a value goes in a list: in its order where the list has one, otherwise to the end. */
function placeOf(list: ArrayLiteralExpression, value: AxisValue): number {
  const written = list.getElements().map((element) => readScalar(element, ignore)?.value);
  const isSorted = written.every(
    (number, i) => typeof number === "number" && Number(written[i - 1] ?? number) <= number,
  );
  const place = isSorted ? written.findIndex((number) => Number(number) > Number(value)) : -1;
  return place < 0 ? written.length : place;
}

/**
 * The text with one more entry. The axis is at its default in the given one: writing it there would take the
 * default's kernels away, so the values get an entry of their own, with the head_dims for which they are possible.
 */
function withEntry(
  config: SourceFile,
  entry: Expression,
  op: Op,
  range: AxisRange,
  values: readonly AxisValue[],
): string {
  const properties = readProperties(entry, ignore) ?? new Map();
  const axes = op.axes.flatMap(({ name }) => {
    if (name === range.name) return [`${name}: ${listOf(values)}`];
    const property = properties.get(name);
    if (property === undefined) return [];
    const written = readValues(property.value, ignore).map(({ value }) => value);
    const useful =
      name === "headDim" ? written.filter((headDim) => isUseful(op, range, values, headDim)) : written;
    if (useful.length === 0) {
      const byDefault = values.find((value) => written.includes(value));
      if (byDefault !== undefined) throw madeAlready(range, byDefault);
      const rejections = values.flatMap((value) =>
        written.flatMap((headDim) => rejectionOf(pointAt(op, headDim, range, value)) ?? []),
      );
      throw nothingAdded(range, values, rejections[0]?.reason);
    }
    return [`${name}: ${listOf(useful)}`];
  });
  return appendEntry(config, `{ ${axes.join(", ")} }`);
}

/** Whether a head_dim gives a new kernel with some of the values, and none that the default gives already. */
function isUseful(op: Op, range: AxisRange, values: readonly AxisValue[], headDim: AxisValue): boolean {
  const points = values.map((value) => pointAt(op, headDim, range, value));
  return points.some((point) => rejectionOf(point) === undefined) && !values.includes(headDim);
}

/** A point with the value and a head_dim; the other axes have their first value. */
function pointAt(op: Op, headDim: AxisValue, range: AxisRange, value: AxisValue): ConfigPoint {
  const first = op.axes.map((axis) => [axis.name, axis.kind === "enum" ? axis.values[0] : headDim]);
  return { ...Object.fromEntries(first), [range.name]: value };
}

function candidates(config: SourceFile, entryNumber: number | undefined): number[] {
  const count = entriesOf(config).length;
  if (entryNumber === undefined) return Array.from({ length: count }, (_, index) => index);
  if (Number.isInteger(entryNumber) && entryNumber >= 1 && entryNumber <= count) return [entryNumber - 1];
  throw userError("bad-option", `--entry is ${entryNumber}`, `the space has ${count}, counted from 1`);
}

function entryAt(config: SourceFile, index: number): Expression {
  const entry = entriesOf(config)[index];
  if (entry === undefined) throw noEntry();
  return entry;
}

function entriesOf(config: SourceFile): Expression[] {
  const space = findSpaceCall(config);
  return space === undefined ? [] : entryExpressions(space, ignore);
}

function compileSource(config: SourceFile): Compilation {
  return planSpace(readConfig(config));
}

function findRange(op: Op, name: string): AxisRange {
  const range = op.axes.find((axis) => axis.name === name);
  if (range !== undefined) return range;
  const names = op.axes.map((axis) => axis.name);
  const near = closest(name, names);
  const fix = near === undefined ? `its axes are ${names.join(", ")}` : `did you mean ${near}?`;
  throw userError("unknown-axis", `${op.name} has no axis ${show(name)}`, fix);
}

function parseWords(op: Op, range: AxisRange, words: readonly string[]): AxisValue[] {
  const values: AxisValue[] = [];
  for (const word of words) {
    const value = range.kind === "integer" && /^-?\d+$/.test(word) ? Number(word) : word;
    if (!isInRange(op.axes, range, value)) {
      const fix = `${range.name} is ${describeRange(op.axes, range)}${didYouMean(range, value)}`;
      throw userError("value-not-in-axis", `${show(word)} is no value of ${range.name}`, fix);
    }
    if (values.includes(value)) {
      throw userError("duplicate-value", `the command names ${value} twice`, "name each value once");
    }
    values.push(value);
  }
  return values;
}

function nothingAdded({ name }: AxisRange, values: readonly AxisValue[], reason?: string): UserError {
  const why = reason === undefined ? "" : `: ${reason}`;
  const message = `${name} ${values.join(", ")} adds no kernel${why}`;
  const fix = "add another value, or first the values of other axes that go with it";
  return userError("entry-without-kernel", message, fix);
}

function madeAlready({ name }: AxisRange, value: AxisValue): UserError {
  const message = `${name} ${value} is what the heads of ${value} have already, where ${name} is left out`;
  return userError(
    "value-present",
    message,
    `leave ${value} out, or write an entry of its own for the others`,
  );
}

function entryNeeded(configPath: string, possible: readonly Edited[]): UserError {
  const entries = possible.map(({ entry, line }) => `${entry} (line ${line})`).join(", ");
  const message = `several entries of ${quoted(configPath)} can take the values: ${entries}`;
  return userError("entry-needed", message, "name one with --entry N");
}

function noEntry(): UserError {
  return userError("empty-space", "the space has no entry to add to", "write one with a value for each axis");
}

/** What cannot be read was reported when the config was compiled. */
function ignore(): void {}
