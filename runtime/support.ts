/**
 * Whether a library holds the kernel for a point and, where it does not, why and what would add it.
 *
 * In: the manifest of a library and a point. Out: the answer, with the line for the config. Pure.
 */
import { describeRange, isInRange, rejectionOf } from "../generator/legality.js";
import { quoted, show } from "./errors.js";
import { type BuiltManifest, findKernel, type PointQuery } from "./manifest.js";

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

export function supportOf(path: string, manifest: BuiltManifest, query: PointQuery): Support {
  if (findKernel(manifest.kernels, query) >= 0) return { isSupported: true };
  return { isSupported: false, ...absenceOf(path, manifest, query) };
}

/** Of a point that the library at `path` holds no kernel for. */
export function absenceOf(path: string, { op }: BuiltManifest, query: PointQuery): Absence {
  const point = { ...query, rotaryDim: query.rotaryDim ?? query.headDim };
  const wanted = op.axes.map(({ name }) => `${name} ${spelled(point[name])}`).join(", ");
  const reason = `${quoted(path)} holds no kernel for ${wanted}`;
  const outside = op.axes.find((range) => !isInRange(op.axes, range, point[range.name]));
  if (outside !== undefined) {
    const { name } = outside;
    const fix = `None can be made: ${name} is ${show(point[name])}, and must be ${describeRange(op.axes, outside)}`;
    return { reason, fix };
  }
  const rejection = rejectionOf(point);
  if (rejection !== undefined) return { reason, fix: `None can be made: ${rejection.reason}` };
  const values = op.axes
    .filter(
      (range) =>
        range.kind === "enum" || range.default === undefined || point[range.name] !== point[range.default],
    )
    .map(({ name }) => `${name}: [${JSON.stringify(point[name])}]`);
  const configLine = `{ ${values.join(", ")} }`;
  const fix = `Add the entry ${configLine} to normrope.config.ts, making a list of it where it is one object, and run \`normrope build\``;
  return { reason, fix, configLine };
}

/** Names of a point's values are not in quotes where that is plain enough. */
function spelled(value: unknown): string {
  return typeof value === "string" && value === quoted(value) && value.length < 50 ? value : show(value);
}
