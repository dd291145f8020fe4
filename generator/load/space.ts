/**
 * Reads a space: its entries, and each entry's values.
 *
 * In: the `defineSpace` call of a config. Out: the space with the place of every value. Unreadable parts are
 * reported and omitted, and their entry is marked incomplete.
 */
import { type CallExpression, type Expression, Node } from "ts-morph";
import { show } from "../diagnostics.js";
import type { Entry, EntryAxis, Op, Space } from "../ir.js";
import { closest } from "./closest.js";
import { type Report, readElements, readProperties, readValues, unwrap } from "./literals.js";
import { spanOf } from "./project.js";

/** The expression of each entry: one object, or the elements of a list. */
export function entryExpressions(call: CallExpression, report: Report): Expression[] {
  const argument = call.getArguments()[1];
  if (!Node.isExpression(argument)) return [];
  const value = unwrap(argument);
  return Node.isArrayLiteralExpression(value) ? (readElements(value, report) ?? []) : [argument];
}

export function readSpace(call: CallExpression, op: Op, report: Report): Space {
  const entries = entryExpressions(call, report).map((expression) => readEntry(expression, op, report));
  return { op, entries, span: spanOf(call) };
}

function readEntry(expression: Expression, op: Op, report: Report): Entry {
  let complete = true;
  const reportPart: Report = (diagnostic) => {
    complete = false;
    report(diagnostic);
  };
  const axes: EntryAxis[] = [];
  for (const property of readProperties(expression, reportPart)?.values() ?? []) {
    const name = op.axes.find((range) => range.name === property.name)?.name;
    if (name === undefined) {
      reportUnknownAxis(property.name, property.node, op, reportPart);
      continue;
    }
    axes.push({ name, values: readValues(property.value, reportPart), span: spanOf(property.node) });
  }
  return { axes, span: spanOf(unwrap(expression)), complete };
}

function reportUnknownAxis(name: string, node: Node, op: Op, report: Report): void {
  const names = op.axes.map((range) => range.name);
  const near = closest(name, names);
  report({
    code: "unknown-axis",
    message: `${op.name} has no axis ${show(name)}`,
    fix: near === undefined ? `its axes are ${names.join(", ")}` : `did you mean ${near}?`,
    span: spanOf(node),
  });
}
