/**
 * Space → config points.
 *
 * In: the op and the space as written. Out: every wanted point in one canonical order, the combinations that a rule
 * forbids, and diagnostics for what the user must mend. Pure: no file, clock or environment.
 */
import { didYouMean } from "./closest.js";
import { compareText, type Diagnostic, show } from "./diagnostics.js";
import type { AxisRange, AxisValue, ConfigPoint, Entry, EntryAxis, Op, RejectedPoint, Space } from "./ir.js";
import { describeRange, isInRange, rejectionOf } from "./legality.js";
import { kernelId, opId } from "./name.js";

export interface Expansion {
  readonly points: readonly ConfigPoint[];
  readonly rejections: readonly RejectedPoint[];
  readonly diagnostics: readonly Diagnostic[];
}

export function expand(op: Op, space: Space): Expansion {
  const diagnostics: Diagnostic[] = [];
  const points = new Map<string, { point: ConfigPoint; entry: Entry }>();
  const rejections = new Map<string, RejectedPoint>();

  if (space.entries.length === 0) {
    diagnostics.push({
      code: "empty-space",
      message: "the space has no entry, so no kernel would be made",
      fix: "list at least one value for each axis",
      span: space.span,
    });
  }
  const named = opId(op);
  for (const entry of space.entries) {
    const axes = readEntry(op, entry, diagnostics);
    if (axes === undefined) continue;
    const combinations = product(op.axes, axes);
    const rejected: RejectedPoint[] = [];
    for (const point of combinations) {
      const id = kernelId(named, point);
      const rejection = rejectionOf(point);
      if (rejection !== undefined) {
        rejected.push({ ...rejection, point });
        rejections.set(id, { ...rejection, point });
        continue;
      }
      const earlier = points.get(id);
      if (earlier === undefined) points.set(id, { point, entry });
      else if (earlier.entry !== entry) diagnostics.push(duplicatePoint(id, earlier.entry, entry));
    }
    if (entry.complete && combinations.length > 0 && rejected.length === combinations.length) {
      diagnostics.push({
        code: "entry-without-kernel",
        message: `the rules forbid all ${rejected.length} points of this entry: ${rejected[0]?.reason}`,
        fix: `change the values so that the rule ${rejected[0]?.rule} allows one, or remove the entry`,
        span: entry.span,
      });
    }
  }
  return {
    points: [...points.values()].map(({ point }) => point).sort(canonicalOrder),
    rejections: [...rejections.values()].sort((a, b) => canonicalOrder(a.point, b.point)),
    diagnostics,
  };
}

/** The values of each axis that can be used, or undefined where there is no telling what the entry means. */
function readEntry(op: Op, entry: Entry, diagnostics: Diagnostic[]): Map<string, AxisValue[]> | undefined {
  const usable = new Map<string, AxisValue[]>();
  for (const range of op.axes) {
    const axis = entry.axes.find(({ name }) => name === range.name);
    if (axis === undefined) {
      if (range.kind === "integer" && range.default !== undefined) continue;
      if (entry.complete) diagnostics.push(missingAxis(range, entry));
      return undefined;
    }
    const values = readAxis(op, range, axis, entry.complete, diagnostics);
    if (values.length === 0) return undefined;
    usable.set(range.name, values);
  }
  return usable;
}

function readAxis(
  op: Op,
  range: AxisRange,
  axis: EntryAxis,
  complete: boolean,
  diagnostics: Diagnostic[],
): AxisValue[] {
  if (axis.values.length === 0 && complete) {
    diagnostics.push({
      code: "empty-axis",
      message: `${axis.name} lists no value, so the entry makes no kernel`,
      fix: `write at least one: ${describeRange(op.axes, range)}`,
      span: axis.span,
    });
  }
  const seen: AxisValue[] = [];
  for (const { value, span } of axis.values) {
    if (seen.includes(value)) {
      diagnostics.push({
        code: "duplicate-value",
        message: `${axis.name} lists ${show(value)} twice`,
        fix: "remove one of the two",
        span,
      });
    } else if (isInRange(op.axes, range, value)) {
      seen.push(value);
    } else {
      diagnostics.push({
        code: "value-not-in-axis",
        message: `${show(value)} is no value of ${axis.name}`,
        fix: `${axis.name} is ${describeRange(op.axes, range)}${didYouMean(range, value)}`,
        span,
      });
    }
  }
  return seen;
}

function product(ranges: readonly AxisRange[], axes: ReadonlyMap<string, AxisValue[]>): ConfigPoint[] {
  let partial: Record<string, AxisValue>[] = [{}];
  for (const range of ranges) {
    partial = partial.flatMap((point) => {
      const values =
        axes.get(range.name) ?? (range.kind === "integer" ? [point[range.default ?? ""] ?? 0] : []);
      return values.map((value) => ({ ...point, [range.name]: value }));
    });
  }
  // `load` accepts only ops with exactly these axes, each a subset of what a config point may hold.
  return partial as unknown as ConfigPoint[];
}

function missingAxis(range: AxisRange, entry: Entry): Diagnostic {
  return {
    code: "missing-axis",
    message: `the entry leaves out ${range.name}, which has no default`,
    fix: `add \`${range.name}: […]\``,
    span: entry.span,
  };
}

function duplicatePoint(id: string, earlier: Entry, later: Entry): Diagnostic {
  return {
    code: "duplicate-point",
    message: `${id} is already asked for by the entry at line ${earlier.span.line}`,
    fix: "take the point out of one of the two entries",
    span: later.span,
  };
}

/** One order for every way to write a space, so that the emitted text does not depend on it. */
function canonicalOrder(a: ConfigPoint, b: ConfigPoint): number {
  return (
    compareText(a.dtype, b.dtype) ||
    a.headDim - b.headDim ||
    a.rotaryDim - b.rotaryDim ||
    compareText(a.rope, b.rope)
  );
}
