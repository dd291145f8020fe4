/**
 * The errors of the runtime.
 *
 * In: what went wrong. Out: one error type that names the value and the fix. Must not import anything.
 */

/** The kind of an error, for programs. */
export type ErrorCode =
  /** An argument is wrong; nothing was launched or written. */
  | "invalid-argument"
  /** A library, buffer, stream or event was used after it was closed or freed. */
  | "closed"
  /** There is no shared library or manifest at the path. */
  | "library-not-found"
  /** The file is there and is not a whole normrope library of this version. */
  | "library-invalid"
  /** The library was built for instructions that this CPU lacks. */
  | "cpu-unsupported"
  /** The library holds no kernel for the point. */
  | "kernel-not-found"
  /** A kernel was to be compiled on its first use, and could not be. */
  | "compile-failed"
  /** The folder of the cache cannot be written to, or others can. */
  | "cache-unusable"
  /** The call needs a device and there is none. */
  | "no-device"
  | "out-of-memory"
  /** The device or its driver reported an error. */
  | "device-error";

/** Every error that the runtime throws: the message names the value and ends with the fix. */
export class NormropeError extends Error {
  /** `NormropeError`. */
  override readonly name = "NormropeError";
  /** What went wrong. */
  readonly code: ErrorCode;
  /** What the user can do about it. */
  readonly fix: string;

  constructor(code: ErrorCode, message: string, fix: string, options?: ErrorOptions) {
    super(`${message}. ${fix}`, options);
    this.code = code;
    this.fix = fix;
  }
}

/** An argument error with the field, the value that was given, and what is wanted instead. */
export function invalidArgument(field: string, value: unknown, want: string): NormropeError {
  return unfitArgument(field, show(value), want);
}

/** The same, with the value described in words. */
export function unfitArgument(field: string, what: string, want: string): NormropeError {
  return new NormropeError("invalid-argument", `${field} is ${what}`, `${field} must be ${want}`);
}

/** Refuses a misspelt field, which would otherwise be ignored. @throws NormropeError `invalid-argument`. */
export function requireFields(field: string, value: object, known: readonly string[]): void {
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw unfitArgument(`${field}.${unknown}`, "not known", `one of ${known.join(", ")}`);
}

/** Refuses anything but an object. @throws NormropeError `invalid-argument`. */
export function requireObject(field: string, value: unknown): asserts value is object {
  if (typeof value !== "object" || value === null) throw invalidArgument(field, value, "given");
}

/** Refuses a number that is infinite in float32, or that rounds to 0. @throws NormropeError `invalid-argument`. */
export function requireFloat32(field: string, value: unknown): asserts value is number {
  const rounded = typeof value === "number" ? Math.fround(value) : Number.NaN;
  if (Number.isFinite(rounded) && (rounded !== 0 || value === 0)) return;
  throw invalidArgument(field, value, "a number that float32 can hold");
}

/** @throws NormropeError `invalid-argument`. */
export function requirePositive(field: string, value: number): void {
  if (!(Number.isFinite(value) && value > 0)) throw invalidArgument(field, value, "a positive number");
}

/** Messages cut longer texts short. */
const SHOWN_LENGTH = 200;

/** A value as a user would write it, short enough for one line. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    const shown = escaped(JSON.stringify(value.slice(0, SHOWN_LENGTH)));
    return value.length <= SHOWN_LENGTH ? shown : `${shown}… of ${value.length} characters`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name} of ${value.byteLength} bytes`;
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return `an object of type ${value.constructor?.name ?? "null"}`;
}

/** A path or a name; in quotes if it is empty or holds unprintable characters, such as line breaks. */
export function quoted(text: string): string {
  return text === "" || text !== escaped(text) ? escaped(JSON.stringify(text)) : text;
}

/** Escapes characters that are not printed, or that move the text around them. */
function escaped(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

/** The reason of a failure: the message of what was thrown. File errors come without the path. */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return show(cause);
  return escaped("syscall" in cause ? cause.message.replace(/, \w+ '[\s\S]*$/, "") : cause.message);
}
