/**
 * Space → config points.
 *
 * In: the op and the space as written. Out: every wanted point in a canonical order, the combinations that a rule
 * forbids, and diagnostics. Pure.
 */
import { isInRange, type Range } from "../../dsl/axis.js";
import { describeRange, rejectionOf } from "../../dsl/legality.js";
import { comparePoints, defaultOf, hasMeaning, type Values } from "../../dsl/points.js";
import { type Diagnostic, show } from "../diagnostics.js";
import type { Axis, AxisValue, ConfigPoint, Entry, EntryAxis, RejectedPoint, Space } from "../ir.js";
import { kernelId } from "../kernel_id.js";
import { didYouMean } from "../load/closest.js";

export interface Expansion {
  readonly points: readonly ConfigPoint[];
  readonly rejections: readonly RejectedPoint[];
  readonly diagnostics: readonly Diagnostic[];
}

export function expand({ op, ...space }: Space): Expansion {
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
  for (const entry of space.entries) {
    const values = readEntry(op.axes, entry, diagnostics);
    if (values === undefined) continue;
    const { points: combinations, missing } = product(op.axes, values);
    if (missing !== undefined) {
      if (entry.complete) diagnostics.push(missingAxis(missing, entry));
      continue;
    }
    diagnostics.push(...meaningless(op.axes, entry, combinations));
    const rejected: RejectedPoint[] = [];
    for (const point of combinations) {
      const id = kernelId(op, point);
      const rejection = rejectionOf(op, point);
      if (rejection !== undefined) {
        const found = { ...rejection, id, op: op.name, point };
        rejected.push(found);
        rejections.set(id, found);
        continue;
      }
      const earlier = points.get(id);
      if (earlier === undefined) points.set(id, { point, entry });
      else if (earlier.entry !== entry) diagnostics.push(duplicatePoint(id, earlier.entry, entry));
    }
    if (entry.complete && combinations.length > 0 && rejected.length === combinations.length) {
      diagnostics.push({
        code: "entry-without-kernel",
        message: `the rules forbid ${rejected.length === 1 ? "the point" : `all ${rejected.length} points`} of this entry: ${rejected[0]?.reason}`,
        fix: `change the values so that the rule ${rejected[0]?.rule} allows one, or remove the entry`,
        span: entry.span,
      });
    }
  }
  const inOrder = comparePoints(op.axes);
  return {
    points: [...points.values()].map(({ point }) => point).sort(inOrder),
    rejections: [...rejections.values()].sort((a, b) => inOrder(a.point, b.point)),
    diagnostics,
  };
}

/** The usable values of each axis; undefined if the entry cannot be understood. */
function readEntry(
  axes: readonly Axis[],
  entry: Entry,
  diagnostics: Diagnostic[],
): Map<string, AxisValue[]> | undefined {
  const usable = new Map<string, AxisValue[]>();
  for (const axis of axes) {
    const written = entry.axes.find(({ name }) => name === axis.name);
    if (written === undefined) continue;
    const values = readAxis(axis, written, entry.complete, diagnostics);
    if (values.length === 0) return undefined;
    usable.set(axis.name, values);
  }
  return usable;
}

function readAxis(axis: Axis, written: EntryAxis, complete: boolean, diagnostics: Diagnostic[]): AxisValue[] {
  if (written.values.length === 0 && complete) {
    diagnostics.push({
      code: "empty-axis",
      message: `${axis.name} lists no value, so the entry makes no kernel`,
      fix: `write at least one: ${describeRange(axis)}`,
      span: written.span,
    });
  }
  const seen: AxisValue[] = [];
  for (const { value, span } of written.values) {
    if (seen.includes(value)) {
      diagnostics.push({
        code: "duplicate-value",
        message: `${axis.name} lists ${show(value)} twice`,
        fix: "remove one of the two",
        span,
      });
    } else if (isInRange(axis, value)) {
      seen.push(value);
    } else {
      diagnostics.push({
        code: "value-not-in-axis",
        message: `${show(value)} is no value of ${axis.name}`,
        fix: `${axis.name} is ${describeRange(axis)}${didYouMean(axis, value)}`,
        span,
      });
    }
  }
  return seen;
}

interface Product {
  readonly points: readonly ConfigPoint[];
  /** The first axis that is missing although it applies and has no usable default. */
  readonly missing?: { readonly axis: Axis; readonly byDefault: AxisValue | undefined } | undefined;
}

/** Every combination. An axis that does not apply is omitted. */
function product(axes: readonly Axis[], listed: ReadonlyMap<string, AxisValue[]>): Product {
  let partial: Values[] = [{}];
  for (const axis of axes) {
    const next: Values[] = [];
    for (const point of partial) {
      if (!hasMeaning(axis, point)) {
        next.push(point);
        continue;
      }
      const byDefault = defaultOf(axis, point);
      const values = listed.get(axis.name) ?? [byDefault];
      if (!values.every((value) => isInRange(axis, value)))
        return { points: [], missing: { axis, byDefault } };
      next.push(...values.map((value) => ({ ...point, [axis.name]: value })));
    }
    partial = next;
  }
  return { points: partial as ConfigPoint[] };
}

/** Axes that an entry lists although they apply at none of its points. */
function meaningless(axes: readonly Axis[], entry: Entry, points: readonly Values[]): Diagnostic[] {
  return entry.axes.flatMap(({ name, span }): Diagnostic[] => {
    const axis = axes.find((candidate) => candidate.name === name);
    if (axis?.when === undefined || points.some((point) => hasMeaning(axis, point))) return [];
    const where = Object.entries(axis.when).map(([other, range]) => `${other} is ${rangeWords(range)}`);
    return [
      {
        code: "axis-without-meaning",
        message: `${name} means nothing at any point of this entry`,
        fix: `leave it out: it means something where ${where.join(" and ")}`,
        span,
      },
    ];
  });
}

const rangeWords = (range: Range) =>
  range.kind === "enum" ? range.values.join(" or ") : `from ${range.min} to ${range.max}`;

function missingAxis({ axis, byDefault }: NonNullable<Product["missing"]>, entry: Entry): Diagnostic {
  const { name } = axis;
  const why =
    byDefault === undefined
      ? "which has no default"
      : `whose default, ${byDefault}, is outside the op's range`;
  return {
    code: "missing-axis",
    message: `the entry leaves out ${name}, ${why}`,
    fix: `add \`${name}: […]\`: ${describeRange(axis)}`,
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
