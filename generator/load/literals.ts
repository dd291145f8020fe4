/**
 * Reads values out of expressions without running them.
 *
 * In: syntax nodes. Out: literals with their places, or a diagnostic that says what to write.
 * Accepted: literals, `const` names (imported ones too), arrays, objects, ops, spreads, and type annotations around
 * them.
 */
import {
  type Expression,
  Node,
  type NumericLiteral,
  type ObjectLiteralExpression,
  SyntaxKind,
} from "ts-morph";
import type { Diagnostic } from "../diagnostics.js";
import type { AxisValue, Located } from "../ir.js";
import { isOfDsl, spanOf } from "./project.js";
import { surplusName, unsupported } from "./unsupported.js";

/** Receives what the readers cannot read. */
export type Report = (diagnostic: Diagnostic) => void;

/** A chain of `const` names longer than this is a circle. */
const NAME_CHAIN_MAX = 100;

/** The expression behind parentheses, type annotations and `const` names. */
export function unwrap(expression: Expression): Expression {
  let current = expression;
  for (let links = 0; links < NAME_CHAIN_MAX; links++) {
    const inner = unwrapOnce(current);
    if (inner === undefined) return current;
    current = inner;
  }
  return current;
}

function unwrapOnce(expression: Expression): Expression | undefined {
  if (
    Node.isParenthesizedExpression(expression) ||
    Node.isAsExpression(expression) ||
    Node.isTypeAssertion(expression) ||
    Node.isNonNullExpression(expression) ||
    Node.isSatisfiesExpression(expression)
  ) {
    return expression.getExpression();
  }
  if (Node.isPropertyAccessExpression(expression)) {
    const op = opDefinition(unwrap(expression.getExpression()));
    return op && readProperties(op, () => {})?.get(expression.getName())?.value;
  }
  if (!Node.isIdentifier(expression)) return undefined;
  const parent = expression.getParent();
  const symbol = Node.isShorthandPropertyAssignment(parent)
    ? parent.getValueSymbol()
    : expression.getSymbol();
  const declaration = (symbol?.getAliasedSymbol() ?? symbol)?.getValueDeclaration();
  if (!Node.isVariableDeclaration(declaration)) return undefined;
  const isConst = declaration.getVariableStatement()?.getDeclarationKind() === "const";
  return isConst ? declaration.getInitializer() : undefined;
}

/** The DSL's own name of a called function or stage, whatever the file imports it as. */
export function dslName(callee: Expression): string | undefined {
  const symbol = callee.getSymbol();
  const declaration = (symbol?.getAliasedSymbol() ?? symbol)?.getValueDeclaration();
  if (!Node.isFunctionDeclaration(declaration) && !Node.isVariableDeclaration(declaration)) return undefined;
  return isOfDsl(declaration.getSourceFile()) ? declaration.getName() : undefined;
}

/** The argument of `defineOp`, which returns it frozen. */
export function opDefinition(call: Node | undefined): Expression | undefined {
  if (!Node.isCallExpression(call)) return undefined;
  const [definition] = call.getArguments();
  const isOp = dslName(call.getExpression()) === "defineOp";
  return isOp && Node.isExpression(definition) ? definition : undefined;
}

/** A number or a string, or undefined and a report. */
export function readScalar(expression: Expression, report: Report): Located<AxisValue> | undefined {
  const literal = unwrap(expression);
  const value = scalarOf(literal);
  if (value !== undefined) return { value, span: spanOf(literal) };
  report(unsupported(literal, "a number, a string, or the name of a const that is one"));
  return undefined;
}

function scalarOf(literal: Expression): AxisValue | undefined {
  if (Node.isStringLiteral(literal) || Node.isNoSubstitutionTemplateLiteral(literal)) {
    return literal.getLiteralValue();
  }
  if (Node.isNumericLiteral(literal)) return numberOf(literal);
  if (!Node.isPrefixUnaryExpression(literal)) return undefined;
  const operand = literal.getOperand();
  if (!Node.isNumericLiteral(operand)) return undefined;
  if (literal.getOperatorToken() === SyntaxKind.PlusToken) return numberOf(operand);
  return literal.getOperatorToken() === SyntaxKind.MinusToken ? -numberOf(operand) : undefined;
}

/** TypeScript gives the value in decimal, so hexadecimal and exponents are read correctly. */
function numberOf(literal: NumericLiteral): number {
  return Number(literal.compilerNode.text);
}

/** The elements of an array, spreads included; undefined and a report if it is no array. */
export function readElements(
  expression: Expression,
  report: Report,
  within: readonly Node[] = [],
): Expression[] | undefined {
  const array = unwrap(expression);
  if (!Node.isArrayLiteralExpression(array) || within.includes(array)) {
    report(unsupported(array, "a list in brackets, or the name of a const that is one", within));
    return undefined;
  }
  return array.getElements().flatMap((element) => {
    if (!Node.isSpreadElement(element)) return [element];
    return readElements(element.getExpression(), report, [...within, array]) ?? [];
  });
}

/** The values of a list; a value without brackets is a list of one. */
export function readValues(expression: Expression, report: Report): Located<AxisValue>[] {
  const literal = unwrap(expression);
  if (!Node.isArrayLiteralExpression(literal) && scalarOf(literal) === undefined) {
    report(unsupported(literal, "a value, a list of values in brackets, or the name of a const that is one"));
    return [];
  }
  const elements = Node.isArrayLiteralExpression(literal) ? (readElements(literal, report) ?? []) : [literal];
  return elements.flatMap((element) => readScalar(element, report) ?? []);
}

export interface Property {
  readonly name: string;
  /** The node of the property. */
  readonly node: Node;
  readonly value: Expression;
}

/** The properties of an object, spreads included. Later ones win. Undefined if it is no object. */
export function readProperties(
  expression: Expression,
  report: Report,
  within: readonly Node[] = [],
): Map<string, Property> | undefined {
  const read = unwrap(expression);
  const object = unwrap(opDefinition(read) ?? read);
  if (!Node.isObjectLiteralExpression(object) || within.includes(object)) {
    report(unsupported(object, "an object in braces, or the name of a const that is one", within));
    return undefined;
  }
  const properties = new Map<string, Property>();
  for (const member of object.getProperties()) {
    for (const property of readMember(member, report, [...within, object]))
      properties.set(property.name, property);
  }
  return properties;
}

type Member = ReturnType<ObjectLiteralExpression["getProperties"]>[number];

function readMember(member: Member, report: Report, within: readonly Node[]): Property[] {
  if (Node.isSpreadAssignment(member)) {
    return [...(readProperties(member.getExpression(), report, within)?.values() ?? [])];
  }
  if (Node.isShorthandPropertyAssignment(member)) {
    return [{ name: member.getName(), node: member, value: member.getNameNode() }];
  }
  if (Node.isPropertyAssignment(member)) {
    const nameNode = member.getNameNode();
    const value = member.getInitializer();
    if (Node.isIdentifier(nameNode) && value !== undefined) {
      return [{ name: nameNode.getText(), node: nameNode, value }];
    }
    if (Node.isStringLiteral(nameNode) && value !== undefined) {
      return [{ name: nameNode.getLiteralValue(), node: nameNode, value }];
    }
  }
  report(unsupported(member, "`name: value`, `name`, or `...name`"));
  return [];
}

/** Whether all names are known. Unknown ones are reported: they would be ignored. */
export function areKnown(
  owner: string,
  given: ReadonlyMap<string, Property>,
  known: readonly string[],
  report: Report,
): boolean {
  const surplus = [...given.values()].filter(({ name }) => !known.includes(name));
  for (const { name, node } of surplus) report(surplusName(owner, name, known, node));
  return surplus.length === 0;
}
