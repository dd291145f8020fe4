/**
 * The runtime's table of RoPE scalings → the same in Python.
 *
 * In: runtime/rope_scalings.ts, as a syntax tree. Out: the text of python/normrope/_rope_scalings.py. A formula without a
 * Python form is an internal error, which only `npm run compile` can meet.
 */
import { join } from "node:path";
import { type ArrowFunction, type Expression, Node, Project, type Statement, SyntaxKind } from "ts-morph";
import { SCALINGS } from "../../runtime/rope_scalings.js";
import { internalError } from "../diagnostics.js";
import { PACKAGE_ROOT } from "../package_root.js";
import { snake } from "./snake.js";

const SOURCE = "runtime/rope_scalings.ts";

export const SCALINGS_FILE = join(PACKAGE_ROOT, "python", "normrope", "_rope_scalings.py");

const HEADER = `"""RoPE scalings: what each is given, and its formulas. Written by
\`npm run compile\` from ${SOURCE}.
"""

import math
from collections.abc import Mapping
from typing import Any

Values = Mapping[str, float]
`;

/** Operators that Python spells differently, operators that it spells alike, and functions of Math. */
const OPERATORS: Readonly<Record<string, string>> = { "===": "==", "!==": "!=", "&&": "and", "||": "or" };
const SAME = ["+", "-", "*", "/", "<", "<=", ">", ">="];
const FUNCTIONS: ReadonlyMap<string, string> = new Map([
  ...["floor", "ceil", "log", "sqrt"].map((name) => [`Math.${name}`, `math.${name}`] as const),
  ...["min", "max"].map((name) => [`Math.${name}`, name] as const),
]);

/** The whole file. */
export function pythonScalings(): string {
  const file = new Project({ skipAddingFilesFromTsConfig: true }).addSourceFileAtPath(
    join(PACKAGE_ROOT, SOURCE),
  );
  const helpers = file.getVariableDeclarations().flatMap((declaration) => {
    const value = declaration.getInitializer();
    const isOfNumbers = Node.isArrowFunction(value) && value.getTypeParameters().length === 0;
    return isOfNumbers ? [helper(declaration.getName(), value)] : [];
  });
  const formulas = file
    .getVariableDeclarationOrThrow("SCALINGS")
    .getDescendantsOfKind(SyntaxKind.PropertyAssignment)
    .flatMap((property) => {
      const value = property.getInitializer();
      if (!Node.isArrowFunction(value)) return [];
      const row = property.getParentOrThrow().getFirstAncestorByKindOrThrow(SyntaxKind.PropertyAssignment);
      const type = row.getNameNode().getText().replaceAll('"', "");
      return [formula(functionName(type, property.getName()), value)];
    });
  const rows = Object.entries(SCALINGS).flatMap(([type, { parameters, ...rest }]) => [
    `    ${JSON.stringify(type)}: {`,
    '        "parameters": {',
    ...Object.entries(parameters).map(([name, rule]) => `            ${entry(name, literal(rule))},`),
    "        },",
    ...Object.entries(rest).map(([name, value]) => {
      const text = typeof value === "function" ? functionName(type, name) : literal(value);
      return `        ${entry(name, text)},`;
    }),
    "    },",
  ]);
  const table = ["SCALINGS: dict[str, dict[str, Any]] = {", ...rows, "}", ""].join("\n");
  return [HEADER, ...helpers, ...formulas, table].join("\n\n");
}

/** A function of its arguments. */
function helper(name: string, arrow: ArrowFunction): string {
  const parameters = arrow.getParameters().map((parameter) => `${snake(parameter.getName())}: float`);
  return define(`def ${snake(name)}(${parameters.join(", ")}) -> float:`, [], arrow);
}

/** A formula. The names that it destructures become reads of `p`. */
function formula(name: string, arrow: ArrowFunction): string {
  const pattern = arrow.getParameters()[0]?.getNameNode();
  if (!Node.isObjectBindingPattern(pattern)) throw cannot(arrow);
  const names = pattern.getElements().map((element) => snake(element.getName()));
  const given = names.map((read) => `${read} = p[${JSON.stringify(read)}]`);
  return define(`def ${name}(p: Values) -> float:`, given, arrow);
}

function define(head: string, given: readonly string[], arrow: ArrowFunction): string {
  const body = arrow.getBody();
  const lines = Node.isBlock(body) ? body.getStatements().map(statement) : [`return ${expression(body)}`];
  return [head, ...[...given, ...lines].map((line) => `    ${line}`), ""].join("\n");
}

function statement(node: Statement): string {
  if (Node.isReturnStatement(node)) return `return ${expression(node.getExpression())}`;
  const [declaration, ...more] = Node.isVariableStatement(node) ? node.getDeclarations() : [];
  if (declaration === undefined || more.length > 0) throw cannot(node);
  return `${snake(declaration.getName())} = ${expression(declaration.getInitializer())}`;
}

function expression(node: Node | undefined): string {
  if (Node.isNumericLiteral(node)) return node.getText();
  if (Node.isIdentifier(node)) return snake(node.getText());
  if (Node.isParenthesizedExpression(node)) return `(${expression(node.getExpression())})`;
  if (Node.isPrefixUnaryExpression(node) && node.getOperatorToken() === SyntaxKind.MinusToken)
    return `-${expression(node.getOperand())}`;
  if (Node.isPropertyAccessExpression(node) && node.getText() === "Math.PI") return "math.pi";
  if (Node.isConditionalExpression(node)) {
    // Python would group a choice before its `if` differently.
    if (Node.isConditionalExpression(node.getWhenTrue())) throw cannot(node);
    return `${expression(node.getWhenTrue())} if ${expression(node.getCondition())} else ${expression(node.getWhenFalse())}`;
  }
  if (Node.isBinaryExpression(node)) {
    const token = node.getOperatorToken().getText();
    if (token === "**") return `math.pow(${expression(node.getLeft())}, ${expression(node.getRight())})`;
    const operator = SAME.includes(token) ? token : OPERATORS[token];
    const operands = [node.getLeft(), node.getRight()];
    // Python reads `a < b == c` as two comparisons.
    if (operator === undefined || (isComparison(node) && operands.some(isComparison))) throw cannot(node);
    return `${expression(node.getLeft())} ${operator} ${expression(node.getRight())}`;
  }
  if (Node.isCallExpression(node)) {
    const called = node.getExpression();
    const name = Node.isIdentifier(called) ? snake(called.getText()) : FUNCTIONS.get(called.getText());
    if (name === undefined) throw cannot(node);
    return `${name}(${node
      .getArguments()
      .map((argument) => expression(argument))
      .join(", ")})`;
  }
  throw cannot(node);
}

const isComparison = (node: Node) =>
  Node.isBinaryExpression(node) && /^[<>=!]/.test(node.getOperatorToken().getText());

function cannot(node: Node | Expression | undefined): Error {
  return internalError("python_formulas", `no Python is known for \`${node?.getText() ?? "nothing"}\``);
}

/** A value of the table as Python writes it. */
function literal(value: unknown): string {
  if (value === true) return "True";
  if (Array.isArray(value)) return `[${value.map((name) => JSON.stringify(snake(String(name)))).join(", ")}]`;
  if (typeof value === "string") return JSON.stringify(snake(value));
  if (typeof value !== "object" || value === null) return String(value);
  const entries = Object.entries(value).map(([name, inner]) => entry(name, literal(inner)));
  return `{${entries.join(", ")}}`;
}

const entry = (name: string, text: string) => `${JSON.stringify(snake(name))}: ${text}`;

const functionName = (type: string, part: string) => `_${type.replace("-", "_")}_${snake(part)}`;
