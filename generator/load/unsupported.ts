/**
 * Explains an unreadable part of a config, and what to write instead.
 *
 * In: the node, and the wanted form. Out: a diagnostic.
 */
import { type Identifier, Node, SyntaxKind } from "ts-morph";
import { type Diagnostic, quoted, show } from "../diagnostics.js";
import { closest } from "./closest.js";
import { spanOf } from "./project.js";

interface Seen {
  /** A description that follows "is". */
  readonly what: string;
  /** Whether only running the code would give its value. */
  readonly runs?: boolean;
  /** How to make it readable. */
  readonly instead?: string;
}

const CALL: Seen = { what: "the result of a call", runs: true };
const COMPUTED: Seen = { what: "computed", runs: true };
const MEMBER: Seen = { what: "a member of an object", runs: true, instead: "give it a const of its own" };
const FUNCTION: Seen = { what: "a function" };
const CIRCLE: Seen = { what: "made of itself" };

const SEEN: Readonly<Partial<Record<SyntaxKind, Seen>>> = {
  [SyntaxKind.CallExpression]: CALL,
  [SyntaxKind.NewExpression]: CALL,
  [SyntaxKind.TaggedTemplateExpression]: CALL,
  [SyntaxKind.BinaryExpression]: COMPUTED,
  [SyntaxKind.PrefixUnaryExpression]: COMPUTED,
  [SyntaxKind.PostfixUnaryExpression]: COMPUTED,
  [SyntaxKind.ConditionalExpression]: { what: "a choice between two values", runs: true },
  [SyntaxKind.TemplateExpression]: { what: "a text with values in it", runs: true },
  [SyntaxKind.PropertyAccessExpression]: MEMBER,
  [SyntaxKind.ElementAccessExpression]: MEMBER,
  [SyntaxKind.PropertyAssignment]: { what: "a property whose name is computed", runs: true },
  [SyntaxKind.GetAccessor]: { what: "a getter", runs: true },
  [SyntaxKind.MethodDeclaration]: FUNCTION,
  [SyntaxKind.ArrowFunction]: FUNCTION,
  [SyntaxKind.FunctionExpression]: FUNCTION,
  [SyntaxKind.Block]: { what: "a body of statements", runs: true },
  [SyntaxKind.ArrayLiteralExpression]: { what: "a list" },
  [SyntaxKind.ObjectLiteralExpression]: { what: "an object" },
  [SyntaxKind.NumericLiteral]: { what: "a number" },
  [SyntaxKind.StringLiteral]: { what: "a text" },
  [SyntaxKind.BigIntLiteral]: { what: "a bigint", instead: "leave out the `n`" },
  [SyntaxKind.TrueKeyword]: { what: "a boolean" },
  [SyntaxKind.FalseKeyword]: { what: "a boolean" },
  [SyntaxKind.NullKeyword]: { what: "no value" },
};

/** Describes a name without a readable value. */
function seenName(name: Identifier): Seen {
  if (name.getText() === "undefined") return { what: "no value" };
  if (["NaN", "Infinity"].includes(name.getText())) return { what: "no number that an axis can have" };
  const symbol = name.getSymbol();
  const declaration = (symbol?.getAliasedSymbol() ?? symbol)?.getValueDeclaration();
  if (Node.isVariableDeclaration(declaration)) {
    const isConst = declaration.getVariableStatement()?.getDeclarationKind() === "const";
    if (!isConst)
      return { what: "a variable that may change", runs: true, instead: "declare it with `const`" };
    if (declaration.hasInitializer()) return CIRCLE;
    return { what: "declared without its value", instead: "give it one where it is declared" };
  }
  if (Node.isBindingElement(declaration)) return MEMBER;
  if (Node.isFunctionDeclaration(declaration)) return FUNCTION;
  return { what: "a name without a value that can be read" };
}

function seenAs(node: Node): Seen {
  if (Node.isIdentifier(node)) return seenName(node);
  return SEEN[node.getKind()] ?? { what: "an expression", runs: true };
}

const SHOWN_LENGTH = 60;

/** A node's text on one line, cut short. */
export function shortText(node: Node): string {
  const text = quoted(node.getText().replaceAll(/\s+/g, " "));
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH - 3)}...` : text;
}

/** @param within the nodes on the way to this one, which may be among them */
export function unsupported(node: Node, want: string, within: readonly Node[] = []): Diagnostic {
  const seen = within.includes(node) ? CIRCLE : seenAs(node);
  const why = seen.runs ? ", and a config is read without being run" : "";
  return {
    code: "unsupported-expression",
    message: Node.isOmittedExpression(node)
      ? "the list has an empty place"
      : `\`${shortText(node)}\` is ${seen.what}${why}`,
    fix: `${seen.instead === undefined ? "" : `${seen.instead}, or `}write ${want}`,
    span: spanOf(node),
  };
}

/** For an unknown name in an op's definition, which would be ignored. */
export function surplusName(owner: string, name: string, known: readonly string[], node: Node): Diagnostic {
  const near = closest(name, known);
  return {
    code: "bad-op",
    message: `${owner} takes no ${show(name)}`,
    fix: near === undefined ? `it takes ${known.join(", ")}` : `did you mean ${near}?`,
    span: spanOf(node),
  };
}
