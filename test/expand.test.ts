/** Space → points: products, defaults, one order, rejections, and what the user must mend. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AxisName } from "../dsl/axes.js";
import { rejectionOf } from "../dsl/legality.js";
import type { AxisValue, Entry, Op, Space } from "../generator/ir.js";
import { readShippedOp } from "../generator/op_file.js";
import { type Expansion, expand } from "../generator/plan/expand.js";
import { DEFAULTS } from "./helpers.js";

const shipped = readShippedOp();

type Written = Readonly<Record<string, readonly AxisValue[] | undefined>>;

/** A space with every value at a line of its own. */
function spaceOf(entries: readonly Written[], complete = true, op: Op = shipped): Space {
  let line = 0;
  const here = () => ({ file: "normrope.config.ts", line: ++line, column: 1 });
  return {
    op,
    span: here(),
    entries: entries.map((written): Entry => {
      const span = here();
      const axes = op.axes.flatMap(({ name }) => {
        const values = written[name];
        if (values === undefined) return [];
        return [{ name, span: here(), values: values.map((value) => ({ value, span: here() })) }];
      });
      return { axes, span, complete };
    }),
  };
}

const expandAll = (...entries: Written[]): Expansion => expand(spaceOf(entries));
const summary = ({ diagnostics }: Expansion) => diagnostics.map(({ code, span }) => [code, span?.line]);
const REST = { rope: ["neox"], dtype: ["bf16"] } as const;

describe("points", () => {
  it("are the product of the values of all axes", () => {
    const { points, rejections, diagnostics } = expandAll({
      headDim: [128, 64],
      rotaryDim: [64, 32],
      rope: ["neox", "interleaved"],
      dtype: ["f16", "bf16"],
    });
    const expected = ["bf16", "f16"].flatMap((dtype) =>
      [64, 128].flatMap((headDim) =>
        [32, 64].flatMap((rotaryDim) =>
          ["interleaved", "neox"].map((rope) => ({ headDim, rotaryDim, rope, dtype, ...DEFAULTS })),
        ),
      ),
    );
    expect(points).toEqual(expected);
    expect(rejections).toEqual([]);
    expect(diagnostics).toEqual([]);
  });

  it("have rotaryDim = headDim where an entry leaves it out", () => {
    const { points } = expandAll({ headDim: [64, 128], ...REST });
    expect(points.map(({ headDim, rotaryDim }) => [headDim, rotaryDim])).toEqual([
      [64, 64],
      [128, 128],
    ]);
  });

  it("are those of all entries", () => {
    const { points } = expandAll(
      { headDim: [128], ...REST },
      { headDim: [64], rope: ["neox"], dtype: ["f16"] },
    );
    expect(points.map(({ headDim, dtype }) => [headDim, dtype])).toEqual([
      [128, "bf16"],
      [64, "f16"],
    ]);
  });

  const anyValues = fc.record({
    headDim: fc.uniqueArray(
      fc.integer({ min: 2, max: 128 }).map((n) => 8 * n),
      { minLength: 1, maxLength: 5 },
    ),
    rotaryDim: fc.option(
      fc.uniqueArray(
        fc.integer({ min: 1, max: 64 }).map((n) => 2 * n),
        { minLength: 1, maxLength: 5 },
      ),
      { nil: undefined },
    ),
    rope: fc.subarray(["neox", "interleaved"], { minLength: 1 }),
    dtype: fc.subarray(["bf16", "f16"], { minLength: 1 }),
  });

  const written = (values: { readonly [Name in AxisName]?: readonly AxisValue[] | undefined }): Written =>
    Object.fromEntries(Object.entries(values).filter(([, list]) => list !== undefined));

  it.each(["points", "rejections"] as const)("have one order of %s, however the space is written", (part) => {
    const reversed = (entry: Written): Written =>
      Object.fromEntries(Object.entries(entry).map(([name, values]) => [name, values?.toReversed()]));
    fc.assert(
      fc.property(fc.array(anyValues, { minLength: 1, maxLength: 3 }), (all) => {
        const entries = all.map(written);
        const [one, other] = [expandAll(...entries), expandAll(...entries.toReversed().map(reversed))];
        expect(other[part]).toEqual(one[part]);
      }),
      { numRuns: 300 },
    );
  });

  it("and rejections together are the product, each once", () => {
    fc.assert(
      fc.property(anyValues, (values) => {
        const { points, rejections } = expandAll(written(values));
        const all = [...points, ...rejections.map(({ point }) => point)].map((point) =>
          JSON.stringify(point),
        );
        const { headDim, rotaryDim, rope, dtype } = values;
        expect(new Set(all).size).toBe(all.length);
        expect(all.length).toBe(headDim.length * (rotaryDim?.length ?? 1) * rope.length * dtype.length);
        expect(points.every((point) => rejectionOf(shipped, point) === undefined)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe("rejections", () => {
  it("name the rule, the reason, the values and the point, and are no errors", () => {
    const { points, rejections, diagnostics } = expandAll({ headDim: [64, 128], rotaryDim: [96], ...REST });
    expect(points).toEqual([{ headDim: 128, rotaryDim: 96, rope: "neox", dtype: "bf16", ...DEFAULTS }]);
    expect(rejections).toEqual([
      {
        id: "qk_norm_rope__bf16_d64_r96_neox",
        op: "qk_norm_rope",
        rule: "rotaryDim_within_headDim",
        reason: "rotaryDim 96 is more than headDim 64",
        values: { headDim: 64, rotaryDim: 96 },
        point: { headDim: 64, rotaryDim: 96, rope: "neox", dtype: "bf16", ...DEFAULTS },
      },
    ]);
    expect(diagnostics).toEqual([]);
  });

  it("of every point of an entry are an error of the entry", () => {
    const expansion = expandAll({ headDim: [128], ...REST }, { headDim: [16, 64], rotaryDim: [96], ...REST });
    expect(expansion.rejections).toHaveLength(2);
    expect(summary(expansion)).toEqual([["entry-without-kernel", 9]]);
  });

  it("start where rotary_dim exceeds head_dim", () => {
    const point = { headDim: 64, rope: "neox", dtype: "bf16" } as const;
    expect(rejectionOf(shipped, { ...point, rotaryDim: 64 })).toBeUndefined();
    expect(rejectionOf(shipped, { ...point, rotaryDim: 66 })?.rule).toBe("rotaryDim_within_headDim");
  });
});

describe("mistakes", () => {
  it.each<[string, readonly Written[], [string, number][], number]>([
    ["no entry", [], [["empty-space", 1]], 0],
    ["no value", [{ headDim: [], ...REST }], [["empty-axis", 3]], 0],
    ["an axis left out", [{ headDim: [64], dtype: ["bf16"] }], [["missing-axis", 2]], 0],
    ["a value twice", [{ headDim: [64, 64], ...REST }], [["duplicate-value", 5]], 1],
    [
      "a number outside",
      [{ headDim: [64, 1032, 12], ...REST }],
      [
        ["value-not-in-axis", 5],
        ["value-not-in-axis", 6],
      ],
      1,
    ],
    [
      "a name outside",
      [{ headDim: [64], rope: ["neox", "gptj"], dtype: ["bf16"] }],
      [["value-not-in-axis", 7]],
      1,
    ],
    ["a number for a name", [{ headDim: [64], rope: [1], dtype: ["bf16"] }], [["value-not-in-axis", 6]], 0],
    ["a name for a number", [{ headDim: ["64"], ...REST }], [["value-not-in-axis", 4]], 0],
    [
      "a point twice",
      [
        { headDim: [64], ...REST },
        { headDim: [64], rotaryDim: [64], ...REST },
      ],
      [["duplicate-point", 9]],
      1,
    ],
    [
      "a mistake in each of two entries",
      [
        { headDim: [65], ...REST },
        { headDim: [64], rope: [], dtype: ["bf16"] },
      ],
      [
        ["value-not-in-axis", 4],
        ["empty-axis", 12],
      ],
      0,
    ],
  ])("%s", (_, entries, expected, numPoints) => {
    const expansion = expandAll(...entries);
    expect(summary(expansion)).toEqual(expected);
    expect(expansion.points).toHaveLength(numPoints);
  });

  it("that only follow from a part that could not be read are not reported", () => {
    const entries: Written[] = [
      { headDim: [64] },
      { headDim: [], ...REST },
      { headDim: [64], rotaryDim: [96], ...REST },
    ];
    expect(expand(spaceOf(entries, false)).diagnostics).toEqual([]);
  });
});
