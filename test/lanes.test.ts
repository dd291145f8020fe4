/** Where the vectors of a head lie, from the pairs that the rope styles define; and what the pictures look like. */
import { describe, expect, it } from "vitest";
import { type ManifestKernel, manifestSchema } from "../dsl/manifest.js";
import type { ConfigPoint } from "../generator/ir.js";
import { readShippedOp } from "../generator/op_file.js";
import { compile, emit } from "../generator/pipeline.js";
import { type LaneVector, lanePicture, laneVectors, vectorRows } from "../generator/plan/lanes.js";
import { plan } from "../generator/plan/plan.js";
import { CONFIG_FILES } from "./helpers.js";

const op = readShippedOp();
const pictureOf = (point: Omit<ConfigPoint, "dtype">) => lanePicture(plan(op, { ...point, dtype: "bf16" }));

/** The pairs that rotate, by definition. */
function pairsOf(point: ConfigPoint): [number, number][] {
  const { rotaryDim = point.headDim, rope } = point;
  const start = startOf(point);
  return Array.from({ length: rotaryDim / 2 }, (_, i) =>
    rope === "neox" ? [start + i, start + i + rotaryDim / 2] : [start + 2 * i, start + 2 * i + 1],
  );
}

/** The first element that rotates. */
const startOf = ({ headDim, rotaryDim = headDim, rotaryAt }: ConfigPoint) =>
  rotaryAt === "trailing" ? headDim - rotaryDim : 0;

/** The first thing wrong with the places of a kernel's vectors. */
function problemOf(kernel: ManifestKernel): string | undefined {
  const { point, vectorElements, fragments, lanesPerHead, fragmentsPerLane } = kernel;
  const places = laneVectors(kernel);
  const holder: LaneVector[] = [];
  for (const place of places) {
    if (place.element !== holder.length) return `${place.element} comes where ${holder.length} should`;
    for (let i = 0; i < vectorElements; ++i) holder.push(place);
  }
  if (holder.length !== point.headDim) return `${holder.length} elements`;
  for (const [a, b] of pairsOf(point)) {
    const [first, second] = [holder[a], holder[b]];
    if (first?.fragment !== second?.fragment || first?.lane !== second?.lane)
      return `${a} and ${b} are apart`;
  }
  for (const { element, lane, fragment, rotates } of places) {
    if (lane >= lanesPerHead || fragment >= fragments) return `lane ${lane}, fragment ${fragment}`;
    const start = startOf(point);
    const end = start + (kernel.pairing?.rotaryDim ?? 0);
    const rotating = Array.from({ length: vectorElements }, (_, i) => element + i).filter(
      (each) => each >= start && each < end,
    ).length;
    const expected = rotating === vectorElements ? "all" : rotating > 0 ? "some" : "none";
    if (rotates !== expected) return `${element} rotates: ${rotates}`;
    if (places.filter((other) => other.fragment === fragment).length !== 2)
      return `fragment ${fragment} is not two vectors`;
  }
  const fragmentsOf = (lane: number) =>
    new Set(places.filter((at) => at.lane === lane).map(({ fragment }) => fragment));
  for (let lane = 0; lane < lanesPerHead; ++lane) {
    if (fragmentsOf(lane).size > fragmentsPerLane)
      return `lane ${lane} has ${fragmentsOf(lane).size} fragments`;
  }
  return undefined;
}

describe("the vectors of a head", () => {
  it.each(["neox", "interleaved"] as const)(
    "%s: are each element once, and hold pairs in one lane and fragment",
    (rope) => {
      const problems: string[] = [];
      for (let headDim = 16; headDim <= 1024; headDim += headDim < 144 ? 8 : 176) {
        const step = headDim < 144 ? 2 : 26;
        for (let rotaryDim = 2; rotaryDim <= headDim; rotaryDim += step) {
          const kernel = plan(op, { headDim, rotaryDim, rope, dtype: "bf16" });
          const problem = problemOf(kernel);
          if (problem !== undefined) problems.push(`${kernel.id}: ${problem}`);
        }
      }
      expect(problems.slice(0, 5)).toEqual([]);
    },
  );

  it.each(CONFIG_FILES)("are the same from a plan of %s as from the manifest", (path) => {
    const compilation = compile(path);
    const text = emit(compilation).find((file) => file.path === "manifest.json")?.text ?? "";
    const { kernels } = manifestSchema.parse(JSON.parse(text));
    expect(kernels.map(problemOf)).toEqual(kernels.map(() => undefined));
    expect(kernels.map(laneVectors)).toEqual(compilation.plans.map(laneVectors));
  });

  it.each(CONFIG_FILES)("of %s fill rows in their order, at most 32 in each", (path) => {
    for (const planned of compile(path).plans) {
      const rows = vectorRows(planned);
      expect(rows.flat()).toEqual(laneVectors(planned));
      expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(32);
    }
  });
});

describe("a picture", () => {
  it("of neox has the members of a pair in one column", () => {
    expect(
      `\n${pictureOf({ headDim: 128, rotaryDim: 128, rope: "neox" }).join("\n")}`,
    ).toMatchInlineSnapshot(`
      "
      elem 0           16          32          48
      lane 0  1  2  3  4  5  6  7  8  9  10 11 12 13 14 15
      pair a  a  a  a  a  a  a  a  a  a  a  a  a  a  a  a

      elem 64          80          96          112
      lane 0  1  2  3  4  5  6  7  8  9  10 11 12 13 14 15
      pair b  b  b  b  b  b  b  b  b  b  b  b  b  b  b  b

      a cell is 4 elements; the a at e rotates with the b at e + 64, in the same lane"
    `);
  });

  it("of partial neox shows what passes through", () => {
    expect(`\n${pictureOf({ headDim: 128, rotaryDim: 64, rope: "neox" }).join("\n")}`).toMatchInlineSnapshot(`
      "
      elem 0           16          32          48
      lane 0  1  2  3  4  5  6  7  0  1  2  3  4  5  6  7
      pair a  a  a  a  a  a  a  a  b  b  b  b  b  b  b  b

      elem 64          80          96          112
      lane 8  9  10 11 12 13 14 15 8  9  10 11 12 13 14 15
      pair .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .

      a cell is 4 elements; the a at e rotates with the b at e + 32, in the same lane; . passes through"
    `);
  });

  it("of interleaved has both members of a pair in a vector", () => {
    expect(
      `\n${pictureOf({ headDim: 80, rotaryDim: 80, rope: "interleaved" }).join("\n")}`,
    ).toMatchInlineSnapshot(`
      "
      elem 0           16          32
      lane 0  1  2  3  4  5  6  7  8  9
      pair == == == == == == == == == ==

      elem 40          56          72
      lane 0  1  2  3  4  5  6  7  8  9
      pair == == == == == == == == == ==

      a cell is 4 elements; = is a pair of neighbours that rotates"
    `);
  });

  it("marks a vector of which only a half rotates", () => {
    const [, , marks] = pictureOf({ headDim: 16, rotaryDim: 6, rope: "interleaved" });
    expect(marks).toBe("pair == =.");
  });

  it.each(CONFIG_FILES)("of a kernel of %s fits 100 columns", (path) => {
    const lines = compile(path).plans.flatMap(lanePicture);
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
  });
});
