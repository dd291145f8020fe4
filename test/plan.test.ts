/** Every legal geometry, modelled straight from the slot formulas that `plan` documents. */
import { describe, expect, it } from "vitest";
import type { ConfigPoint, KernelPlan, Layout } from "../generator/ir.js";
import { readShippedOp } from "../generator/op_file.js";
import { compile } from "../generator/pipeline.js";
import { plan } from "../generator/plan/plan.js";
import { CONFIG_FILES } from "./helpers.js";

const op = readShippedOp();
const WARP_LANES = 32;
const ROPES = ["neox", "interleaved"] as const;

/** Where the two vectors of slot j start. */
function vectorsOf({ point, vectorElements: V }: KernelPlan, j: number): [number, number] {
  const { headDim: D, rotaryDim: r = D, rope } = point;
  if (rope === "interleaved") return [V * j, V * j + D / 2];
  return j < r / (2 * V) ? [V * j, V * j + r / 2] : [V * j + r / 2, V * j + D / 2];
}

/** The element that an element rotates with, or undefined where it passes through. */
function partnerOf({ headDim, rope, rotaryDim = headDim }: ConfigPoint, element: number): number | undefined {
  if (element >= rotaryDim) return undefined;
  if (rope === "interleaved") return element % 2 === 0 ? element + 1 : element - 1;
  return element < rotaryDim / 2 ? element + rotaryDim / 2 : element - rotaryDim / 2;
}

/** The first thing wrong with how a head lies over its slots. */
function problemOf(planned: KernelPlan): string | undefined {
  const { point, slots, vectorElements, lanesPerHead, slotsPerLane, headsPerWarp } = planned;
  if (![1, 2, 4].includes(vectorElements)) return `vectors of ${vectorElements} elements`;
  if (![1, 2, 4, 8, 16, 32].includes(lanesPerHead)) return `${lanesPerHead} lanes`;
  if (lanesPerHead * slotsPerLane < slots) return `${slots} slots do not fit the lanes`;
  if (lanesPerHead * (slotsPerLane - 1) >= slots) return "the last slot of every lane is empty";
  if (slotsPerLane > 1 && lanesPerHead < WARP_LANES) return "lanes loop where more lanes are free";
  if (lanesPerHead > 1 && lanesPerHead / 2 >= slots) return "half of the lanes are empty";
  if (lanesPerHead * headsPerWarp !== WARP_LANES) return `${headsPerWarp} heads do not fill the warp`;

  if (planned.wide !== undefined) {
    const { wide } = planned;
    const places = (layout: Layout) => layout.lanesPerHead * layout.slotsPerLane;
    if (places(wide) < slots) return `${slots} slots do not fit the wide layout`;
    if (places(wide) >= places(planned)) return "the wide layout leaves no fewer places empty";
    if (wide.lanesPerHead < 4) return `${wide.headsPerWarp} heads a warp`;
    if (wide.lanesPerHead * wide.headsPerWarp !== WARP_LANES) return "wide heads do not fill the warp";
    const sum = (layout: Layout) => layout.lanesPerHead * 2 ** Math.ceil(Math.log2(layout.slotsPerLane));
    if (sum(wide) !== sum(planned)) return "the layouts add in different orders";
  }

  const slotOf = new Int16Array(point.headDim).fill(-1);
  for (let j = 0; j < slots; ++j) {
    for (const start of vectorsOf(planned, j)) {
      if (start % vectorElements !== 0) return `slot ${j}: ${start} is not aligned`;
      for (let element = start; element < start + vectorElements; ++element) {
        if (slotOf[element] !== -1) return `slot ${j}: ${element} is outside the head or in two slots`;
        slotOf[element] = j;
      }
    }
  }
  if (slotOf.includes(-1)) return `${slotOf.indexOf(-1)} is in no slot`;
  for (let element = 0; element < (planned.pairing?.rotaryDim ?? 0); ++element) {
    const partner = partnerOf(point, element) ?? element;
    if (slotOf[element] !== slotOf[partner]) return `${element} and ${partner} are in different slots`;
  }
  return undefined;
}

describe.each(ROPES)("%s", (rope) => {
  it("lays every legal head over fragments and lanes: each element once, pairs together", () => {
    const problems: string[] = [];
    for (let headDim = 16; headDim <= 1024; headDim += 8) {
      for (let rotaryDim = 2; rotaryDim <= headDim; rotaryDim += 2) {
        const planned = plan(op, { headDim, rotaryDim, rope, dtype: "bf16" });
        const problem = problemOf(planned);
        if (problem !== undefined) problems.push(`${planned.id}: ${problem}`);
      }
    }
    expect(problems.slice(0, 5)).toEqual([]);
  });
});

it.each(CONFIG_FILES)("lays the heads of %s over fragments and lanes", (path) => {
  const { plans } = compile(path);
  expect(plans.map((planned) => [planned.id, problemOf(planned)])).toEqual(
    plans.map(({ id }) => [id, undefined]),
  );
});

it("takes the widest vectors of at most 4 elements that keep pairs together", () => {
  const widths = (rotaryDim: number) =>
    ROPES.map((rope) => plan(op, { headDim: 96, rotaryDim, rope, dtype: "bf16" }).vectorElements);
  expect([2, 4, 6, 8, 12, 16, 46, 48, 92, 96].map(widths)).toEqual([
    [1, 4],
    [2, 4],
    [1, 4],
    [4, 4],
    [2, 4],
    [4, 4],
    [1, 4],
    [4, 4],
    [2, 4],
    [4, 4],
  ]);
});

it.each([
  [64, undefined],
  [80, { lanesPerHead: 4, slotsPerLane: 3, headsPerWarp: 8, minBlocks: 4 }],
  [96, { lanesPerHead: 4, slotsPerLane: 3, headsPerWarp: 8, minBlocks: 4 }],
  [112, undefined],
  [128, undefined],
  [192, { lanesPerHead: 8, slotsPerLane: 3, headsPerWarp: 4, minBlocks: 4 }],
  [320, { lanesPerHead: 16, slotsPerLane: 3, headsPerWarp: 2, minBlocks: 4 }],
  [512, undefined],
])(
  "gives head_dim %d a layout for many tokens where that leaves fewer lanes without work",
  (headDim, wide) => {
    expect(plan(op, { headDim, rotaryDim: headDim, rope: "neox", dtype: "bf16" }).wide).toEqual(wide);
  },
);

it("fixes all that decides the bits of a result", () => {
  const point = { headDim: 128, rotaryDim: 64, rope: "neox", dtype: "bf16", weight: "plain" } as const;
  expect(plan(op, point)).toEqual({
    id: "qk_norm_rope__bf16_d128_r64_neox",
    op: "qk_norm_rope",
    layouts: 1,
    point,
    bodies: [
      {
        sides: ["q", "k"],
        text: "q and k: rotate(norm(x))",
        expression: "rotate(norm(x))",
        stages: [
          {
            name: "norm",
            ...{ values: { weight: "plain" }, reads: { weight: true, eps: true }, measures: true },
          },
          {
            ...{ name: "rotate", values: { rotaryDim: 64, rope: "neox" }, measures: false },
            reads: { positions: true, rope_table: true, attention_factor: true },
          },
          { name: "out", values: {}, reads: {}, measures: false },
        ],
      },
    ],
    sides: ["q", "k"],
    inputs: [
      ...["positions", "rope_table", "attention_factor", "eps"],
      ...["q.in", "q.out", "q.weight", "k.in", "k.out", "k.weight"],
    ],
    pairing: { rope: "neox", rotaryDim: 64 },
    vectorElements: 4,
    slots: 16,
    lanesPerHead: 16,
    slotsPerLane: 1,
    headsPerWarp: 2,
    blockThreads: 128,
    rotaryPairs: 32,
    turnsAtOnce: 2,
  });
});
