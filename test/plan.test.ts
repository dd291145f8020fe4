/** Every legal geometry, modelled straight from the fragment formulas that `plan` documents. */
import { describe, expect, it } from "vitest";
import type { ConfigPoint, KernelPlan, Layout } from "../generator/ir.js";
import { readShippedOp } from "../generator/op_file.js";
import { compile } from "../generator/pipeline.js";
import { idleLanes, plan } from "../generator/plan/plan.js";
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
  if (fragmentsPerLane > 1 && lanesPerHead < WARP_LANES && (fragmentsPerLane !== 3 || vectorElements > 2))
    return "lanes loop where more lanes are free";
  if (lanesPerHead > 1 && lanesPerHead / 2 >= fragments) return "half of the lanes are empty";
  if (lanesPerHead * headsPerWarp !== WARP_LANES) return `${headsPerWarp} heads do not fill the warp`;

  const { throughput } = planned;
  if (throughput.lanesPerHead * throughput.fragmentsPerLane < fragments)
    return `${fragments} fragments do not fit the throughput layout`;
  if (idleLanes(throughput, fragments) > idleLanes(planned, fragments))
    return "the throughput layout leaves more lanes idle";
  if (throughput.headsPerWarp !== Math.floor(WARP_LANES / throughput.lanesPerHead))
    return "throughput heads do not fill the warp";
  const leaves = ({ lanesPerHead }: Layout) => 2 ** Math.ceil(Math.log2(lanesPerHead));
  if (leaves(throughput) !== lanesPerHead || throughput.fragmentsPerLane !== fragmentsPerLane)
    return "the layouts add in different orders";
  if (fragmentsPerLane > 1 && throughput.lanesPerHead !== lanesPerHead)
    return "a lane's fragments are not next to each other in the sum";

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
    ROPES.map((rope) => plan(op, { headDim: 128, rotaryDim, rope, dtype: "bf16" }).vectorElements);
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
  [40, 4, 8, { lanesPerHead: 5, fragmentsPerLane: 1, headsPerWarp: 6 }],
  [48, 2, 4, { lanesPerHead: 4, fragmentsPerLane: 3, headsPerWarp: 8 }],
  [64, 4, 8, { lanesPerHead: 8, fragmentsPerLane: 1, headsPerWarp: 4 }],
  [72, 4, 16, { lanesPerHead: 9, fragmentsPerLane: 1, headsPerWarp: 3 }],
  [80, 4, 16, { lanesPerHead: 10, fragmentsPerLane: 1, headsPerWarp: 3 }],
  [88, 2, 8, { lanesPerHead: 8, fragmentsPerLane: 3, headsPerWarp: 4 }],
  [96, 2, 8, { lanesPerHead: 8, fragmentsPerLane: 3, headsPerWarp: 4 }],
  [112, 4, 16, { lanesPerHead: 16, fragmentsPerLane: 1, headsPerWarp: 2 }],
  [160, 2, 16, { lanesPerHead: 16, fragmentsPerLane: 3, headsPerWarp: 2 }],
  [192, 2, 16, { lanesPerHead: 16, fragmentsPerLane: 3, headsPerWarp: 2 }],
  [320, 2, 32, { lanesPerHead: 32, fragmentsPerLane: 3, headsPerWarp: 1 }],
  [512, 4, 32, { lanesPerHead: 32, fragmentsPerLane: 2, headsPerWarp: 1 }],
  [1024, 4, 32, { lanesPerHead: 32, fragmentsPerLane: 4, headsPerWarp: 1, minBlocks: 4 }],
])(
  "gives head_dim %d vectors of %d elements, %d lanes for few tokens, and for many those that leave the fewest idle",
  (headDim, vectorElements, latencyLanes, throughput) => {
    for (const rope of ROPES) {
      const planned = plan(op, { headDim, rotaryDim: headDim, rope, dtype: "bf16" });
      expect([planned.vectorElements, planned.lanesPerHead]).toEqual([vectorElements, latencyLanes]);
      expect(planned.throughput).toEqual({ minBlocks: undefined, ...throughput });
    }
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
    throughput: { lanesPerHead: 16, fragmentsPerLane: 1, headsPerWarp: 2 },
    throughputHeadsPerWarp: 2,
    blockThreads: 128,
    isBySide: false,
    rotaryPairs: 32,
    pairsAtOnce: 4,
  });
});
