/**
 * Summarises a record.
 *
 * In: the rows of a record, and times of peers. Out: geometric means and worst rows, as text. Pure.
 */
import { counted } from "../diagnostics.js";
import { pointWords } from "../kernel_id.js";
import { STYLE } from "./geometry.js";
import { type Peers, peerOf } from "./peers.js";
import { type BenchRow, isSteady, kernelOf, overPlainFloor } from "./record.js";

/** Bytes of heads from which on a launch counts as large. */
const LARGE_BYTES = 8e6;

export function summarize(all: readonly BenchRow[], peers: Peers | undefined): readonly string[] {
  const rows = all.filter(isSteady);
  const isLarge = ({ tokens, q_heads, k_heads, headDim, bytes }: BenchRow) =>
    (bytes ?? 2 * tokens * (q_heads + k_heads) * headDim) >= LARGE_BYTES;
  const classes = [false, true].flatMap((pdl) =>
    [true, false].map((large) => ({
      name: `heads ${large ? "of 8 MB and more" : "of less than 8 MB"}${pdl ? ", dependent launch" : ""}`,
      of: rows.filter((row) => row.pdl === pdl && isLarge(row) === large),
    })),
  );
  return [
    ...classes.flatMap(({ name, of }) => {
      const worst = largest(of, (row) => row.over_floor);
      if (worst === undefined) return [];
      const mean = geometricMean(of.map((row) => row.over_floor)).toFixed(3);
      const plain = of.every(({ plain_floor_us }) => plain_floor_us !== undefined)
        ? `, ${geometricMean(of.map(overPlainFloor)).toFixed(3)} times a plain one`
        : "";
      return [
        `${name}: ${mean} times the floor${plain} over ${countOf(of)}, at most ${worst.over_floor.toFixed(2)} (${nameOf(worst)})`,
      ];
    }),
    ...(peers === undefined ? [] : Object.keys(peers.kernels).flatMap((name) => against(rows, peers, name))),
    ...leftOut(all.filter((row) => !isSteady(row))),
  ];
}

function against(rows: readonly BenchRow[], peers: Peers, name: string): readonly string[] {
  const ratios = rows.flatMap((row) => {
    const theirs = peerOf(peers, row)?.over_floor[name];
    return theirs === undefined ? [] : [{ row, ratio: theirs / overPlainFloor(row) }];
  });
  const styles = [...new Set(ratios.map(({ row }) => styleOf(row)))].sort();
  return styles.flatMap((style) => {
    const of = ratios.filter(({ row }) => styleOf(row) === style);
    const least = largest(of, ({ ratio }) => -ratio);
    if (least === undefined) return [];
    const mean = geometricMean(of.map(({ ratio }) => ratio)).toFixed(2);
    return [
      `${name}, ${style}: ${mean} times our ratio to the floor over ${countOf(of)}, at least ${least.ratio.toFixed(2)} (${nameOf(least.row)})`,
    ];
  });
}

function leftOut(unsteady: readonly BenchRow[]): readonly string[] {
  const worst = largest(unsteady, ({ spread = 0 }) => spread);
  if (worst === undefined) return [];
  return [
    `unsteady, and left out: ${countOf(unsteady)}, such as ${nameOf(worst)}; measure again on a quieter machine`,
  ];
}

const countOf = ({ length }: readonly unknown[]) => counted(length, "row");

const styleOf = (row: BenchRow) => pointWords(row, STYLE);

function nameOf(row: BenchRow): string {
  const { q_heads, k_heads, v_heads, tokens, memory } = row;
  return `${kernelOf(row)}, ${q_heads}/${k_heads}/${v_heads} heads, ${tokens} tokens, ${memory}`;
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function largest<T>(items: readonly T[], value: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (best, item) => (best === undefined || value(item) > value(best) ? item : best),
    undefined,
  );
}
