/**
 * The batches on which a kernel that rounds as a model's code does must have the bits of its reference.
 *
 * In: a kernel and its op. Out: batches of small integers, whose sums are exact in any order; none for other kernels. Pure.
 */
import type { ManifestKernel, ManifestOp } from "../../dsl/manifest.js";
import { stageNamed, stagesAt, valuesOf } from "../../dsl/sides.js";
import { ropeTable } from "../../runtime/rope_table.js";
import { type Batch, rowsOf } from "./made_batch.js";
import { needsOutput } from "./made_call.js";
import { pagingOf } from "./paging.js";

const COUNTS = { numTokens: 41, numQHeads: 5, numKHeads: 3, numVHeads: 2 };

export function exactBatches(entry: ManifestKernel, op: ManifestOp): Batch[] {
  const sides = Object.values(stagesAt(op.stages, entry.point)).map((calls) =>
    (calls ?? []).map((call) => {
      const { measures, roundsAsModel, isSink = false } = stageNamed(call.name);
      const values = valuesOf(call, entry.point) as never;
      return {
        measures: (measures?.(values) ?? 0) > 0,
        rounds: isSink || (roundsAsModel?.(values) ?? false),
        isSink,
      };
    }),
  );
  // A stage that rounds once leaves numbers between those of 16 bits, so the last float32 bit shows.
  if (sides.flat().every(({ isSink }) => isSink) || !sides.flat().every(({ rounds }) => rounds)) return [];
  // What a norm leaves has no exact sum, and what a rotation leaves only by quarter turns.
  if (sides.some((stages) => stages.filter(({ measures }) => measures).length > 1)) return [];
  const isMeasuredFirst = sides.every((stages) => stages.slice(1).every(({ measures }) => !measures));
  const kinds = isMeasuredFirst
    ? (["integers", "eighth turns", "quarter turns"] as const)
    : (["quarter turns"] as const);
  const source = rowsOf(entry.point.headDim, COUNTS);
  return kinds.map((exact) => ({
    ...{ name: `${exact}, bit for bit`, ...COUNTS, source, exact, eps: 1e-6 },
    rope: ropeTable({ base: 10_000, rotaryDim: entry.pairing?.rotaryDim ?? 2 }),
    positions: Int32Array.from(
      { length: entry.positionAxes * COUNTS.numTokens },
      (_, i) => i % COUNTS.numTokens,
    ),
    ...(needsOutput(entry) ? { target: source } : {}),
    paging: pagingOf(entry, COUNTS),
  }));
}
