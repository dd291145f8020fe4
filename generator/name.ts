/**
 * Kernel ids: file name, C symbol, manifest key and test name in one.
 *
 * In: an op and a point. Out: an id that names the mathematics, and back. Injective: `parseKernelId(kernelId(op, p))` is
 * `{op, p}`. An axis that is added later must not be spelled at its default, so that ids stay as they are.
 */
import { createHash } from "node:crypto";
import { configPointSchema } from "../runtime/manifest.js";
import { compareText } from "./diagnostics.js";
import type { ConfigPoint, Op } from "./ir.js";
import { readShippedOp } from "./op_file.js";

/** What an op may be called: no doubled underscore, which separates the name from the point. */
export const OP_NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;

const POINT = /^(?<dtype>[a-z0-9]+)_d(?<headDim>\d+)_r(?<rotaryDim>\d+)_(?<rope>[a-z]+)$/;

type Mathematics = Pick<Op, "name" | "stages">;

/**
 * The first part of the ids of an op's kernels: its name and, where it is no op that ships, a digest of its stages. So two
 * kernels with one id compute the same, whoever named them.
 */
export function opId(op: Mathematics): string {
  const [own, shipped] = [digestOf(op), readShippedOp()];
  return op.name === shipped.name && own === digestOf(shipped) ? op.name : `${op.name}_${own}`;
}

/** Eight hexadecimal digits; the order in which a stage's arguments are written is of no matter. */
function digestOf({ stages }: Mathematics): string {
  const list = stages.map(({ name, args }) => [
    name,
    Object.entries(args).sort(([a], [b]) => compareText(a, b)),
  ]);
  return createHash("sha256").update(JSON.stringify(list)).digest("hex").slice(0, 8);
}

/** @param op as `opId` gives it */
export function kernelId(op: string, { dtype, headDim, rotaryDim, rope }: ConfigPoint): string {
  return `${op}__${dtype}_d${headDim}_r${rotaryDim}_${rope}`;
}

/** The op, as `opId` gives it, and the point that an id names, or undefined where it is no kernel id. */
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
