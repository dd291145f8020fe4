/**
 * Where each vector of a head lies: which lane of the warp holds it, in which fragment, and whether it rotates.
 *
 * In: a plan, or a kernel of a manifest. Out: the vectors in memory order, and a picture of them in text. Pure. It follows the
 * emitted kernel, whose lane l holds fragments l, l + lanesPerHead, and so on.
 */
import { FORMATS } from "../../dsl/dtypes.js";
import { SIDES, type Side } from "../../dsl/inputs.js";
import type { ManifestKernel } from "../../dsl/manifest.js";
import type { Pairing } from "../../dsl/sides.js";
import { vectorsOf } from "./plan.js";

/** One vector of a head: one memory access of a lane. */
export interface LaneVector {
  /** The vector's first element. */
  readonly element: number;
  readonly lane: number;
  /** The index of its fragment in the head. Both members of a pair are in one fragment. */
  readonly fragment: number;
  /** `some`: an interleaved vector across the end of the rotated elements. */
  readonly rotates: "all" | "some" | "none";
}

/** The vectors of a head, in memory order. */
export function laneVectors({
  point,
  pairing,
  fragments,
  lanesPerHead,
  vectorElements,
}: ManifestKernel): readonly LaneVector[] {
  const { rotaryDim = 0, start = 0 } = pairing ?? {};
  const end = start + rotaryDim;
  const vector = (element: number, fragment: number): LaneVector => ({
    element,
    lane: fragment % lanesPerHead,
    fragment,
    rotates:
      element >= start && element + vectorElements <= end
        ? "all"
        : element + vectorElements > start && element < end
          ? "some"
          : "none",
  });
  return Array.from({ length: fragments }, (_, fragment) => fragment)
    .flatMap((fragment) =>
      vectorsOf(fragment, vectorElements, point.headDim, pairing).map((element) => vector(element, fragment)),
    )
    .sort((a, b) => a.element - b.element);
}

/** A row of a picture holds at most as many vectors as a warp has lanes. */
const ROW_VECTORS_MAX = 32;

/** The vectors in rows for a picture. A row is half a head, so that elements half a head apart share a column. */
export function vectorRows(kernel: ManifestKernel): readonly (readonly LaneVector[])[] {
  const vectors = laneVectors(kernel);
  const length = Math.ceil(kernel.fragments / Math.ceil(kernel.fragments / ROW_VECTORS_MAX));
  return Array.from({ length: Math.ceil(vectors.length / length) }, (_, row) =>
    vectors.slice(row * length, (row + 1) * length),
  );
}

/** Vectors between two numbers of the picture's ruler. */
export const RULER_STEP = 4;

/** The vectors of a head as lines of text, at most 100 columns wide; the last line says how to read them. */
export function lanePicture(kernel: ManifestKernel): readonly string[] {
  const { point, pairing, vectorElements } = kernel;
  const rows = vectorRows(kernel).flatMap((row) => [
    line(
      "elem",
      row.map(({ element }, i) => (i % RULER_STEP === 0 ? `${element}` : "")),
    ),
    line(
      "lane",
      row.map(({ lane }) => `${lane}`),
    ),
    ...(pairing === undefined
      ? []
      : [
          line(
            "pair",
            row.map((vector) => pairMark(pairing, vector)),
          ),
        ]),
    "",
  ]);
  const cell = `a cell is ${vectorElements === 1 ? "one element" : `${vectorElements} elements`}`;
  if (pairing === undefined) return [...rows, `${cell}; nothing rotates`];
  const rotation =
    pairing.rope === "neox"
      ? `the a at e rotates with the b at e + ${pairing.rotaryDim / 2}, in the same lane`
      : "= is a pair of neighbours that rotates";
  const rest = pairing.rotaryDim < point.headDim ? "; . passes through" : "";
  return [...rows, `${cell}; ${rotation}${rest}`];
}

/** A label and cells of three columns. A number of the ruler may extend over the empty cells after it. */
function line(label: string, cells: readonly string[]): string {
  const place = (text: string, cell: string, i: number) => text.padEnd(5 + 3 * i) + cell;
  return cells.reduce(place, label).trimEnd();
}

/** NeoX: the first or the second members of pairs. Interleaved: a mark for each half of the vector. */
function pairMark({ rope, rotaryDim, start }: Pairing, { element, rotates }: LaneVector): string {
  if (rope === "neox") return rotates === "none" ? "." : element < start + rotaryDim / 2 ? "a" : "b";
  if (rotates === "some") return start > element ? ".=" : "=.";
  return rotates === "all" ? "==" : "..";
}

export function vectorBytes({ point, vectorElements }: ManifestKernel): number {
  return FORMATS[point.dtype].bytes * vectorElements;
}

/** Bytes that are read and written for one head of each side. Where there is a cache, an output that a call may leave out is left out. */
export function bytesPerHead({ inputs, inputDtypes, point }: ManifestKernel): {
  readonly [S in Side]?: number;
} {
  const bytesOf = (path: string) => FORMATS[inputDtypes[path] === "e4m3" ? "e4m3" : point.dtype].bytes;
  const sides = SIDES.filter((side) => inputs.includes(`${side}.in`));
  return Object.fromEntries(
    sides.map((side) => {
      const stored = inputs.includes(`${side}.cache`) ? `${side}.cache` : `${side}.out`;
      return [side, point.headDim * (bytesOf(`${side}.in`) + bytesOf(stored))];
    }),
  );
}
