/**
 * Inserts text into a config by its syntax tree, so that comments, line ends and formatting stay.
 *
 * In: a config's tree, and the new text. Out: the edited text. Writes nothing.
 */
import {
  type ArrayLiteralExpression,
  type CallExpression,
  type Expression,
  Node,
  type SourceFile,
} from "ts-morph";
import { written } from "../../dsl/points.js";
import { internalError, userError } from "../diagnostics.js";
import type { AxisValue, ConfigPoint, Op } from "../ir.js";
import { unwrap } from "../load/literals.js";
import { spanOf } from "../load/project.js";

/**
 * The text with one more entry in a space. A single object becomes a list.
 * @throws UserError `unsupported-expression` for a space of another file.
 */
export function appendEntry(config: SourceFile, space: CallExpression, entry: string): string {
  if (space.getSourceFile() !== config) {
    const message = "the space is in another file";
    const fix = "add the entry there; only the config itself is edited";
    throw userError("unsupported-expression", message, fix, spanOf(space));
  }
  const entries = space.getArguments()[1];
  if (!Node.isExpression(entries)) throw internalError("edit", "the space has no entry to stand beside");
  const list = unwrap(entries);
  const isList = Node.isArrayLiteralExpression(list);
  if (isList && list.getSourceFile() === config) return insertElement(list, list.getElements().length, entry);
  const text = config.getFullText();
  const newline = newlineOf(config) + indentAt(text, text.lastIndexOf("\n", entries.getStart()) + 1);
  const indented = entries.getText().replaceAll("\n", "\n  ");
  // A list in another file stays there.
  const present = `${isList ? "..." : ""}${indented}`;
  const replaced = `[${newline}  ${present},${newline}  ${entry},${newline}]`;
  return splice(text, entries.getStart(), entries.getEnd(), replaced);
}

/** The text with one more element in a list, on its own line if the others are. */
export function insertElement(list: ArrayLiteralExpression, index: number, element: string): string {
  const config = list.getSourceFile();
  const text = config.getFullText();
  const elements = list.getElements();
  const [first, last, next] = [elements[0], elements.at(-1), elements[index]];
  if (first === undefined || last === undefined)
    return splice(text, list.getStart() + 1, list.getStart() + 1, element);
  const isOnLines = text.slice(list.getStart(), first.getStart()).includes("\n");
  const newline = newlineOf(config);

  if (next !== undefined) {
    if (!isOnLines) return splice(text, next.getStart(), next.getStart(), `${element}, `);
    const lineStart = text.indexOf("\n", next.getFullStart()) + 1;
    return splice(text, lineStart, lineStart, `${indentAt(text, lineStart)}${element},${newline}`);
  }
  if (!isOnLines) return splice(text, last.getEnd(), last.getEnd(), `, ${element}`);
  const indent = indentAt(text, text.lastIndexOf("\n", last.getStart()) + 1);
  // A comment after the last element stays on that element's line.
  const behind = /^,?[ \t]*(\/\/[^\r\n]*)?(?=\r?\n)/.exec(text.slice(last.getEnd(), list.getEnd()))?.[0];
  if (behind === undefined)
    return splice(text, last.getEnd(), last.getEnd(), `,${newline}${indent}${element}`);
  const lineEnd = last.getEnd() + behind.length;
  const comma = list.compilerNode.elements.hasTrailingComma ? "," : "";
  const withLine = splice(text, lineEnd, lineEnd, `${newline}${indent}${element}${comma}`);
  return comma === "" ? splice(withLine, last.getEnd(), last.getEnd(), ",") : withLine;
}

/** The text with another value of a property. The property may be a shorthand. */
export function replaceValue(value: Expression, replacement: string): string {
  const name = Node.isShorthandPropertyAssignment(value.getParent()) ? `${value.getText()}: ` : "";
  const text = value.getSourceFile().getFullText();
  return splice(text, value.getStart(), value.getEnd(), name + replacement);
}

/**
 * Entries for points. Points share an entry if they differ only in an axis that another one follows, and that one is at its
 * default: head_dims of heads that rotate whole. Every other point has an entry of its own.
 */
export function entriesOf({ axes }: Op, points: readonly ConfigPoint[]): string[] {
  const followed = axes.find(({ name }) => axes.some(({ follows }) => follows === name));
  const groups = new Map<string, Map<string, AxisValue[]>>();
  for (const point of points) {
    const values = written(axes, point);
    const isDefault = !values.some(([{ follows }]) => follows !== undefined);
    const key = values
      .filter(([axis]) => !(isDefault && axis === followed))
      .map(([{ name }, value]) => [name, value]);
    const group = groups.get(JSON.stringify(key)) ?? new Map<string, AxisValue[]>();
    for (const [{ name }, value] of values)
      group.set(name, [...new Set([...(group.get(name) ?? []), value])]);
    groups.set(JSON.stringify(key), group);
  }
  return [...groups.values()].map((group) => {
    const lists = [...group].map(
      ([name, values]) => `${name}: ${listOf(values.sort((a, b) => Number(a) - Number(b)))}`,
    );
    return `{ ${lists.join(", ")} }`;
  });
}

/** An axis's values as a config writes them. */
export function listOf(values: readonly AxisValue[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(", ")}]`;
}

function splice(text: string, start: number, end: number, inserted: string): string {
  return text.slice(0, start) + inserted + text.slice(end);
}

function indentAt(text: string, lineStart: number): string {
  return /^[ \t]*/.exec(text.slice(lineStart))?.[0] ?? "";
}

function newlineOf(config: SourceFile): string {
  return config.getFullText().includes("\r\n") ? "\r\n" : "\n";
}
