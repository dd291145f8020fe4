/**
 * Kernel ids: file name, C symbol, manifest key and test name in one.
 *
 * In: an op's name and a point. Out: an id, and back. Injective: `parseKernelId(kernelId(op, p))` is `{op, p}`.
 * An axis that is added later must not be spelled at its default, so that ids stay as they are.
 */
import { configPointSchema } from "../runtime/manifest.js";
import type { ConfigPoint } from "./ir.js";

/** What an op may be called: no doubled underscore, which separates the name from the point. */
export const OP_NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;

const POINT = /^(?<dtype>[a-z0-9]+)_d(?<headDim>\d+)_r(?<rotaryDim>\d+)_(?<rope>[a-z]+)$/;

export function kernelId(op: string, { dtype, headDim, rotaryDim, rope }: ConfigPoint): string {
  return `${op}__${dtype}_d${headDim}_r${rotaryDim}_${rope}`;
}

/** The op and the point that an id names, or undefined where it is no kernel id. */
export function parseKernelId(id: string): { op: string; point: ConfigPoint } | undefined {
  const [op, spelled, ...rest] = id.split("__");
  const groups = spelled === undefined ? undefined : POINT.exec(spelled)?.groups;
  if (op === undefined || groups === undefined || rest.length > 0 || !OP_NAME.test(op)) return undefined;
  const point = configPointSchema.safeParse({
    ...groups,
    headDim: Number(groups.headDim),
    rotaryDim: Number(groups.rotaryDim),
  });
  return point.success && kernelId(op, point.data) === id ? { op, point: point.data } : undefined;
}
