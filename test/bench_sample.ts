/** A benchmark record for the tests of what reads and draws one. */
import type { BenchRecord, BenchRow } from "../generator/bench/record.js";

const TOKENS = [1, 16, 256, 4096, 16384];

/** Two geometries, each in `TOKENS` sizes and four ways of running. */
export function benchRecord(): BenchRecord & { rows: [BenchRow, ...BenchRow[]] } {
  const row = (changed: Partial<BenchRow>): BenchRow => {
    const { tokens = 1, memory = "warm", pdl = false } = changed;
    const floor = (pdl ? 0.8 : 1.1) + tokens * (memory === "warm" ? 0.004 : 0.007);
    const ratio = 1.06 + 0.3 / (1 + tokens / 400);
    return {
      ...{ rope: "neox", headDim: 128, rotaryDim: 128, dtype: "bf16", q_heads: 32, k_heads: 8, v_heads: 8 },
      ...{
        tokens,
        memory,
        pdl,
        us: floor * ratio,
        floor_us: floor,
        empty_us: 0.7,
        over_floor: ratio,
        gbps: 1,
      },
      ...changed,
    };
  };
  const geometries = [{}, { rope: "interleaved", headDim: 128, rotaryDim: 64 } as const];
  const rows = geometries.flatMap((geometry) =>
    (["warm", "cold"] as const).flatMap((memory) =>
      [false, true].flatMap((pdl) => TOKENS.map((tokens) => row({ ...geometry, memory, pdl, tokens }))),
    ),
  );
  const facts = { device: "NVIDIA H100 80GB HBM3", driver: "580.159", toolkit: "13.0", commit: "0123abc" };
  return {
    ...facts,
    date: "2026-11-22",
    method: "median of 7 replays",
    rows: [row({ tokens: 64 }), ...rows],
  };
}
