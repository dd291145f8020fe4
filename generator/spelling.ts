/**
 * How values are written in C++ and TypeScript: the only place that spells their types and literals.
 *
 * In: values of the plan. Out: source text. Pure.
 */
import { internalError } from "./diagnostics.js";

const VECTOR_TYPES = new Map([
  [1, "uint16_t"],
  [2, "uint32_t"],
  [4, "uint2"],
]);

/** The C++ type of a vector of sixteen-bit elements. */
export function vectorType(elements: number): string {
  const type = VECTOR_TYPES.get(elements);
  if (type === undefined) throw internalError("spelling", `no type holds ${elements} elements of 16 bits`);
  return type;
}

/** Text for a raw string literal with the delimiter `json`. */
export function rawString(text: string): string {
  if (text.includes(')json"')) throw internalError("spelling", "the text would end its raw string literal");
  return text;
}

/** A float32 literal. */
export function floatLiteral(value: number): string {
  const digits = String(Math.fround(value));
  return `${/[.e]/.test(digits) ? digits : `${digits}.0`}f`;
}
