/**
 * Whether a library holds the kernel for a point and, where it does not, why and what would add it.
 *
 * In: the manifest of a library and a point. Out: the answer, with the line for the config. Pure.
 */
import { aliasOf, describeRange, isInRange, rejectionOf } from "../generator/legality.js";
import { quoted, show } from "./errors.js";
import {
  type AxisRange,
  type ConfigPoint,
  findKernel,
  type ManifestKernel,
  type PointQuery,
} from "./manifest.js";

/** What a library, or a config, says of its kernels. */
interface Held {
  readonly op: { readonly axes: readonly AxisRange[] };
  readonly kernels: readonly ManifestKernel[];
}

/** Why there is no kernel for a point. */
export interface Absence {
  readonly reason: string;
  /** What to do. */
  readonly fix: string;
  /** The entry of a config that makes the kernel; not there where none can be made. */
  readonly configLine?: string | undefined;
}

/** Whether there is a kernel for a point and, where not, why. */
export type Support = { readonly isSupported: true } | ({ readonly isSupported: false } & Absence);

export function supportOf(path: string, manifest: Held, query: PointQuery): Support {
  if (findKernel(manifest.kernels, query) >= 0) return { isSupported: true };
  return { isSupported: false, ...absenceOf(path, manifest, query) };
}

/** The config that a command reads where it is given none. */
export const DEFAULT_CONFIG = "normrope.config.ts";

/** The option that names a config to a command, with a blank in front; empty for the one that it reads anyway. */
export function configOptionOf(config: string): string {
  return config === DEFAULT_CONFIG ? "" : ` --config ${quoted(config)}`;
}

/** Of a point that the library, or the config, at `path` holds no kernel for; `config` is the one to be changed. */
export function absenceOf(
  path: string,
  { op, kernels }: Held,
  query: PointQuery,
  config = DEFAULT_CONFIG,
): Absence {
  const point = { ...query, rotaryDim: query.rotaryDim ?? query.headDim };
  const wanted = op.axes.map(({ name }) => `${name} ${spelled(point[name])}`).join(", ");
  const reason = `${quoted(path)} holds no kernel for ${wanted}`;
  const outside = op.axes.find((range) => !isInRange(op.axes, range, point[range.name]));
  if (outside !== undefined) {
    const { name } = outside;
    const range = describeRange(op.axes, outside);
    const alias = aliasOf(outside, point[name]);
    const meant = alias === undefined ? "" : `; did you mean ${JSON.stringify(alias)}?`;
    const fix = `None can be made: ${name} is ${show(point[name])}, and must be ${range}${meant}`;
    return { reason, fix };
  }
  const rejection = rejectionOf(point);
  if (rejection !== undefined) return { reason, fix: `None can be made: ${rejection.reason}` };
  const values = op.axes
    .filter((range) => valueIn(point, range) !== undefined)
    .map(({ name }) => `${name}: [${JSON.stringify(point[name])}]`);
  const configLine = `{ ${values.join(", ")} }`;
  const axis = onlyAxisBetween(op.axes, kernels, point);
  const option = configOptionOf(config);
  const fix =
    axis === undefined
      ? `Add the entry ${configLine} to ${quoted(config)}, making a list of it where it is one object, and run \`normrope build${option}\``
      : `Run \`normrope add ${axis} ${point[axis]}${option}\`, or add the entry ${configLine} to ${quoted(config)}, and run \`normrope build${option}\``;
  return { reason, fix, configLine };
}

/** The value that an entry for a point writes; undefined where it leaves the axis at its default. */
function valueIn(point: ConfigPoint, range: AxisRange): string | number | undefined {
  const value = point[range.name];
  return range.kind === "integer" && range.default !== undefined && value === point[range.default]
    ? undefined
    : value;
}

/** The axis that a point differs in from one that there is a kernel for, where it is one axis only. */
function onlyAxisBetween(
  axes: readonly AxisRange[],
  kernels: Held["kernels"],
  point: ConfigPoint,
): keyof ConfigPoint | undefined {
  const differing = kernels.map((kernel) =>
    axes.filter((range) => valueIn(kernel.point, range) !== valueIn(point, range)),
  );
  return differing.find((ranges) => ranges.length === 1)?.[0]?.name;
}

/** Names of a point's values are not in quotes where that is plain enough. */
function spelled(value: unknown): string {
  return typeof value === "string" && value === quoted(value) && value.length < 50 ? value : show(value);
}
