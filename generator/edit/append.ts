/**
 * Edits a config in place: appends the points of a model to its space.
 *
 * In: the path of a config, and points. Out: the ids that are new and those that were there; the file is written once,
 * by a rename, after the edited text was read and expanded without an error, and not at all where every point is there.
 */
import type { SourceFile } from "ts-morph";
import { internalError } from "../diagnostics.js";
import type { AxisRange, ConfigPoint, Op } from "../ir.js";
import { describeRange, isInRange, rejectionOf } from "../legality.js";
import { readConfig } from "../load/index.js";
import { openConfig, parseConfig } from "../load/project.js";
import { kernelId, opId } from "../name.js";
import { type Compilation, planSpace } from "../pipeline.js";
import { appendEntry, listOf } from "./text.js";
import { writeAtOnce } from "./write.js";

/** A config with points appended, of which nothing is written yet. */
export interface Appended {
  /** Of kernels that the config had not. */
  readonly added: readonly string[];
  /** Of kernels that the config had already. */
  readonly present: readonly string[];
  /** As they were written into the config. */
  readonly entries: readonly string[];
  /** Writes the config, where there is something to add. */
  readonly write: () => void;
}

/** A config that points are to be appended to. */
export interface OpenConfig {
  /** The kernel of a point, named after the config's op. */
  readonly idOf: (point: ConfigPoint) => string;
  /** Why the op allows no kernel for a point; undefined where it allows one. */
  readonly problemOf: (point: ConfigPoint) => string | undefined;
  /** The axis of the config's op that a point lies outside of. */
  readonly axisOutside: (point: ConfigPoint) => string | undefined;
  readonly append: (points: readonly ConfigPoint[]) => Appended;
}

/** @throws UserError for whatever is wrong with the config. */
export function openForPoints(configPath: string): OpenConfig {
  const config = openConfig(configPath);
  const before = compileSource(config);
  return {
    idOf: (point) => kernelId(opId(before.op), point),
    problemOf: (point) => problemOf(before.op, point),
    axisOutside: (point) => rangeOutside(before.op, point)?.name,
    append: (points) => appendPoints(configPath, config, before, points),
  };
}

/** What a model's layers are: another op computes something else. */
const MODEL_STAGES = "rmsNorm, rotate";

/** Why an op allows no kernel for a point; undefined where it allows one. */
export function problemOf(op: Op, point: ConfigPoint): string | undefined {
  const stages = op.stages.map(({ name }) => name).join(", ");
  if (stages !== MODEL_STAGES)
    return `the config's op, ${op.name}, is ${stages}, and the model's is ${MODEL_STAGES}`;
  const range = rangeOutside(op, point);
  if (range === undefined) return rejectionOf(point)?.reason;
  return `${range.name} ${point[range.name]} is not ${describeRange(op.axes, range)}`;
}

function rangeOutside(op: Op, point: ConfigPoint): AxisRange | undefined {
  return op.axes.find((axis) => !isInRange(op.axes, axis, point[axis.name]));
}

function appendPoints(
  configPath: string,
  config: SourceFile,
  before: Compilation,
  points: readonly ConfigPoint[],
): Appended {
  const idOf = (point: ConfigPoint) => kernelId(opId(before.op), point);
  const old = new Set(before.plans.map(({ id }) => id));
  const wanted = new Map(points.map((point) => [idOf(point), point]));
  const missing = [...wanted].filter(([id]) => !old.has(id));
  const entries = entriesOf(
    before.op,
    missing.map(([, point]) => point),
  );
  const read = config.getFullText();
  let text = read;
  for (const entry of entries) text = appendEntry(parseConfig(configPath, text), entry);
  const added = missing.map(([id]) => id).sort();
  if (entries.length > 0) requireAdded(compileSource(parseConfig(configPath, text)), old, added);
  return {
    added,
    present: [...wanted.keys()].filter((id) => old.has(id)),
    entries,
    write: () => {
      if (entries.length > 0) writeAtOnce(configPath, read, text);
    },
  };
}

/** The fewest entries that are easy to read: heads that rotate whole share one, others have their own. */
function entriesOf(op: Op, points: readonly ConfigPoint[]): string[] {
  const rotaryAxis = op.axes.find(({ name }) => name === "rotaryDim");
  const hasDefault = rotaryAxis?.kind === "integer" && rotaryAxis.default === "headDim";
  const groups = new Map<string, { headDims: number[]; rest: string }>();
  for (const { headDim, rotaryDim, rope, dtype } of points) {
    const partial = hasDefault && rotaryDim === headDim ? "" : `rotaryDim: ${listOf([rotaryDim])}, `;
    const rest = `${partial}rope: ${listOf([rope])}, dtype: ${listOf([dtype])}`;
    const key = partial === "" ? rest : `${headDim} ${rest}`;
    const headDims = groups.get(key)?.headDims ?? [];
    groups.set(key, { rest, headDims: [...headDims, headDim].sort((a, b) => a - b) });
  }
  return [...groups.values()].map(({ headDims, rest }) => `{ headDim: ${listOf(headDims)}, ${rest} }`);
}

function requireAdded({ plans }: Compilation, old: ReadonlySet<string>, added: readonly string[]): void {
  const found = plans.map(({ id }) => id).filter((id) => !old.has(id));
  if (found.sort().join() === added.join() && plans.length === old.size + added.length) return;
  throw internalError("edit", `${added.join(", ")} were to be added, and ${found.join(", ")} were`);
}

function compileSource(config: SourceFile): Compilation {
  return planSpace(readConfig(config));
}
