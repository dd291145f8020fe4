/**
 * Edits a config in place: appends the points of a model to its space.
 *
 * In: the path of a config, and points. Out: the ids that are new and those that were there; the file is written once,
 * by a rename, after the edited text was read and expanded without an error, and not at all where every point is there.
 */
import type { SourceFile } from "ts-morph";
import { axisOutside, describeRange, rejectionOf } from "../../dsl/legality.js";
import { valueOn, written } from "../../dsl/points.js";
import { sideTexts } from "../../dsl/sides.js";
import { internalError } from "../diagnostics.js";
import type { AxisValue, ConfigPoint, Op, Space } from "../ir.js";
import { kernelId } from "../kernel_id.js";
import { readConfig, spaceCalls } from "../load/index.js";
import { openConfig, parseConfig } from "../load/project.js";
import { readShippedOp } from "../op_file.js";
import { type Compilation, planSpaces } from "../pipeline.js";
import { opNeeded, spaceNamed } from "./spaces.js";
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

/**
 * @param points that may be appended: they tell which space is meant
 * @param opName whose space is meant, where several can be
 * @throws UserError `op-needed`, `bad-option`, and whatever is wrong with the config.
 */
export function openForPoints(
  configPath: string,
  points: readonly ConfigPoint[] = [],
  opName?: string,
): OpenConfig {
  const config = openConfig(configPath);
  const loaded = readConfig(config);
  const before = planSpaces(loaded);
  const space = chooseSpace(configPath, loaded.spaces, points, opName);
  const { op } = space;
  return {
    idOf: (point) => kernelId(op, point),
    problemOf: (point) => problemOf(op, point),
    axisOutside: (point) => axisOutside(op.axes, point)?.name,
    append: (points) =>
      appendPoints(configPath, config, before, { op, index: loaded.spaces.indexOf(space) }, points),
  };
}

const stagesOf = ({ stages }: Pick<Op, "stages">) => sideTexts(stages).join("; ");

/** The only space, or the only one whose op allows a kernel for some of the points. */
function chooseSpace(
  configPath: string,
  spaces: readonly Space[],
  points: readonly ConfigPoint[],
  opName: string | undefined,
): Space {
  if (opName !== undefined) return spaceNamed(configPath, spaces, opName);
  const possible = spaces.filter(({ op }) => points.some((point) => problemOf(op, point) === undefined));
  if (possible.length > 1) throw opNeeded(configPath, possible);
  const [space] = [...possible, ...spaces];
  if (space === undefined) throw internalError("edit", "the config has no space");
  return space;
}

/** Why an op allows no kernel for a point; undefined where it allows one. */
export function problemOf(op: Op, point: ConfigPoint): string | undefined {
  // A model's layers are what the op that ships is: another op computes something else.
  const [own, model] = [stagesOf(op), stagesOf(readShippedOp())];
  if (own !== model) return `the config's op, ${op.name}, is ${own}, and the model's is ${model}`;
  const outside = axisOutside(op.axes, point);
  if (outside === undefined) return rejectionOf(op, point)?.reason;
  return `${outside.name} ${valueOn(outside, point)} is not ${describeRange(outside)}`;
}

function appendPoints(
  configPath: string,
  config: SourceFile,
  before: Compilation,
  { op, index }: { readonly op: Op; readonly index: number },
  points: readonly ConfigPoint[],
): Appended {
  const old = new Set(before.plans.map(({ id }) => id));
  const wanted = new Map(points.map((point) => [kernelId(op, point), point]));
  const missing = [...wanted].filter(([id]) => !old.has(id));
  const entries = entriesOf(
    op,
    missing.map(([, point]) => point),
  );
  const read = config.getFullText();
  let text = read;
  for (const entry of entries) {
    const current = parseConfig(configPath, text);
    const space = spaceCalls(current, () => {})[index];
    if (space === undefined) throw internalError("edit", `the config has no space ${index}`);
    text = appendEntry(current, space, entry);
  }
  const added = missing.map(([id]) => id).sort();
  if (entries.length > 0) requireAdded(planSpaces(readConfig(parseConfig(configPath, text))), old, added);
  return {
    added,
    present: [...wanted.keys()].filter((id) => old.has(id)),
    entries,
    write: () => {
      if (entries.length > 0) writeAtOnce(configPath, read, text);
    },
  };
}

/**
 * The fewest entries that are easy to read: points that differ in an axis alone which others follow by default share one,
 * such as heads that rotate whole; other points have their own.
 */
function entriesOf({ axes }: Op, points: readonly ConfigPoint[]): string[] {
  const followed = axes.find(({ name }) => axes.some(({ follows }) => follows === name));
  const groups = new Map<string, Map<string, AxisValue[]>>();
  for (const point of points) {
    const values = written(axes, point);
    const isDefault = !values.some(([{ follows }]) => follows !== undefined);
    const key = values
      .filter(([axis]) => !(isDefault && axis === followed))
      .map(([{ name }, value]) => [name, value]);
    const group = groups.get(JSON.stringify(key)) ?? new Map<string, AxisValue[]>();
    for (const [{ name }, value] of values)
      group.set(name, [...new Set([...(group.get(name) ?? []), value])]);
    groups.set(JSON.stringify(key), group);
  }
  return [...groups.values()].map((group) => {
    const lists = [...group].map(
      ([name, values]) => `${name}: ${listOf(values.sort((a, b) => Number(a) - Number(b)))}`,
    );
    return `{ ${lists.join(", ")} }`;
  });
}

function requireAdded({ plans }: Compilation, old: ReadonlySet<string>, added: readonly string[]): void {
  const found = plans.map(({ id }) => id).filter((id) => !old.has(id));
  if (found.sort().join() === added.join() && plans.length === old.size + added.length) return;
  throw internalError("edit", `${added.join(", ")} were to be added, and ${found.join(", ")} were`);
}
