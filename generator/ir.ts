/**
 * The types that flow between the stages of the compiler.
 *
 * Readonly, flat and JSON-printable; each is made in one place, which its comment names.
 * The op's axes are of `dsl/axes.ts`; its stages are part of the manifest too, so their types live there.
 */
import type { Axis, AxisValue, ConfigPoint } from "../dsl/axes.js";
import type { Side } from "../dsl/inputs.js";
import type { Rejection } from "../dsl/legality.js";
import type { ManifestKernel } from "../dsl/manifest.js";
import type { SideStages } from "../dsl/sides.js";
import type { Span } from "./diagnostics.js";

export type { Axis, AxisValue, ConfigPoint };

/** Made by `load`. */
export interface Op {
  readonly name: string;
  /** Where the op is written, as headers of emitted files name it. */
  readonly source: string;
  /** In the order of the table. */
  readonly axes: readonly Axis[];
  /** Of each side that has any. */
  readonly stages: SideStages;
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

/** A stage at a point, as the templates see it. Made by `plan`. */
export interface PlannedStage {
  readonly name: string;
  /** The value on each of its axes; empty where the axis means nothing. */
  readonly values: Readonly<Record<string, AxisValue>>;
  /** Each of the inputs that it may read, and whether it does. */
  readonly reads: Readonly<Record<string, boolean>>;
  /** Whether it measures the head before it changes it. */
  readonly measures: boolean;
}

/** What is done to the heads of sides with equal stage lists. Made by `plan`. */
export interface PlannedBody {
  readonly sides: readonly Side[];
  /** Sides and stages in words, and the stages alone, as a user writes them. */
  readonly text: string;
  readonly expression: string;
  /** In the order of application; the last one stores the result. */
  readonly stages: readonly PlannedStage[];
}

/** How the fragments of a head lie over lanes. Made by `plan`. */
export interface Layout {
  /** A power of two. */
  readonly lanesPerHead: number;
  readonly fragmentsPerLane: number;
  readonly headsPerWarp: number;
  /** Blocks that must fit a multiprocessor at once, where that is to be said to ptxas. */
  readonly minBlocks: number | undefined;
}

/** Everything that decides the bits of a kernel's result, and the layouts, which do not. Made by `plan`. */
export interface KernelPlan extends Readonly<ManifestKernel>, Layout {
  readonly bodies: readonly PlannedBody[];
  /** Those of the bodies, in the order in which a kernel works on them. */
  readonly sides: readonly Side[];
  /** For many tokens, where fewer lanes are without work so. It adds in the same order: bits do not depend on it. */
  readonly throughput: Layout | undefined;
  /** Pairs that rotate. */
  readonly rotaryPairs: number;
  /** Entries of the RoPE table that are read at once. */
  readonly turnsAtOnce: 1 | 2;
}

/** One emitted file: its path below generated/ and its text. Made by `render`. */
export interface EmittedFile {
  readonly path: string;
  readonly text: string;
}

/** The emitted files, sorted by path. */
export type FileSet = readonly EmittedFile[];
