/** "Did you mean": the candidate nearest to a word; undefined if none is near. Pure. */
import { distance } from "fastest-levenshtein";
import { aliasOf } from "../../dsl/legality.js";
import type { Axis } from "../ir.js";

/** A longer word is no typing error, and is slow to compare. */
const WORD_LENGTH_MAX = 200;

export function closest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > WORD_LENGTH_MAX) return undefined;
  const near = candidates
    .map((candidate) => ({ candidate, edits: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)[0];
  if (near === undefined || near.edits > Math.max(2, word.length / 3)) return undefined;
  // Half of a short word is no typing error either.
  return near.edits <= Math.max(word.length, near.candidate.length) / 2 ? near.candidate : undefined;
}

/** A question that follows the range of an axis, for an unknown name; empty if no name is near. */
export function didYouMean(axis: Axis, value: unknown): string {
  if (axis.kind === "integer") return "";
  const near = aliasOf(axis, value) ?? closest(String(value), axis.values);
  return near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
}
