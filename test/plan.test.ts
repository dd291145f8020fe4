/** Every legal geometry, modelled straight from the fragment formulas that `plan` documents. */
import { describe, expect, it } from "vitest";
import type { ConfigPoint, KernelPlan, Layout } from "../generator/ir.js";
import { readShippedOp } from "../generator/op_file.js";
import { compile } from "../generator/pipeline.js";
import { plan } from "../generator/plan/plan.js";
import { CONFIG_FILES, DEFAULTS } from "./helpers.js";

const op = readShippedOp();
const WARP_LANES = 32;
const ROPES = ["neox", "interleaved"] as const;

/** Where the two vectors of fragment j start. */
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

/** The first thing wrong with how a head lies over its fragments. */
function problemOf(planned: KernelPlan): string | undefined {
  const { point, fragments, vectorElements, lanesPerHead, fragmentsPerLane, headsPerWarp } = planned;
  if (![1, 2, 4].includes(vectorElements)) return `vectors of ${vectorElements} elements`;
  if (![1, 2, 4, 8, 16, 32].includes(lanesPerHead)) return `${lanesPerHead} lanes`;
  if (lanesPerHead * fragmentsPerLane < fragments) return `${fragments} fragments do not fit the lanes`;
  if (lanesPerHead * (fragmentsPerLane - 1) >= fragments) return "the last fragment of every lane is empty";
  if (fragmentsPerLane > 1 && lanesPerHead < WARP_LANES) return "lanes loop where more lanes are free";
  if (lanesPerHead > 1 && lanesPerHead / 2 >= fragments) return "half of the lanes are empty";
  if (lanesPerHead * headsPerWarp !== WARP_LANES) return `${headsPerWarp} heads do not fill the warp`;

  const { throughput } = planned;
  const places = (layout: Layout) => layout.lanesPerHead * layout.fragmentsPerLane;
  if (places(throughput) < fragments) return `${fragments} fragments do not fit the throughput layout`;
  if (places(throughput) > places(planned)) return "the throughput layout leaves more places empty";
  if (throughput.isStaged && (vectorElements !== 4 || places(throughput) !== places(planned)))
    return "what is staged is no copy of 16 bytes a fragment";
  if (throughput.lanesPerHead * throughput.headsPerWarp !== WARP_LANES)
    return "throughput heads do not fill the warp";
  const sum = (layout: Layout) => layout.lanesPerHead * 2 ** Math.ceil(Math.log2(layout.fragmentsPerLane));
  if (sum(throughput) !== sum(planned)) return "the layouts add in different orders";

  const fragmentOf = new Int16Array(point.headDim).fill(-1);
  for (let j = 0; j < fragments; ++j) {
    for (const start of vectorsOf(planned, j)) {
      if (start % vectorElements !== 0) return `fragment ${j}: ${start} is not aligned`;
      for (let element = start; element < start + vectorElements; ++element) {
        if (fragmentOf[element] !== -1)
          return `fragment ${j}: ${element} is outside the head or in two fragments`;
        fragmentOf[element] = j;
      }
    }
  }
  if (fragmentOf.includes(-1)) return `${fragmentOf.indexOf(-1)} is in no fragment`;
  for (let element = 0; element < (planned.pairing?.rotaryDim ?? 0); ++element) {
    const partner = partnerOf(point, element) ?? element;
    if (fragmentOf[element] !== fragmentOf[partner])
      return `${element} and ${partner} are in different fragments`;
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
  [64, { lanesPerHead: 8, fragmentsPerLane: 1, headsPerWarp: 4, isStaged: true, minLoad: 4 }],
  [80, { lanesPerHead: 4, fragmentsPerLane: 3, headsPerWarp: 8, minBlocks: 5, isStaged: false, minLoad: 1 }],
  [112, { lanesPerHead: 16, fragmentsPerLane: 1, headsPerWarp: 2, isStaged: true, minLoad: 4 }],
  [192, { lanesPerHead: 8, fragmentsPerLane: 3, headsPerWarp: 4, minBlocks: 5, isStaged: false, minLoad: 1 }],
  [
    320,
    { lanesPerHead: 16, fragmentsPerLane: 3, headsPerWarp: 2, minBlocks: 5, isStaged: false, minLoad: 1 },
  ],
  [
    1024,
    { lanesPerHead: 32, fragmentsPerLane: 4, headsPerWarp: 1, minBlocks: 4, isStaged: true, minLoad: 4 },
  ],
])(
  "gives head_dim %d a throughput layout: with fewer idle lanes where there are many, otherwise staged",
  (headDim, throughput) => {
    const planned = plan(op, { headDim, rotaryDim: headDim, rope: "neox", dtype: "bf16" });
    expect(planned.throughput).toEqual({ minBlocks: undefined, ...throughput });
  },
);

it("fixes all that decides the bits of a result", () => {
  const point = { headDim: 128, rotaryDim: 64, rope: "neox", dtype: "bf16", ...DEFAULTS } as const;
  expect(plan(op, point)).toEqual({
    id: "qk_norm_rope__bf16_d128_r64_neox",
    op: "qk_norm_rope",
    point,
    bodies: [
      {
        sides: ["q", "k"],
        text: "q and k: rotate(norm(x))",
        expression: "rotate(norm(x))",
        stages: [
          {
            ...{
              name: "norm",
              reads: { weight: true, bias: false, eps: true },
              measures: 1,
              roundsAsModel: false,
              isSink: false,
            },
            values: { norm: "rms", weight: "plain", weightDtype: "same", bias: "", normRounding: "once" },
            parts: { scaling: "once" },
          },
          {
            ...{
              name: "rotate",
              parts: { angleSource: "table", rotation: "once" },
              measures: 0,
              roundsAsModel: false,
              isSink: false,
            },
            values: {
              ...{ rotaryDim: 64, rope: "neox", rotaryAt: "leading" },
              ...{ angles: "table", positionAxes: 1, ropeRounding: "once" },
            },
            reads: {
              ...{ positions: true, pair_axes: false, rope_table: true },
              ...{ attention_factor: true, cos_sin: false },
            },
          },
          {
            ...{ name: "out", values: { out: "same" }, reads: { out: true, out_scale: false } },
            ...{ parts: {}, measures: 0, roundsAsModel: false, isSink: true },
          },
        ],
      },
    ],
    sides: ["q", "k"],
    inputs: [
      ...["positions", "rope_table", "attention_factor", "eps"],
      ...["q.in", "q.out", "q.weight", "k.in", "k.out", "k.weight"],
    ],
    optionalInputs: [],
    inputDtypes: {},
    copiedSides: [],
    positionAxes: 1,
    pairing: { rope: "neox", rotaryDim: 64, start: 0 },
    vectorElements: 4,
    fragments: 16,
    lanesPerHead: 16,
    fragmentsPerLane: 1,
    headsPerWarp: 2,
    throughput: { lanesPerHead: 16, fragmentsPerLane: 1, headsPerWarp: 2, isStaged: true, minLoad: 4 },
    throughputHeadsPerWarp: 2,
    blockThreads: 128,
    isBySide: false,
    rotaryPairs: 32,
    pairsAtOnce: 4,
  });
});
