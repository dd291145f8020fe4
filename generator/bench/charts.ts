/**
 * The charts of a benchmark record: for each geometry, time and ratio to the floor against tokens.
 *
 * In: the rows of a record, and times of peers. Out: charts for `chart` to draw. Pure.
 */
import { qkNormRope } from "../../dsl/qk_norm_rope.op.js";
import { pointWords, spelledPoint } from "../kernel_id.js";
import type { Chart, Point, Series } from "./chart.js";
import { GEOMETRY, LEADING } from "./geometry.js";
import { type PeerRow, type Peers, peerOf } from "./peers.js";
import { type BenchRow, isSteady, kernelOf, overPlainFloor } from "./record.js";

export interface GeometryCharts {
  /** The geometry's name, also for the file. */
  readonly id: string;
  readonly title: string;
  readonly time: Chart;
  readonly ratio: Chart;
}

/**
 * Charts in the order of the record's geometries, without unsteady rows. Beside peers, rows with dependent launch are omitted,
 * since peers were measured without it.
 */
export function benchCharts(rows: readonly BenchRow[], peers?: Peers): readonly GeometryCharts[] {
  const shown = rows.filter((row) => isSteady(row) && (peers === undefined || !row.pdl));
  return [...groupBy(shown, idOf)].map(([id, of]) => {
    const title = titleOf(of);
    const common = {
      subtitle: title,
      xLabel: "tokens",
      referenceName: "floor: loads and stores of the same bytes",
    };
    return {
      id,
      title,
      time: {
        ...common,
        title: "Time",
        yLabel: "microseconds",
        y: "log",
        series: [
          ...seriesOf(of, ({ us }) => us).map((series, i) => ({
            ...series,
            reference: seriesOf(of, ({ floor_us }) => floor_us)[i]?.points,
          })),
          ...peerSeries(of, peers, ({ us }) => us),
        ],
      },
      ratio: {
        ...common,
        title: "Time over the floor",
        yLabel: "time over floor",
        y: "linear",
        referenceY: 1,
        series: [
          ...seriesOf(of, peers === undefined ? ({ over_floor }) => over_floor : overPlainFloor),
          ...peerSeries(of, peers, ({ over_floor }) => over_floor),
        ],
      },
    };
  });
}

/** The op of a row, as in ids; empty for the op that ships. */
function opOf(row: BenchRow): string {
  const [op = ""] = kernelOf(row).split("__");
  return op === qkNormRope.name ? "" : op;
}

function idOf(row: BenchRow): string {
  const { q_heads, k_heads, v_heads } = row;
  const op = opOf(row);
  return `${op === "" ? "" : `${op}__`}${spelledPoint(row, GEOMETRY)}_h${q_heads}-${k_heads}-${v_heads}`;
}

function titleOf([row]: readonly BenchRow[]): string {
  if (row === undefined) return "";
  const { q_heads, k_heads, v_heads } = row;
  const op = opOf(row);
  return `${op === "" ? "" : `${op}, `}${pointWords(row, GEOMETRY)}, ${q_heads}/${k_heads}/${v_heads} heads`;
}

/** A line for each way in which the kernel was run. */
function seriesOf(rows: readonly BenchRow[], value: (row: BenchRow) => number): readonly Series[] {
  const nameOf = (row: BenchRow) =>
    `normrope ${spelledPoint(row, LEADING)}, ${row.memory}${row.pdl ? ", dependent launch" : ""}`;
  return [...groupBy(rows, nameOf)].map(([name, of]) => ({
    name,
    points: of.map((row): Point => ({ x: row.tokens, y: value(row) })).sort((a, b) => a.x - b.x),
  }));
}

/** A line for each peer, of its warm times: the cold ones would fill the chart and say the same. */
function peerSeries(
  rows: readonly BenchRow[],
  peers: Peers | undefined,
  value: (row: PeerRow) => Readonly<Record<string, number>>,
): readonly Series[] {
  if (peers === undefined) return [];
  const warm = rows.filter(({ memory }) => memory === "warm");
  return Object.keys(peers.kernels).flatMap((name) => {
    const points = warm.flatMap((row): Point[] => {
      const peer = peerOf(peers, row);
      const y = peer === undefined ? undefined : value(peer)[name];
      return y === undefined ? [] : [{ x: row.tokens, y }];
    });
    return points.length === 0 ? [] : [{ name, points: points.sort((a, b) => a.x - b.x) }];
  });
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}
