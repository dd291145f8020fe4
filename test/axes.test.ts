/** The table of axes, and what follows from a row: defaults, where an axis means something, ids, order, rejections. */
import { describe, expect, it } from "vitest";
import { AXES, type Axis } from "../dsl/axes.js";
import { multipleOf, oneOf } from "../dsl/axis.js";
import { axisOutside, rejectionOf } from "../dsl/legality.js";
import { comparePoints, completed, isSamePoint, withFirst, written } from "../dsl/points.js";
import type { Entry, Op } from "../generator/ir.js";
import { pointWords, spelledPoint } from "../generator/kernel_id.js";
import { readShippedOp } from "../generator/op_file.js";
import { expand } from "../generator/plan/expand.js";
import { absenceOf } from "../runtime/support.js";

describe("the table", () => {
  const earlier = (axis: Axis) => AXES.slice(0, AXES.indexOf(axis)).map(({ name }) => name);

  it.each(AXES.map((axis) => [axis.name, axis] as const))("has a row for %s that makes sense", (_, axis) => {
    const named = [axis.follows, axis.within, ...Object.keys(axis.when ?? {})].filter((name) => name);
    expect(earlier(axis)).toEqual(expect.arrayContaining(named));
    if (axis.default !== undefined)
      expect(axisOutside([axis], { [axis.name]: axis.default })).toBeUndefined();
    expect([axis.default, axis.follows].filter((value) => value !== undefined).length).toBeLessThan(2);
    if (axis.kind === "integer") expect(axis.tag).toMatch(/^[a-z]+$/);
    expect(axis.kind === "enum" ? Object.keys(axis.tags ?? {}) : []).toEqual(
      axis.kind === "enum" ? axis.values.filter((value) => value in (axis.tags ?? {})) : [],
    );
  });

  it("has distinct tags of all values but defaults, which no id spells, so that ids can be read back", () => {
    const tags = AXES.flatMap((axis) =>
      axis.kind === "integer"
        ? [axis.tag ?? ""]
        : axis.values.filter((value) => value !== axis.default).map((value) => axis.tags?.[value] ?? value),
    );
    expect(new Set(tags).size).toBe(tags.length);
    for (const tag of tags) expect(tag).toMatch(/^[a-z][a-z0-9]*$/);
    const letters = AXES.flatMap(({ kind, tag }) => (kind === "integer" ? [tag ?? ""] : []));
    const isNumber = (tag: string) => letters.some((letter) => RegExp(`^${letter}\\d+$`).test(tag));
    expect(tags.filter(isNumber)).toEqual([]);
  });
});

/** A norm that may be left out, and a weight that only a norm has. */
const axes: readonly Axis[] = [
  { name: "size", ...multipleOf(8, { min: 8, max: 64 }), tag: "s" },
  { name: "part", ...multipleOf(2, { min: 2, max: 64 }), tag: "p", within: "size", follows: "size" },
  { name: "norm", ...oneOf("rms", "layer", "none"), default: "rms", tags: { none: "nonorm" } },
  {
    name: "bias",
    ...oneOf("no", "add"),
    default: "no",
    tags: { add: "bias" },
    when: { norm: oneOf("rms", "layer") },
  },
  { name: "type", ...oneOf("b", "f"), leads: true },
];
const point = (values: object) => completed(axes, { size: 16, type: "b", ...values });

describe("a point", () => {
  it.each<[object, object]>([
    [{}, { size: 16, part: 16, norm: "rms", bias: "no", type: "b" }],
    [{ norm: "none" }, { size: 16, part: 16, norm: "none", type: "b" }],
    [
      { part: 4, bias: "add" },
      { size: 16, part: 4, norm: "rms", bias: "add", type: "b" },
    ],
    [
      { part: undefined, norm: undefined },
      { size: 16, part: 16, norm: "rms", bias: "no", type: "b" },
    ],
  ])("of %j has the defaults of what means something", (values, whole) => {
    expect(point(values)).toEqual(whole);
  });

  it.each<[object, string, string, string]>([
    [{}, "b_s16_p16", "size 16, b", "size,type"],
    [{ part: 4 }, "b_s16_p4", "size 16, part 4, b", "size,part,type"],
    [
      { norm: "layer", bias: "add" },
      "b_s16_p16_layer_bias",
      "size 16, layer, bias, b",
      "size,norm,bias,type",
    ],
    [{ norm: "none", type: "f" }, "f_s16_p16_nonorm", "size 16, nonorm, f", "size,norm,type"],
  ])("of %j is spelled by its tags, and without what is a constant default", (values, id, words, names) => {
    const whole = point(values);
    expect(spelledPoint(whole, axes)).toBe(id);
    expect(pointWords(whole, axes)).toBe(words);
    expect(`${written(axes, whole).map(([{ name }]) => name)}`).toBe(names);
    expect(
      completed(axes, Object.fromEntries(written(axes, whole).map(([{ name }, value]) => [name, value]))),
    ).toEqual(whole);
  });

  it("is sorted by what leads, then by numbers and names in the order of the table", () => {
    const all = [{ type: "f" }, { size: 64 }, { size: 8 }, {}, { norm: "layer" }, { norm: "none" }].map(
      point,
    );
    const sorted = all.toSorted(comparePoints(axes)).map((each) => spelledPoint(each, axes));
    expect(sorted).toEqual([
      "b_s8_p8",
      "b_s16_p16_layer",
      "b_s16_p16_nonorm",
      "b_s16_p16",
      "b_s64_p64",
      "f_s16_p16",
    ]);
  });

  it("equals another if every axis is equal, absent ones too", () => {
    expect(isSamePoint(axes, point({}), point({ norm: "rms" }))).toBe(true);
    expect(isSamePoint(axes, point({ norm: "none" }), point({}))).toBe(false);
  });

  it("has the first names where these are not given", () => {
    expect(withFirst(axes, { size: 8 })).toEqual({ size: 8, part: 8, norm: "rms", bias: "no", type: "b" });
  });
});

describe("a point that cannot be", () => {
  it.each<[object, string | undefined, string | undefined]>([
    [{ size: 12 }, "size", undefined],
    [{ size: undefined }, "size", undefined],
    [{ bias: "more" }, "bias", undefined],
    [{ part: 32 }, undefined, "part 32 is more than size 16"],
    [{ norm: "none", bias: "add" }, undefined, "bias means nothing where norm is none"],
    [{ norm: "layer", bias: "add" }, undefined, undefined],
  ])("%j", (values, outside, reason) => {
    const whole = point(values);
    expect(axisOutside(axes, whole)?.name).toBe(outside);
    if (outside === undefined) expect(rejectionOf({ axes, stages: {} }, whole)?.reason).toBe(reason);
  });

  it("is said with the axes that it has, and how it is added without those at a default", () => {
    const op = { name: "op", axes, stages: {} };
    const ask = (values: object) =>
      absenceOf("lib.so", { op, kernels: [{ op: "op", point: point({}) }] }, point(values));
    expect(ask({ norm: "none" })).toMatchObject({
      reason: "lib.so holds no kernel for size 16, part 16, norm none, type b",
      fix: expect.stringMatching(/^Run `normrope add norm none`/),
      configLine: '{ size: [16], norm: ["none"], type: ["b"] }',
    });
    expect(ask({ norm: "none", bias: "add" }).fix).toBe(
      "None can be made: bias means nothing where norm is none",
    );
  });
});

describe("a space", () => {
  const span = { file: "normrope.config.ts", line: 1, column: 1 };
  const op = { ...readShippedOp(), axes } satisfies Op;
  const expanded = (values: Record<string, readonly (string | number)[]>) => {
    const given = Object.entries(values).map(([name, list]) => ({
      ...{ name, span, values: list.map((value) => ({ value, span })) },
    }));
    const entry: Entry = { axes: given, span, complete: true };
    const { points, diagnostics } = expand({ op, entries: [entry], span });
    return {
      ids: points.map((each) => spelledPoint(each, axes)),
      codes: diagnostics.map(({ code }) => code),
    };
  };

  it("leaves an axis out of the product if it means nothing there", () => {
    const { ids, codes } = expanded({ size: [8], norm: ["rms", "none"], bias: ["no", "add"], type: ["b"] });
    expect(ids).toEqual(["b_s8_p8_nonorm", "b_s8_p8_bias", "b_s8_p8"]);
    expect(codes).toEqual([]);
  });

  it("that lists an axis without meaning anywhere is refused", () => {
    const { codes } = expanded({ size: [8], norm: ["none"], bias: ["add"], type: ["b"] });
    expect(codes).toEqual(["axis-without-meaning"]);
  });
});
