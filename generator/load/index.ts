/**
 * Config file → ops and spaces.
 *
 * In: the path of a TypeScript config. Out: the spaces as written, each with its op and the place of every value, and
 * all diagnostics of reading and type-checking. Never runs the user's files.
 */
import { type CallExpression, type Expression, Node, type SourceFile } from "ts-morph";
import { type Diagnostic, quoted, UserError } from "../diagnostics.js";
import type { Space } from "../ir.js";
import { dslName, opDefinition, type Report, readElements, unwrap } from "./literals.js";
import { readOp } from "./op.js";
import { openConfig, spanOf, typeErrors, withinStack } from "./project.js";
import { readSpace } from "./space.js";
import { shortText } from "./unsupported.js";

export interface LoadedConfig {
  /** At least one. Their ops' names differ. */
  readonly spaces: readonly Space[];
  /** Errors in the spaces. Errors in their ops are thrown. */
  readonly diagnostics: readonly Diagnostic[];
  /** TypeScript's errors in entries. The caller shows them if the compiler finds nothing wrong itself. */
  readonly typeErrorsInSpaces: readonly Diagnostic[];
}

/** @throws UserError if the file cannot be read, or holds no space over an op that can be read. */
export function load(configPath: string): LoadedConfig {
  return readConfig(openConfig(configPath));
}

/** @throws UserError as `load` does. */
export function readConfig(config: SourceFile): LoadedConfig {
  return withinStack(config.getFilePath(), () => readSource(config));
}

function readSource(config: SourceFile): LoadedConfig {
  const found: Diagnostic[] = [];
  const report = (diagnostic: Diagnostic) => found.push(diagnostic);
  const complaints = typeErrors(config);
  const failed = () => {
    const read = found.length > 0 ? found : complaints.map(({ diagnostic }) => diagnostic);
    return new UserError(read);
  };

  const syntax = complaints.filter(({ isSyntax }) => isSyntax);
  if (syntax.length > 0) throw new UserError(syntax.map(({ diagnostic }) => diagnostic));

  const calls = spaceCalls(config, report);
  if (calls.length === 0) {
    if (complaints.length === 0 && found.length === 0) report(notASpace(config));
    throw failed();
  }
  const spaces = calls.flatMap((call) => readSpaceCall(call, config, report) ?? []);
  if (spaces.length < calls.length) throw failed();
  spaces.forEach(({ op, span }, i) => {
    const earlier = spaces.slice(0, i).find((space) => space.op.name === op.name);
    if (earlier !== undefined) report(duplicateOp(op.name, earlier, span));
  });

  const inSpaces = complaints.filter((complaint) => isInSpace(complaint, config, calls));
  const elsewhere = complaints.filter((complaint) => !inSpaces.includes(complaint));
  return {
    spaces,
    diagnostics: [...found, ...elsewhere.map(({ diagnostic }) => diagnostic)],
    typeErrorsInSpaces: inSpaces.map(({ diagnostic }) => forWidenedName(diagnostic)),
  };
}

function isInSpace(
  { file, start }: { readonly file: SourceFile; readonly start: number },
  config: SourceFile,
  calls: readonly CallExpression[],
): boolean {
  return calls.some((call) => {
    const entries = call.getArguments()[1];
    return (
      file === config && entries !== undefined && start >= entries.getStart() && start < entries.getEnd()
    );
  });
}

function readSpaceCall(call: CallExpression, config: SourceFile, report: Report): Space | undefined {
  const definition = findOpCall(call);
  if (definition === undefined) {
    report({
      code: "not-an-op",
      message: `\`${call.getArguments()[0]?.getText() ?? ""}\` does not lead to an op`,
      fix: "give `qkNormRope` of normrope/dsl, or the name of a const made by `defineOp({…})`",
      span: spanOf(call),
    });
    return undefined;
  }
  const op = readOp(definition, config.getFilePath(), report);
  return op && readSpace(call, op, report);
}

/** TypeScript widens a name in an object or list to `string`. */
function forWidenedName(diagnostic: Diagnostic): Diagnostic {
  if (!/Type 'string' is not assignable to type '(Values<)?"/.test(diagnostic.message)) return diagnostic;
  return {
    ...diagnostic,
    fix: "put `as const` behind the const, the object or the list that holds the name",
  };
}

/** The calls in `export default defineSpace(op, …)`, or in a list of such. */
export function spaceCalls(config: SourceFile, report: Report): CallExpression[] {
  const exported = config.getExportAssignment((assignment) => !assignment.isExportEquals())?.getExpression();
  if (exported === undefined) return [];
  const isList = Node.isArrayLiteralExpression(unwrap(exported));
  const calls = (isList ? (readElements(exported, report) ?? []) : [exported]).map(unwrap);
  if (calls.every(isSpaceCall)) return calls;
  const other = calls.find((call) => !isSpaceCall(call));
  if (isList && other !== undefined) report(notInList(other));
  return [];
}

function isSpaceCall(node: Node): node is CallExpression {
  return Node.isCallExpression(node) && dslName(node.getExpression()) === "defineSpace";
}

function findOpCall(space: CallExpression): CallExpression | undefined {
  const [argument] = space.getArguments();
  const call = Node.isExpression(argument) ? unwrap(argument) : undefined;
  return Node.isCallExpression(call) && opDefinition(call) !== undefined ? call : undefined;
}

function duplicateOp(name: string, earlier: Space, span: Space["span"]): Diagnostic {
  return {
    code: "duplicate-op",
    message: `the op of another space is called ${quoted(name)} too, at ${earlier.span.file}:${earlier.span.line}`,
    fix: "make one space of both, with a list of entries; another op needs another name",
    span,
  };
}

function notInList(element: Expression): Diagnostic {
  return {
    code: "not-a-space",
    message: `\`${shortText(element)}\` is no space, and the config exports a list of them`,
    fix: "write `defineSpace(op, …)`, or the name of a const that is one",
    span: spanOf(element),
  };
}

function notASpace(config: SourceFile): Diagnostic {
  return {
    code: "not-a-space",
    message: "the file has no `export default defineSpace(op, …)`, nor a list of such spaces",
    fix: 'import `defineSpace` and `qkNormRope` from "normrope/dsl" and export a space; `normrope init` writes one',
    span: { file: spanOf(config).file, line: 1, column: 1 },
  };
}
