/** "Did you mean": the candidate nearest to what was written, or undefined where none is near. Pure. */
import { distance } from "fastest-levenshtein";

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
