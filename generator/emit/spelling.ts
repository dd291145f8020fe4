/**
 * The spelling of types and literals in C++ and TypeScript.
 *
 * In: values of the plan. Out: source text. Pure.
 */
import { internalError } from "../diagnostics.js";

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

/** The C++ type of a vector of e4m3. */
export const byteVectorType = (elements: number): string => `uint${8 * elements}_t`;

/** The C++ type of a vector of float32. */
export const floatVectorType = (elements: number): string => (elements === 1 ? "float" : `float${elements}`);

/** Text for a raw string literal with the delimiter `json`. */
export function rawString(text: string): string {
  if (text.includes(')json"')) throw internalError("spelling", "the text would end its raw string literal");
  return text;
}

/** The widths of a declaration and of its comment on one line. */
const DECLARATION_WIDTH = 32;
const COMMENT_WIDTH = 82;

/** A C declaration with its comment, on as many lines as needed. */
export function commented(declaration: string, text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < COMMENT_WIDTH)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line, i) => {
    const code = (i === 0 ? declaration : "").padEnd(DECLARATION_WIDTH);
    return `${code}${i === 0 ? "/* " : " * "}${line}${i === lines.length - 1 ? " */" : ""}`;
  });
}
