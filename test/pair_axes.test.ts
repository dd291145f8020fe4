/** The axis of each pair, as models arrange them, and sections that cannot be. */
import { describe, expect, it } from "vitest";
import { NormropeError, type PairAxesOptions, pairAxes } from "../runtime/index.js";

/** Axes in short: how many pairs in a row each turns. */
function runs(axes: Uint8Array): [axis: number, pairs: number][] {
  const found: [number, number][] = [];
  for (const axis of axes) {
    const last = found.at(-1);
    if (last?.[0] === axis) last[1]++;
    else found.push([axis, 1]);
  }
  return found;
}

/** Qwen3-VL's: axis 0 everywhere, then each other axis at every n-th pair, up to n times its section. */
function sliced(sections: readonly number[]): number[] {
  const n = sections.length;
  const axes = Array<number>(sections.reduce((sum, own) => sum + own, 0)).fill(0);
  for (let axis = 1; axis < n; axis++) {
    const end = Math.min(axes.length, n * (sections[axis] ?? 0));
    for (let pair = axis; pair < end; pair += n) axes[pair] = axis;
  }
  return axes;
}

describe("sectioned", () => {
  it.each<[number[], [number, number][]]>([
    [
      [16, 24, 24],
      [
        [0, 16],
        [1, 24],
        [2, 24],
      ],
    ],
    [[32], [[0, 32]]],
    [
      [1, 3, 5, 7],
      [
        [0, 1],
        [1, 3],
        [2, 5],
        [3, 7],
      ],
    ],
    [
      [0, 5, 0, 1],
      [
        [1, 5],
        [3, 1],
      ],
    ],
    [
      [511, 1],
      [
        [0, 511],
        [1, 1],
      ],
    ],
  ])("%j has the pairs of one axis after the other", (sections, expected) => {
    expect(runs(pairAxes({ sections }))).toEqual(expected);
    expect(pairAxes({ sections, layout: "sectioned" })).toEqual(pairAxes({ sections }));
    expect(pairAxes({ sections, layout: undefined })).toEqual(pairAxes({ sections }));
  });
});

describe("interleaved", () => {
  it("takes turns as long as an axis has pairs left, and axis 0 has the rest, as in Qwen3-VL", () => {
    const axes = pairAxes({ sections: [24, 20, 20], layout: "interleaved" });
    expect(axes).toHaveLength(64);
    expect(Array.from(axes.subarray(0, 60))).toEqual(Array.from({ length: 60 }, (_, j) => j % 3));
    expect(Array.from(axes.subarray(60))).toEqual([0, 0, 0, 0]);
  });

  it.each([
    [[24, 20, 20]],
    [[11, 11, 10]],
    [[1, 3, 2]],
    [[5, 0, 3]],
    [[3, 5]],
    [[7]],
    [[2, 3, 1, 4]],
    [[0, 3, 3]],
  ])("%j is what the model's slices give", (sections) => {
    expect(Array.from(pairAxes({ sections, layout: "interleaved" }))).toEqual(sliced(sections));
  });
});

it.each<[string, unknown, string]>([
  ["no options", undefined, "options"],
  ["no sections", {}, "sections"],
  ["an empty list", { sections: [] }, "sections"],
  ["five axes", { sections: [1, 1, 1, 1, 1] }, "sections"],
  ["a number", { sections: 32 }, "sections"],
  ["a negative number", { sections: [-1, 33] }, "sections"],
  ["a fraction", { sections: [1.5] }, "sections"],
  ["a text", { sections: ["16"] }, "sections"],
  ["no pairs", { sections: [0, 0] }, "sections"],
  ["more pairs than a head has", { sections: [512, 1] }, "sections"],
  ["an unknown layout", { sections: [16], layout: "mixed" }, "layout"],
  ["a layout of null", { sections: [16], layout: null }, "layout"],
  ["another option", { sections: [16], section: [16] }, "options.section"],
])("refuses %s", (_, options, field) => {
  let found: unknown;
  try {
    pairAxes(options as PairAxesOptions);
  } catch (error) {
    found = error;
  }
  expect(found).toBeInstanceOf(NormropeError);
  expect(found).toMatchObject({ code: "invalid-argument", message: expect.stringContaining(field) });
});
