/** A small fault in one place of the sources, which some test must find. */

export interface Mutant {
  /** What would be wrong. */
  readonly name: string;
  /** The class of fault, as docs/trust.md lists it. */
  readonly fault: string;
  readonly file: string;
  /** A text that the file holds once. */
  readonly find: string;
  readonly replace: string;
  /** The test file that finds it. */
  readonly killedBy: string;
}

/** The same class for several mutants. */
export function inClass(fault: string, mutants: readonly Omit<Mutant, "fault">[]): Mutant[] {
  return mutants.map((mutant) => ({ fault, ...mutant }));
}
