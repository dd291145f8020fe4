/** "Did you mean": the candidate nearest to what was written, or undefined where none is near. Pure. */
import { distance } from "fastest-levenshtein";
import { aliasOf } from "../../dsl/legality.js";
import type { Axis } from "../ir.js";

/** A longer word is no slip of the hand, and takes its time to compare. */
const WORD_LENGTH_MAX = 200;

export function closest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > WORD_LENGTH_MAX) return undefined;
  const near = candidates
    .map((candidate) => ({ candidate, edits: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)[0];
  if (near === undefined || near.edits > Math.max(2, word.length / 3)) return undefined;
  // Half of a short word is not a slip, either.
  return near.edits <= Math.max(word.length, near.candidate.length) / 2 ? near.candidate : undefined;
}

/** The question behind the range of an axis, for a name that it has not; empty where no name is near. */
export function didYouMean(axis: Axis, value: unknown): string {
  if (axis.kind === "integer") return "";
  const near = aliasOf(axis, value) ?? closest(String(value), axis.values);
  return near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
}
