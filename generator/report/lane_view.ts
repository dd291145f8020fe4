/**
 * Where the vectors of a head lie → the view of its picture.
 *
 * In: a kernel. Out: cells with their places in an SVG, coloured by lane, and the words that describe them. Pure.
 */
import type { ManifestKernel } from "../../dsl/manifest.js";
import type { View } from "../emit/view.js";
import { type LaneVector, RULER_STEP, vectorBytes, vectorRows } from "../plan/lanes.js";

const CELL = { width: 26, height: 30, gap: 3 } as const;
const ROW_HEIGHT = 54;
const RULER_BASELINE = 11;
const CELL_TOP = 16;

/** Degrees of hue from the first lane to the last. Less than a full turn, so that the two differ. */
const HUES = 320;

export function pictureView(kernel: ManifestKernel): View {
  const { id, point, pairing, lanesPerHead, vectorElements, fragments } = kernel;
  const rows = vectorRows(kernel);
  const pitch = CELL.width + CELL.gap;
  const passing = point.headDim - (pairing?.rotaryDim ?? 0);
  return {
    id,
    width: Math.max(...rows.map((row) => row.length)) * pitch,
    height: rows.length * ROW_HEIGHT,
    summary:
      `${2 * fragments} vectors of ${vectorElements} (${vectorBytes(kernel)} bytes) over ${lanesPerHead} lanes` +
      (pairing === undefined || passing === 0
        ? ""
        : `; ${passing} of ${point.headDim} elements pass through`),
    ticks: rows.flatMap((row, i) =>
      row
        .map(({ element }, column) => ({
          text: `${element}`,
          x: column * pitch + 2,
          y: i * ROW_HEIGHT + RULER_BASELINE,
        }))
        .filter((_, column) => column % RULER_STEP === 0),
    ),
    cells: rows.flatMap((row, i) =>
      row.map((place, column) => ({
        x: column * pitch + 1,
        y: i * ROW_HEIGHT + CELL_TOP,
        hue: Math.round((HUES * place.lane) / lanesPerHead),
        lane: place.lane,
        mark: memberOf(kernel, place),
        title: titleOf(kernel, place),
        fills: fillsOf(place),
        bars: barsOf(kernel, place),
      })),
    ),
  };
}

/** The filled part of a cell: half of it if only the first of its two pairs rotates. */
function fillsOf({ rotates }: LaneVector): View[] {
  const whole = { width: CELL.width, kind: rotates === "all" ? "rotates" : "passes" };
  return rotates === "some" ? [whole, { width: CELL.width / 2, kind: "rotates bare" }] : [whole];
}

/** Interleaved: a bar for each pair of neighbours in the vector. */
function barsOf({ pairing }: ManifestKernel, { rotates }: LaneVector): View[] {
  if (pairing?.rope !== "interleaved") return [];
  return [
    { x: 4, kind: rotates === "none" ? "rests" : "turns" },
    { x: 14, kind: rotates === "all" ? "turns" : "rests" },
  ];
}

/** Whether a NeoX vector holds first or second members of pairs. */
function memberOf({ pairing }: ManifestKernel, { element, rotates }: LaneVector): string {
  if (pairing?.rope !== "neox" || rotates === "none") return "";
  return element < pairing.rotaryDim / 2 ? "a" : "b";
}

function titleOf(
  { pairing, vectorElements }: ManifestKernel,
  { element, lane, fragment, rotates }: LaneVector,
) {
  const half = (pairing?.rotaryDim ?? 0) / 2;
  const range = (start: number) =>
    vectorElements === 1 ? `${start}` : `${start} to ${start + vectorElements - 1}`;
  const what = {
    all:
      pairing?.rope === "neox"
        ? `rotates with ${range(element < half ? element + half : element - half)}`
        : "pairs of neighbours rotate",
    some: "only the first pair of neighbours rotates",
    none: "passes through",
  }[rotates];
  return `${range(element)}: lane ${lane}, fragment ${fragment}; ${what}`;
}
