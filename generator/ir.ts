/**
 * The types that flow between the stages of the compiler.
 *
 * Readonly, flat and JSON-printable; each is made in one place, which its comment names.
 * The op's axes are of `dsl/axes.ts`; its stages are part of the manifest too, so their types live there.
 */
import type { Axis, AxisValue, ConfigPoint } from "../dsl/axes.js";
import type { Rejection } from "../dsl/legality.js";
import type { ManifestKernel, Stage } from "../runtime/manifest.js";
import type { Span } from "./diagnostics.js";

export type { Axis, AxisValue, ConfigPoint, Stage };

/** Made by `load`. */
export interface Op {
  readonly name: string;
  /** Where the op is written, as headers of emitted files name it. */
  readonly source: string;
  /** In the order of the table. */
  readonly axes: readonly Axis[];
  readonly stages: readonly Stage[];
}

/** A value and where it is written. */
export interface Located<T> {
  readonly value: T;
  readonly span: Span;
}

/** What an entry says of one axis. */
export interface EntryAxis {
  readonly name: string;
  readonly values: readonly Located<AxisValue>[];
  readonly span: Span;
}

/** One product of axis values, as written. Made by `load`. */
export interface Entry {
  readonly axes: readonly EntryAxis[];
  readonly span: Span;
  /** False where a part of it could not be read: what follows from the missing part is not reported. */
  readonly complete: boolean;
}

/** Made by `load`. */
export interface Space {
  readonly op: Op;
  readonly entries: readonly Entry[];
  readonly span: Span;
}

/** A combination that a rule forbids: not an error, and listed. Made by `expand`. */
export interface RejectedPoint extends Rejection {
  /** Of the kernel that it would be. */
  readonly id: string;
  readonly op: string;
  readonly point: ConfigPoint;
}

/** A stage as the templates see it: its axes and inputs are the kernel's own. Made by `plan`. */
export interface PlannedStage {
  readonly name: string;
  /** The arguments that the op gives as constants. */
  readonly constants: Readonly<Record<string, number>>;
}

/** How the slots of a head lie over lanes. Made by `plan`. */
export interface Layout {
  /** A power of two. */
  readonly lanesPerHead: number;
  readonly slotsPerLane: number;
  readonly headsPerWarp: number;
  /** Blocks that must fit a multiprocessor at once, where that is to be said to ptxas. */
  readonly minBlocks: number | undefined;
}

/** Everything that decides the bits of a kernel's result, and the layouts, which do not. Made by `plan`. */
export interface KernelPlan extends Readonly<ManifestKernel>, Layout {
  readonly stages: readonly PlannedStage[];
  /** For many tokens, where fewer lanes are without work so. It adds in the same order: bits do not depend on it. */
  readonly wide: Layout | undefined;
  /** What the squares of a head are added up over, in every layout: slots, and zeros up to a power of two. */
  readonly places: number;
  /** Pairs of a head that rotate. */
  readonly rotaryPairs: number;
  /** Where the second vector of a rotated slot and of a pass-through slot starts, for slot 0. */
  readonly secondVectorRotated: number;
  readonly secondVectorPassThrough: number;
}

/** One emitted file: its path below generated/ and its text. Made by `render`. */
export interface EmittedFile {
  readonly path: string;
  readonly text: string;
}

/** The emitted files, sorted by path. */
export type FileSet = readonly EmittedFile[];
