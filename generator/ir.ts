/**
 * The types that flow between the stages of the compiler.
 *
 * They are readonly, flat and JSON-printable. The comment of each names the stage that makes it.
 * Types that the manifest shares are in `dsl/`.
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
  /** The file of the op, as headers of emitted files name it. */
  readonly source: string;
  /** The op's axes, in the order of the table. */
  readonly axes: readonly Axis[];
  /** The stages of each side that has any. */
  readonly stages: SideStages;
}

/** A value and its place in a file. */
export interface Located<T> {
  readonly value: T;
  readonly span: Span;
}

/** The values of one axis in an entry. */
export interface EntryAxis {
  readonly name: string;
  readonly values: readonly Located<AxisValue>[];
  readonly span: Span;
}

/** One product of axis values, as written. Made by `load`. */
export interface Entry {
  readonly axes: readonly EntryAxis[];
  readonly span: Span;
  /** False if a part could not be read. Then errors that may follow from that part are not reported. */
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
  /** The id that the kernel would have. */
  readonly id: string;
  readonly op: string;
  readonly point: ConfigPoint;
}

/** A stage at a point, as the templates see it. Made by `plan`. */
export interface PlannedStage {
  readonly name: string;
  /** The value of each of its axes; empty if the axis does not apply. */
  readonly values: Readonly<Record<string, AxisValue>>;
  /** Whether it reads each of its inputs. */
  readonly reads: Readonly<Record<string, boolean>>;
  /** The file of each part of its templates that depends on the values. */
  readonly parts: Readonly<Record<string, string>>;
  /** The numbers that it measures of the head before it changes it. */
  readonly measures: number;
  /** Whether it leaves a head in the kernel's dtype, rounded where a model's code rounds. */
  readonly roundsAsModel: boolean;
  /** Whether it writes the head and leaves it as it is. */
  readonly isSink: boolean;
}

/** The stages of sides with equal stage lists. Made by `plan`. */
export interface PlannedBody {
  readonly sides: readonly Side[];
  /** Sides and stages in words; the stages alone, as a user writes them. */
  readonly text: string;
  readonly expression: string;
  /** In the order of application; the sinks come last. */
  readonly stages: readonly PlannedStage[];
}

/** How the fragments of a head lie over lanes. Made by `plan`. */
export interface Layout {
  /** A power of two in the latency layout. */
  readonly lanesPerHead: number;
  readonly fragmentsPerLane: number;
  readonly headsPerWarp: number;
  /** The minimum of blocks on a multiprocessor, if ptxas must be told. */
  readonly minBlocks: number | undefined;
}

/** Everything that decides the bits of a kernel's result, and the layouts, which do not. Made by `plan`. */
export interface KernelPlan extends Readonly<ManifestKernel>, Layout {
  readonly bodies: readonly PlannedBody[];
  /** The sides of the bodies, in the order of the kernel. */
  readonly sides: readonly Side[];
  /** The layout of large batches, whose heads are copied to shared memory before anything is used. */
  readonly throughput: Layout;
  /** Whether each side has code of its own, with nothing indexed: where the sides differ by a cache. */
  readonly isBySide: boolean;
  /** Pairs that rotate. */
  readonly rotaryPairs: number;
  /** Pairs of a lane with neighbouring angles, which are loaded at once. */
  readonly pairsAtOnce: 1 | 2 | 4;
}

/** One emitted file: its path below generated/ and its text. Made by `render`. */
export interface EmittedFile {
  readonly path: string;
  readonly text: string;
}

/** The emitted files, sorted by path. */
export type FileSet = readonly EmittedFile[];
