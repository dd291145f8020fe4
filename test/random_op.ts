/**
 * Random ops and points of them, for fast-check.
 *
 * Out: arbitraries, made from what stages and axes declare: every stage, on every side, in every order that is legal, with its
 * axes fixed and open.
 */
import * as fc from "fast-check";
import { AXES, type ConfigPoint, STAGES } from "../dsl/axes.js";
import type { Axis, AxisValue } from "../dsl/axis.js";
import { SIDES } from "../dsl/inputs.js";
import { rejectionOf, stageRejection } from "../dsl/legality.js";
import { hasMeaning, type Values } from "../dsl/points.js";
import { expressionOf, OUT, openAxes, type SideStages, type StageCall, sidesOf } from "../dsl/sides.js";

export interface RandomKernel {
  readonly stages: SideStages;
  /** A value for each axis of the op. */
  readonly point: ConfigPoint;
}

/** Small heads and heads that models have more often than the range up to 1024 would give them. */
const anyHeadDim = fc
  .oneof(fc.constantFrom(8, 10, 12, 14, 16, 24, 32), fc.integer({ min: 2, max: 128 }))
  .map((n) => 8 * Math.max(2, n));

/** A value of an axis, where the one that it lies within has a value. */
function anyValue(axis: Axis, bound: number): fc.Arbitrary<AxisValue> {
  if (axis.kind === "enum") return fc.constantFrom(...axis.values);
  const most = Math.floor(Math.min(axis.max, bound) / axis.step);
  const least = Math.ceil(axis.min / axis.step);
  const parts = [0.25, 0.5, 0.75, 1].map((part) => Math.max(least, Math.round(most * part)));
  const steps = fc.oneof(fc.constantFrom(...parts), fc.integer({ min: least, max: most }));
  return steps.map((n) => n * axis.step);
}

/** The stages that users write. */
const WORDS = [...STAGES.values()].filter(({ name }) => name !== OUT.name);

/** Now and then the axes of a stage are fixed: each with a value that any head has room for. */
const anyCall: fc.Arbitrary<StageCall> = fc.constantFrom(...WORDS).chain(({ name, axes }) => {
  const own = AXES.filter((axis) => axis.name in axes);
  const fixed = Object.fromEntries(
    own.map((axis) => [axis.name, fc.option(anyValue(axis, 16), { nil: undefined, freq: 4 })]),
  );
  return fc.record(fixed).map((given) => ({
    name,
    args: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  }));
}) as fc.Arbitrary<StageCall>;

const anySide = fc.oneof(fc.constant(undefined), fc.array(anyCall, { minLength: 1, maxLength: 3 }));

/** Often what most models do, and then a cache. */
const anyStages: fc.Arbitrary<SideStages> = fc.oneof(
  fc.constant<SideStages>(usual()),
  fc.constant<SideStages>(usualCache()),
  fc
    .record(Object.fromEntries(SIDES.map((side) => [side, anySide])))
    .filter((stages: SideStages) => stageRejection(stages) === undefined),
  anySide
    .map((calls): SideStages => ({ q: calls, k: calls, v: calls }))
    .filter((stages) => stageRejection(stages) === undefined),
);

function usual(): SideStages {
  const calls = ["norm", "rotate"].map((name) => ({ name, args: {} }));
  return { q: calls, k: calls };
}

function usualCache(): SideStages {
  const { q = [] } = usual();
  const cache = { name: "cache", args: {} };
  return { q, k: [...q, cache], v: [{ name: "value", args: {} }, cache] };
}

export const randomKernel: fc.Arbitrary<RandomKernel> = fc
  .tuple(anyStages, anyHeadDim)
  .chain(([stages, headDim]) => {
    const values = openAxes(stages).map((axis) => [
      axis.name,
      axis.name === "headDim" ? fc.constant(headDim) : anyValue(axis, headDim),
    ]);
    return fc
      .record(Object.fromEntries(values) as Record<string, fc.Arbitrary<AxisValue>>)
      .map((point) => ({ stages, point: ofItsStages(stages, point) }));
  })
  // Behind the stages too: the arguments of some allow no point.
  .filter(({ stages, point }) => rejectionOf({ axes: openAxes(stages), stages }, point) === undefined);

/** The point without the axes that do not apply. */
function ofItsStages(stages: SideStages, values: Values): ConfigPoint {
  let point: Values = {};
  for (const axis of openAxes(stages))
    if (hasMeaning(axis, point)) point = { ...point, [axis.name]: values[axis.name] };
  return point as ConfigPoint;
}

/** A config with a space for each kernel; its op is called `op_` and its number. */
export function configOf(kernels: readonly RandomKernel[]): string {
  const spaces = kernels.map(({ stages, point }, i) => {
    const sides = sidesOf(stages).map((side) => `${side}: (x) => ${expressionOf(stages[side] ?? [])}`);
    return `defineSpace(defineOp({ name: "op_${i}", ${sides.join(", ")} }), ${JSON.stringify(point)} as const)`;
  });
  const names = ["defineOp", "defineSpace", ...WORDS.map(({ name }) => name)];
  return `import { ${names.join(", ")} } from "normrope/dsl";\nexport default [\n${spaces.join(",\n")},\n];\n`;
}
