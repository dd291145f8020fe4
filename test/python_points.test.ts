/**
 * Python and TypeScript agree about points: which can be and why others cannot, what their kernels take, and their ids. Both
 * read the stages' rules from one table.
 */
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import type { Axis, AxisValue, ConfigPoint } from "../dsl/axes.js";
import { axisOutside, rejectionOf } from "../dsl/legality.js";
import { completed } from "../dsl/points.js";
import {
  copiedSides,
  kernelInputs,
  openAxes,
  pairingOf,
  positionAxesOf,
  type SideStages,
  stagesAt,
} from "../dsl/sides.js";
import { kernelId } from "../generator/kernel_id.js";
import { readShippedOp } from "../generator/op_file.js";
import { NormropeError } from "../runtime/errors.js";
import { type PairAxesOptions, pairAxes } from "../runtime/pair_axes.js";
import { absenceOf } from "../runtime/support.js";
import { PYTHON_FOLDER, python, pythonEnvironment } from "./python.js";

async function ask<Answer>(questions: readonly unknown[]): Promise<Answer[]> {
  const { stdout } = await execa(python?.path ?? "", [join(PYTHON_FOLDER, "tests", "points.py")], {
    input: JSON.stringify(questions),
    env: pythonEnvironment,
  });
  return JSON.parse(stdout);
}

interface Rules {
  readonly name: string;
  readonly axes: readonly Axis[];
  readonly stages: SideStages;
}

const ownOp = (name: string, stages: SideStages): Rules => ({ name, stages, axes: openAxes(stages) });
const call = (name: string, args: Readonly<Record<string, AxisValue>> = {}) => ({ name, args });

const OPS: readonly Rules[] = [
  readShippedOp(),
  ownOp("fixed", {
    k: [
      call("norm", { weightDtype: "f32" }),
      call("rotate", { rotaryDim: 32, angles: "cos_sin", positionAxes: 2 }),
    ],
  }),
  ownOp("trailing", { q: [call("rotate", { rotaryAt: "trailing" })], v: [call("value", { value: "norm" })] }),
  ownOp("two_dtypes", { q: [call("norm", { weightDtype: "f32" }), call("norm"), call("rotate")] }),
  ownOp("apart", {
    q: [call("norm", { norm: "layer" })],
    k: [call("norm", { norm: "none" }), call("rotate")],
    v: [call("value", { value: "copy" })],
  }),
  ownOp("cached", {
    q: [call("rotate")],
    k: [call("rotate"), call("cache", { cache: "same" })],
    v: [call("value"), call("cache", { cache: "e4m3" })],
  }),
  ownOp("only_cached", { k: [call("cache")], v: [call("value", { value: "none" }), call("cache")] }),
];

/** Points that chance hardly meets. */
const RARE: readonly Record<string, AxisValue>[] = ["none", "copy"].flatMap((value) =>
  ["none", "same", "e4m3"].map((cache) => ({
    ...{ headDim: 64, rotaryDim: 0, dtype: "bf16", norm: "none" },
    ...{ value, cache, out: "same" },
  })),
);

/** Numbers with a fixed seed: mulberry32. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Values that an axis might be given; now and then none, or one that it cannot have. */
function someValue(axis: Axis, below: (below: number) => number): AxisValue | undefined {
  if (axis.name !== "headDim" && below(axis.default === undefined ? 8 : 2) === 0) return undefined;
  const odd = below(100) === 0;
  if (axis.kind === "enum") return odd ? "other" : axis.values[below(axis.values.length)];
  if (axis.name === "positionAxes") return 1 + below(odd ? 6 : 4);
  const dims = axis.name === "headDim" ? [64, 64, 128] : [0, 32, 64, 64, 64, 128];
  return odd ? 63 : dims[below(dims.length)];
}

function randomValues(axes: readonly Axis[], below: (below: number) => number): Record<string, AxisValue> {
  let values: Record<string, AxisValue> = {};
  for (const axis of axes) {
    // A value without a meaning is one kind of error, and must not hide the others.
    const isLikely = below(40) === 0 || axis.name in completed(axes, { ...firstOf(axis), ...values });
    const value = isLikely ? someValue(axis, below) : undefined;
    if (value !== undefined) values = { ...values, [axis.name]: value };
  }
  return values;
}

/** The axis with its first value, unless it means nothing. */
const firstOf = ({ name, kind, ...axis }: Axis) =>
  kind === "enum" && axis.default === undefined && "values" in axis ? { [name]: axis.values[0] } : {};

/** TypeScript's answer in the form of Python's. */
function answerOf({ name, axes, stages }: Rules, values: Record<string, AxisValue>): object {
  const point = completed(axes, values);
  const op = { name, axes, stages };
  if (axisOutside(axes, point) !== undefined || rejectionOf(op, point) !== undefined) {
    const { fix } = absenceOf("", { op, kernels: [] }, point);
    return { impossible: fix.replace("None can be made: ", "").replaceAll("undefined", "None") };
  }
  const own = stagesAt(stages, point);
  const { inputs, optionalInputs, inputDtypes } = kernelInputs(own, point);
  return {
    id: kernelId(readShippedOp(), point),
    point,
    inputs: inputs.sort(),
    optionalInputs: optionalInputs.sort(),
    inputDtypes,
    copiedSides: copiedSides(own),
    positionAxes: positionAxesOf(own, point),
    rotaryDim: pairingOf(own, point)?.rotaryDim ?? 0,
  };
}

describe.skipIf(python === undefined)("Python and TypeScript agree", () => {
  it.each(OPS.map((op) => [op.name, op] as const))("about points of the op %s", async (_, op) => {
    const below = numbers(7);
    const all = [...RARE, ...Array.from({ length: 4000 }, () => randomValues(op.axes, below))];
    const questions = all.map((values) => ({ op, values }));
    const answers = await ask<{ id?: string; point?: ConfigPoint; impossible?: string }>(questions);
    const reasons = new Set<string>();
    questions.forEach(({ values }, i) => {
      const { id, ...answer } = answers[i] ?? {};
      const { id: ownId, ...wanted } = answerOf(op, values) as typeof answer & { id?: string };
      expect(answer, JSON.stringify(values)).toEqual(wanted);
      if (op.name === "qk_norm_rope") expect(id).toBe(ownId);
      reasons.add(answer.impossible?.replaceAll(/[0-9"]/g, "") ?? "");
    });
    expect(reasons).toContain("");
    expect(reasons.size).toBeGreaterThan(4);
    if (op.name !== "qk_norm_rope") return;
    // Each rule of a stage was broken at least once.
    const parts = [
      ...["scale is that", "without a weight", "float weight", "trailing  elements"],
      ...["needs the model's", "products has", "no stage does"],
    ];
    expect(parts.filter((part) => ![...reasons].some((reason) => reason.includes(part)))).toEqual([]);
  });

  it("about the axes of pairs", async () => {
    const layouts = ["sectioned", "interleaved", "other"] as const;
    const sections = [
      [11, 11, 10],
      [24, 20, 20],
      [16, 24, 24],
      [32],
      [0, 0],
      [3, 0, 7, 1],
      [512, 0],
      [],
      [1, 1, 1, 1, 1],
    ];
    const wrong = [[513], [512, 1], [-1], [1.5], ["1"], 3, null];
    const questions = [...sections, ...wrong].flatMap((own) =>
      layouts.map((layout) => ({ sections: own, layout }) as PairAxesOptions),
    );
    const answers = await ask(questions);
    const wanted = questions.map((options) => {
      try {
        return [...pairAxes(options)];
      } catch (error) {
        if (error instanceof NormropeError) return error.code;
        throw error;
      }
    });
    expect(answers).toEqual(wanted);
    expect(wanted.filter((own) => own === "invalid-argument")).toHaveLength(6 + 3 * 10);
    expect(wanted).toContainEqual(
      [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2].map((axis) => (axis === 0 ? 0 : axis === 1 ? 2 : 3)),
    );
  });
});
