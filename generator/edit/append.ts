/**
 * Edits a config in place: appends the points of a model to a space.
 *
 * In: the path of a config, and what a model's layers need. Out: their kernels, and which of them are new. The file is
 * written once, by a rename, after the edited text was read and expanded without an error. It is not written if it has every
 * point already.
 */
import type { SourceFile } from "ts-morph";
import { axisOutside } from "../../dsl/legality.js";
import { internalError } from "../diagnostics.js";
import type { ConfigPoint } from "../ir.js";
import { kernelId } from "../kernel_id.js";
import { readConfig, spaceCalls } from "../load/index.js";
import { openConfig, parseConfig } from "../load/project.js";
import { type Compilation, planSpaces } from "../pipeline.js";
import { opFor, pointOf, problemOf, type Wanted } from "./spaces.js";
import { appendEntry, entriesOf } from "./text.js";
import { writeAtOnce } from "./write.js";

/** The kernel of some layers, as a kernel of the config's op. */
export interface WantedKernel {
  readonly id: string;
  readonly point: ConfigPoint;
  /** Why the op does not allow it; undefined if it does. */
  readonly problem: string | undefined;
  /** The axis whose range the point is outside of. */
  readonly axisOutside: string | undefined;
}

/** A config with points appended. Nothing is written before `write`. */
export interface Appended {
  /** One for each of the wanted values, in their order. */
  readonly kernels: readonly WantedKernel[];
  /** The ids of kernels that the config lacked. */
  readonly added: readonly string[];
  /** The ids of kernels that the config had already. */
  readonly present: readonly string[];
  /** The new entries, as the config has them. */
  readonly entries: readonly string[];
  /** Writes the config, if there is something to add. */
  readonly write: () => void;
}

/**
 * @param opName the op whose space is meant, if several can take the kernels
 * @throws UserError as `opFor` does, and with every diagnostic of the config.
 */
export function appendPoints(configPath: string, wanted: Wanted, opName?: string): Appended {
  const config = openConfig(configPath);
  const loaded = readConfig(config);
  const before = planSpaces(loaded);
  const op = opFor(configPath, loaded.spaces, wanted, opName);
  const kernels = wanted.values.map((values): WantedKernel => {
    const point = pointOf(op, values);
    return {
      ...{ id: kernelId(op, point), point, problem: problemOf(op, wanted.op, values) },
      axisOutside: axisOutside(op.axes, point)?.name,
    };
  });
  const old = new Set(before.plans.map(({ id }) => id));
  const possible = kernels.filter(({ problem }) => problem === undefined);
  const asked = new Map(possible.map(({ id, point }) => [id, point]));
  const missing = [...asked].filter(([id]) => !old.has(id));
  const added = missing.map(([id]) => id).sort();
  const entries = entriesOf(
    op,
    missing.map(([, point]) => point),
  );
  const read = config.getFullText();
  const index = loaded.spaces.findIndex((space) => space.op === op);
  const after = withEntries(config, index, entries);
  if (entries.length > 0) requireAdded(planSpaces(readConfig(after)), old, added);
  const text = after.getFullText();
  return {
    ...{ kernels, added, entries },
    present: [...asked.keys()].filter((id) => old.has(id)),
    write: () => {
      if (entries.length > 0) writeAtOnce(configPath, read, text);
    },
  };
}

function withEntries(config: SourceFile, index: number, entries: readonly string[]): SourceFile {
  let current = config;
  for (const entry of entries) {
    const space = spaceCalls(current, () => {})[index];
    if (space === undefined) throw internalError("edit", `the config has no space ${index}`);
    current = parseConfig(current.getFilePath(), appendEntry(current, space, entry));
  }
  return current;
}

function requireAdded({ plans }: Compilation, old: ReadonlySet<string>, added: readonly string[]): void {
  const found = plans.map(({ id }) => id).filter((id) => !old.has(id));
  if (found.sort().join() === added.join() && plans.length === old.size + added.length) return;
  throw internalError("edit", `${added.join(", ")} were to be added, and ${found.join(", ")} were`);
}
