/**
 * The compiler's two kinds of error: the user's, with a place and a fix, and ours.
 *
 * In: what a stage found. Out: diagnostics, sorted by place; one error that carries them all. Must not print.
 */
import { quoted } from "../runtime/errors.js";

export { quoted, reasonOf, show } from "../runtime/errors.js";

/** Every diagnostic of the compiler, with its meaning. */
export const DIAGNOSTIC_CODES = {
  "config-not-found": "there is no config file at the path",
  "config-unreadable": "the config file cannot be read",
  "not-a-space": "the config does not export `defineSpace(op, …)`, or a list of such, as its default",
  "not-an-op": "the first argument of `defineSpace` does not lead to `defineOp({…})`",
  "unsupported-expression": "the expression would have to be run to be understood",
  "type-error": "TypeScript rejects the file",
  "unknown-axis": "the op has no such axis",
  "axis-without-meaning": "an entry lists an axis that means something at none of its points",
  "missing-axis": "an entry leaves out an axis that has no default",
  "value-not-in-axis": "the value lies outside its axis",
  "duplicate-value": "an axis lists a value twice",
  "duplicate-point": "two entries ask for the same kernel",
  "empty-axis": "an axis lists no value",
  "empty-space": "the space has no entry",
  "entry-without-kernel": "the rules forbid every point of an entry",
  "duplicate-op": "two spaces have ops of the same name",
  "bad-op": "the op is one that no kernel can be made for",
  "value-present": "`add` was given a value that the config already has",
  "entry-needed": "`add` cannot tell which entry is meant",
  "op-needed": "`import` cannot tell which space is meant",
  "op-missing": "no op of the config does what a model does to q and k",
  "file-exists": "a file that would be written over is not normrope's",
  "stale-output": "generated/ is not what the compiler emits",
  "no-compiler": "the compiler that a target needs was not found",
  "compile-failed": "a compiler rejected an emitted file",
  "compile-timeout": "a compiler did not end in its time",
  "cache-unusable": "the folder of the cache cannot be written to, or others can",
  "folder-unusable": "a folder of the project cannot be written to",
  "register-spill": "a kernel does not fit the registers",
  "bad-option": "an option's value cannot be used",
  "bad-file": "a file or a folder cannot be read or written",
  "nothing-built": "the command needs a built library",
  "bad-record": "a file is not the record of a benchmark",
  "model-config-unreadable": "a model's config.json cannot be read, or is none",
  "bad-model-config": "a field of a model's config has a value that it cannot have",
  "unknown-model-type": "`import` does not know the model type, and guesses nothing",
  "missing-model-fact": "neither a model's config nor the command line says it",
  "unsupported-model": "no kernel can do what a model's attention does",
} as const;

export type DiagnosticCode = keyof typeof DIAGNOSTIC_CODES;

/** A place in a file; line and column count from 1. */
export interface Span {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Diagnostic {
  readonly code: DiagnosticCode;
  /** What is wrong, with the offending value in it. */
  readonly message: string;
  /** What to write or do instead. */
  readonly fix: string;
  readonly span?: Span | undefined;
}

/** The most that are printed: one mistake can cause a report on every later line. */
const PRINTED_MAX = 30;

/** The user's errors, all of them, in the order of the file. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    const sorted = [...diagnostics].sort(byPlace);
    const printed = sorted.slice(0, PRINTED_MAX).map(formatDiagnostic);
    const more = sorted.length - printed.length;
    super([...printed, ...(more === 0 ? [] : [`… and ${more} more`])].join("\n"));
    this.diagnostics = sorted;
  }
}

export function userError(code: DiagnosticCode, message: string, fix: string, span?: Span): UserError {
  return new UserError([{ code, message, fix, span }]);
}

/** A bug of ours: it names the stage and the kernel, if any. */
export class InternalError extends Error {
  override readonly name = "InternalError";
}

export function internalError(stage: string, message: string, kernelId?: string): InternalError {
  return new InternalError(`${stage}${kernelId === undefined ? "" : ` (${kernelId})`}: ${message}`);
}

/** `file:line:col: error [code]: message`, and the fix on a line of its own. */
export function formatDiagnostic({ code, message, fix, span }: Diagnostic): string {
  const place = span === undefined ? "" : `${quoted(span.file)}:${span.line}:${span.column}: `;
  return `${place}error [${code}]: ${message}\n  fix: ${fix}`;
}

function byPlace(a: Diagnostic, b: Diagnostic): number {
  const [x, y] = [a.span, b.span];
  if (x === undefined || y === undefined) return Number(x !== undefined) - Number(y !== undefined);
  return compareText(x.file, y.file) || x.line - y.line || x.column - y.column || compareText(a.code, b.code);
}

/** `1 kernel`, `2 kernels`. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}

/** Order by code unit, the same in every locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
