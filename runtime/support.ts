/**
 * Whether a library holds the kernel for a point and, if not, why and what would add it.
 *
 * In: the manifest of a library and a point. Out: the answer, with the line for the config. Pure.
 */
import type { Axis, ConfigPoint } from "../dsl/axes.js";
import { aliasOf, axisOutside, describeRange, type OpRules, rejectionOf } from "../dsl/legality.js";
import { findKernel, type ManifestKernel } from "../dsl/manifest.js";
import { written } from "../dsl/points.js";
import { invalidArgument, quoted, show } from "./errors.js";

/** Why there is no kernel for a point. */
export interface Absence {
  readonly reason: string;
  /** What the user can do about it. */
  readonly fix: string;
  /** The config entry that makes the kernel; undefined if no kernel can exist. */
  readonly configLine?: string | undefined;
}

/** Whether there is a kernel for a point and, if not, why. */
export type Support = { readonly isSupported: true } | ({ readonly isSupported: false } & Absence);

/**
 * Chooses an op of a library: the named one, or its only one.
 * @throws NormropeError `invalid-argument` if none is named and there are several.
 */
export function chooseOp<O extends { readonly name: string }>(
  path: string,
  ops: readonly O[],
  name: string | undefined,
): O | Absence {
  const names = ops.map((op) => op.name).join(", ");
  const [only, ...others] = ops;
  if (name === undefined && only !== undefined && others.length === 0) return only;
  if (name === undefined)
    throw invalidArgument("point.op", name, `one of ${names}: ${quoted(path)} holds several`);
  const op = ops.find((held) => held.name === name);
  return op ?? { reason: `${quoted(path)} holds no op ${show(name)}`, fix: `Its ops are ${names}` };
}

/** An op of a library, or of a config, and the kernels there. */
interface Held {
  readonly op: OpRules & { readonly name: string };
  readonly kernels: readonly Pick<ManifestKernel, "op" | "point">[];
  /** Whether there are other ops, so that messages must name this one. */
  readonly isOneOfSeveral?: boolean;
}

export function supportOf(path: string, held: Held, point: ConfigPoint): Support {
  if (findKernel(held.kernels, held.op, point) !== undefined) return { isSupported: true };
  return { isSupported: false, ...absenceOf(path, held, point) };
}

/** The config that commands read by default. */
export const DEFAULT_CONFIG = "normrope.config.ts";

/** The option that names a config, after a blank; empty for the default config. */
export function configOptionOf(config: string): string {
  return config === DEFAULT_CONFIG ? "" : ` --config ${quoted(config)}`;
}

/** Explains why the library or config at `path` holds no kernel for a point. `config` is the one to change. */
export function absenceOf(
  path: string,
  { op, kernels, isOneOfSeveral = false }: Held,
  point: ConfigPoint,
  config = DEFAULT_CONFIG,
): Absence {
  const { axes } = op;
  const values = new Map<string, unknown>(Object.entries(point));
  // A default says nothing, and there are many.
  const wanted = axes
    .filter(({ name, when }) => when === undefined || values.has(name))
    .filter((axis) => axis.default === undefined || values.get(axis.name) !== axis.default)
    .map(({ name }) => `${name} ${spelled(values.get(name))}`)
    .join(", ");
  const reason = `${quoted(path)} holds no kernel${isOneOfSeveral ? ` of ${op.name}` : ""} for ${wanted}`;
  const outside = axisOutside(axes, point);
  if (outside !== undefined) {
    const value = values.get(outside.name);
    const alias = aliasOf(outside, value);
    const meant = alias === undefined ? "" : `; did you mean ${JSON.stringify(alias)}?`;
    const fix = `None can be made: ${outside.name} is ${show(value)}, and must be ${describeRange(outside)}${meant}`;
    return { reason, fix };
  }
  const rejection = rejectionOf(op, point);
  if (rejection !== undefined) return { reason, fix: `None can be made: ${rejection.reason}` };
  const line = written(axes, point).map(([{ name }, value]) => `${name}: [${JSON.stringify(value)}]`);
  const configLine = `{ ${line.join(", ")} }`;
  const own = kernels.filter((kernel) => kernel.op === op.name).map((kernel) => kernel.point);
  const only = onlyAxisBetween(axes, own, point);
  const option = configOptionOf(config);
  const opOption = isOneOfSeveral ? ` --op ${op.name}` : "";
  const space = isOneOfSeveral ? `the space of ${op.name} in ` : "";
  const fix =
    only === undefined
      ? `Add the entry ${configLine} to ${space}${quoted(config)}, making a list of it where it is one object, and run \`normrope build${option}\``
      : `Run \`normrope add ${only} ${values.get(only)}${opOption}${option}\`, or add the entry ${configLine} to ${space}${quoted(config)}, and run \`normrope build${option}\``;
  return { reason, fix, configLine };
}

/** The only axis in which a point differs, as configs write it, from one that has a kernel; undefined if there are more. */
function onlyAxisBetween(
  axes: readonly Axis[],
  held: readonly ConfigPoint[],
  point: ConfigPoint,
): string | undefined {
  const valuesOf = (of: ConfigPoint) => new Map(written(axes, of).map(([{ name }, value]) => [name, value]));
  const wanted = valuesOf(point);
  for (const other of held.map(valuesOf)) {
    const differing = axes.filter(({ name }) => other.get(name) !== wanted.get(name));
    if (differing.length === 1) return differing[0]?.name;
  }
  return undefined;
}

/** Names of values are not quoted if they are plain. */
function spelled(value: unknown): string {
  return typeof value === "string" && value === quoted(value) && value.length < 50 ? value : show(value);
}
