/** "Did you mean": the candidate nearest to what was written, or undefined where none is near. Pure. */
import { distance } from "fastest-levenshtein";

export function closest(word: string, candidates: readonly string[]): string | undefined {
  const near = candidates
    .map((candidate) => ({ candidate, edits: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)[0];
  return near !== undefined && near.edits <= Math.max(2, word.length / 3) ? near.candidate : undefined;
}
