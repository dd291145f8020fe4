/**
 * Edits a config in place: adds values to an axis.
 *
 * In: the path of a config, an axis, values as typed. Out: the ids of the kernels that this adds; the file is written
 * once, by a rename, after the edited text was read and expanded without an error. Formatting elsewhere stays.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type ArrayLiteralExpression, type Expression, Node, type SourceFile } from "ts-morph";
import { closest } from "./closest.js";
import { internalError, UserError, userError } from "./diagnostics.js";
import { describeRange, isInRange } from "./expand.js";
import type { AxisRange, AxisValue, ConfigPoint, Op } from "./ir.js";
import { rejectionOf } from "./legality.js";
import { findSpaceCall, readConfig } from "./load/index.js";
import { readElements, readProperties, readScalar, unwrap } from "./load/literals.js";
import { openConfig, spanOf } from "./load/project.js";
import { entryExpressions } from "./load/space.js";
import { type Compilation, planSpace } from "./pipeline.js";

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
  const before = compileText(openConfig(configPath));
  const range = findRange(before.op, axisName);
  const values = readValues(before.op, range, words);

  const choices = candidates(openConfig(configPath), entryNumber);
  const outcomes = choices.map((index) => tryEntry(configPath, before, range, values, index));
  const possible = outcomes.filter((outcome) => outcome.kind === "edited");
  const [only] = possible;
  if (only === undefined) throw outcomes.find((outcome) => outcome.kind === "failed")?.error ?? noEntry();
  if (possible.length > 1) throw entryNeeded(configPath, possible);
  writeAtOnce(configPath, only.text);
  return only.added;
}

type Outcome =
  | {
      readonly kind: "edited";
      readonly text: string;
      readonly added: string[];
      readonly line: number;
      readonly entry: number;
    }
  | { readonly kind: "failed"; readonly error: UserError };

/** The edit of one entry, on a copy of its own. */
function tryEntry(
  configPath: string,
  before: Compilation,
  range: AxisRange,
  values: readonly AxisValue[],
  index: number,
): Outcome {
  try {
    const config = openConfig(configPath);
    const entry = entriesOf(config)[index];
    if (entry === undefined) throw noEntry();
    const { line } = spanOf(entry);
    const list = readProperties(entry, ignore)?.get(range.name)?.value;
    if (list === undefined) appendEntry(config, entry, before.op, range, values);
    else extendList(list, range, values);
    const after = compileText(config);
    const old = new Set(before.plans.map(({ id }) => id));
    const added = after.plans.map(({ id }) => id).filter((id) => !old.has(id));
    if (added.length === 0) throw nothingAdded(range, values, after);
    return { kind: "edited", text: config.getFullText(), added, line, entry: index + 1 };
  } catch (error) {
    if (error instanceof UserError) return { kind: "failed", error };
    throw error;
  }
}

/** Puts the values into the list, in order where the list is in order. */
function extendList(list: Expression, range: AxisRange, values: readonly AxisValue[]): void {
  const array = unwrap(list);
  if (!Node.isArrayLiteralExpression(array)) throw internalError("edit", `${range.name} is no list`);
  const present = (readElements(array, ignore) ?? []).map((element) => readScalar(element, ignore)?.value);
  for (const value of values) {
    if (present.includes(value)) {
      throw userError(
        "value-present",
        `${range.name} has ${JSON.stringify(value)} already`,
        "`normrope list` shows the kernels of the config",
        spanOf(array),
      );
    }
    array.insertElement(insertionIndex(array, value), JSON.stringify(value));
  }
}

function insertionIndex(array: ArrayLiteralExpression, value: AxisValue): number {
  const numbers = array.getElements().map((element) => readScalar(element, ignore)?.value);
  const isSorted = numbers.every(
    (number, i) => typeof number === "number" && Number(numbers[i - 1] ?? number) <= number,
  );
  const index = isSorted ? numbers.findIndex((number) => Number(number) > Number(value)) : -1;
  return index < 0 ? numbers.length : index;
}

/**
 * The axis is at its default in the entry: writing it there would take the default's kernels away. A second entry is
 * added instead, with those head_dims for which the values are possible and new.
 */
function appendEntry(
  config: SourceFile,
  entry: Expression,
  op: Op,
  range: AxisRange,
  values: readonly AxisValue[],
): void {
  const properties = readProperties(entry, ignore) ?? new Map();
  const text = op.axes.flatMap(({ name }) => {
    if (name === range.name) return [`${name}: [${values.map((value) => JSON.stringify(value)).join(", ")}]`];
    const property = properties.get(name);
    if (property === undefined) return [];
    const written = (readElements(property.value, ignore) ?? []).map(
      (element) => readScalar(element, ignore)?.value,
    );
    const useful =
      name === "headDim" ? written.filter((headDim) => takesAll(op, range, values, headDim)) : written;
    return [`${name}: [${useful.map((value) => JSON.stringify(value)).join(", ")}]`];
  });
  const added = `{ ${text.join(", ")} }`;
  const argument = findSpaceCall(config)?.getArguments()[1];
  const list = Node.isExpression(argument) ? unwrap(argument) : undefined;
  if (Node.isArrayLiteralExpression(list)) {
    list.addElement(added);
    return;
  }
  const indented = argument?.getText().replaceAll("\n", "\n  ");
  argument?.replaceWithText(`[\n  ${indented},\n  ${added},\n]`);
}

function takesAll(op: Op, range: AxisRange, values: readonly AxisValue[], headDim: unknown): boolean {
  const [rope, dtype] = [firstOf(op, "rope"), firstOf(op, "dtype")];
  return values.every((value) => {
    const point = { headDim, rotaryDim: headDim, rope, dtype, [range.name]: value } as ConfigPoint;
    return rejectionOf(point) === undefined && point.rotaryDim !== point.headDim;
  });
}

function firstOf(op: Op, name: string): string | undefined {
  const range = op.axes.find((axis) => axis.name === name);
  return range?.kind === "enum" ? range.values[0] : undefined;
}

function candidates(config: SourceFile, entryNumber: number | undefined): number[] {
  const count = entriesOf(config).length;
  if (entryNumber === undefined) return Array.from({ length: count }, (_, index) => index);
  if (Number.isInteger(entryNumber) && entryNumber >= 1 && entryNumber <= count) return [entryNumber - 1];
  throw userError("bad-option", `--entry is ${entryNumber}`, `the space has ${count}, counted from 1`);
}

function entriesOf(config: SourceFile): Expression[] {
  const space = findSpaceCall(config);
  return space === undefined ? [] : entryExpressions(space, ignore);
}

function compileText(config: SourceFile): Compilation {
  return planSpace(readConfig(config));
}

function findRange(op: Op, name: string): AxisRange {
  const range = op.axes.find((axis) => axis.name === name);
  if (range !== undefined) return range;
  const names = op.axes.map((axis) => axis.name);
  const near = closest(name, names);
  throw userError(
    "unknown-axis",
    `${op.name} has no axis ${JSON.stringify(name)}`,
    near === undefined ? `its axes are ${names.join(", ")}` : `did you mean ${near}?`,
  );
}

function readValues(op: Op, range: AxisRange, words: readonly string[]): AxisValue[] {
  return words.map((word) => {
    const value = range.kind === "integer" && /^-?\d+$/.test(word) ? Number(word) : word;
    if (isInRange(op, range, value)) return value;
    throw userError(
      "value-not-in-axis",
      `${JSON.stringify(word)} is no value of ${range.name}`,
      `${range.name} is ${describeRange(op, range)}`,
    );
  });
}

function nothingAdded(range: AxisRange, values: readonly AxisValue[], after: Compilation): UserError {
  const reason = after.rejections.find(({ point }) => values.includes(point[range.name]))?.reason;
  return userError(
    "entry-without-kernel",
    `${range.name} ${values.join(", ")} adds no kernel${reason === undefined ? "" : `: ${reason}`}`,
    "`normrope list --rejected` shows what the rules forbid",
  );
}

function entryNeeded(configPath: string, possible: readonly { line: number; entry: number }[]): UserError {
  const entries = possible.map(({ entry, line }) => `${entry} (line ${line})`).join(", ");
  return userError(
    "entry-needed",
    `several entries of ${configPath} can take the values: ${entries}`,
    "name one with --entry N",
  );
}

function noEntry(): UserError {
  return userError("empty-space", "the space has no entry to add to", "write one with a value for each axis");
}

function writeAtOnce(path: string, text: string): void {
  const isMarked = readFileSync(path, "utf8").startsWith("\ufeff");
  const staged = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(staged, isMarked && !text.startsWith("\ufeff") ? `\ufeff${text}` : text);
    renameSync(staged, path);
  } finally {
    rmSync(staged, { force: true });
  }
}

/** What cannot be read was reported when the config was compiled. */
function ignore(): void {}
