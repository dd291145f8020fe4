/**
 * Config file → op and space.
 *
 * In: the path of a TypeScript config. Out: the op and the space as written, with a place for every value, and all
 * the diagnostics that reading and type-checking give. Nothing of the user's files is executed.
 */
import { type CallExpression, Node, type SourceFile } from "ts-morph";
import { type Diagnostic, UserError } from "../diagnostics.js";
import type { Op, Space } from "../ir.js";
import { dslFunction, opDefinition, unwrap } from "./literals.js";
import { readOp } from "./op.js";
import { openConfig, spanOf, typeErrors, withinStack } from "./project.js";
import { readSpace } from "./space.js";

export interface LoadedConfig {
  readonly op: Op;
  readonly space: Space;
  /** What cannot be read of the space; of the op everything can, or `load` throws. */
  readonly diagnostics: readonly Diagnostic[];
  /** What TypeScript says of the space: for the caller to show where the compiler itself finds nothing wrong. */
  readonly typeErrorsInSpace: readonly Diagnostic[];
}

/** @throws UserError where the file cannot be read, or holds no space over an op that can be understood. */
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

  const space = findSpaceCall(config);
  if (space === undefined) {
    if (complaints.length === 0) report(notASpace(config));
    throw failed();
  }
  const definition = findOpCall(space);
  if (definition === undefined) {
    report({
      code: "not-an-op",
      message: `\`${space.getArguments()[0]?.getText() ?? ""}\` does not lead to an op`,
      fix: "give `qkNormRope` of normrope/dsl, or the name of a const made by `defineOp({…})`",
      span: spanOf(space),
    });
    throw failed();
  }
  const op = readOp(definition, config.getFilePath(), report);
  if (op === undefined) throw failed();
  const read = readSpace(space, op, report);

  const entries = space.getArguments()[1];
  const isInSpace = ({ file, start }: { file: SourceFile; start: number }) =>
    file === config && entries !== undefined && start >= entries.getStart() && start < entries.getEnd();
  const elsewhere = complaints.filter((complaint) => !isInSpace(complaint));
  return {
    op,
    space: read,
    diagnostics: [...found, ...elsewhere.map(({ diagnostic }) => diagnostic)],
    typeErrorsInSpace: complaints.filter(isInSpace).map(({ diagnostic }) => forWidenedName(diagnostic)),
  };
}

/** TypeScript takes a name in an object or list of its own for any string. */
function forWidenedName(diagnostic: Diagnostic): Diagnostic {
  if (!/Type 'string' is not assignable to type '(Values<)?"/.test(diagnostic.message)) return diagnostic;
  return {
    ...diagnostic,
    fix: "put `as const` behind the const, the object or the list that holds the name",
  };
}

/** The call in `export default defineSpace(op, …)`. */
export function findSpaceCall(config: SourceFile): CallExpression | undefined {
  const exported = config.getExportAssignment((assignment) => !assignment.isExportEquals());
  const call = exported && unwrap(exported.getExpression());
  return Node.isCallExpression(call) && dslFunction(call.getExpression())?.getName() === "defineSpace"
    ? call
    : undefined;
}

function findOpCall(space: CallExpression): CallExpression | undefined {
  const [argument] = space.getArguments();
  const call = Node.isExpression(argument) ? unwrap(argument) : undefined;
  return Node.isCallExpression(call) && opDefinition(call) !== undefined ? call : undefined;
}

function notASpace(config: SourceFile): Diagnostic {
  return {
    code: "not-a-space",
    message: "the file has no `export default defineSpace(op, …)`",
    fix: 'import `defineSpace` and `qkNormRope` from "normrope/dsl" and export a space; `normrope init` writes one',
    span: { file: spanOf(config).file, line: 1, column: 1 },
  };
}
