/** The frequencies of RoPE and of its scalings, from their definitions: nothing of it is the sources' own. */
import { expect } from "vitest";
import type { RopeTable } from "../runtime/index.js";

export const each = <T>(pairs: number, of: (i: number) => T) =>
  Array.from({ length: pairs }, (_, i) => of(i));
export const frequency = (base: number, dim: number) => (i: number) => 1 / base ** ((2 * i) / dim);

/** Weight of the divided frequency at index i, between two indices. */
const between = (i: number, low: number, high: number) => Math.min(Math.max((i - low) / (high - low), 0), 1);

export function yarn(base: number, dim: number, factor: number, low: number, high: number): number[] {
  return each(dim / 2, (i) => {
    const [whole, share] = [frequency(base, dim)(i), between(i, low, high)];
    return whole * (1 - share) + (whole / factor) * share;
  });
}

export function llama3(
  base: number,
  dim: number,
  factor: number,
  ends: [number, number],
  original: number,
): number[] {
  return each(dim / 2, (i) => {
    const whole = frequency(base, dim)(i);
    const turns = (original * whole) / (2 * Math.PI);
    if (turns > ends[1]) return whole;
    if (turns < ends[0]) return whole / factor;
    const share = (turns - ends[0]) / (ends[1] - ends[0]);
    return whole * share + (whole / factor) * (1 - share);
  });
}

/** Holds a table against frequencies, in radians per position. */
export function expectTable(
  table: RopeTable | undefined,
  frequencies: readonly number[],
  attentionFactor = 1,
): void {
  if (table === undefined) throw new Error("there is no table");
  expect(table.rotaryDim).toBe(2 * frequencies.length);
  frequencies.forEach((frequency, i) => {
    expect(Math.abs((table.invFreq[i] ?? 0) - frequency), `${i}`).toBeLessThanOrEqual(1e-13 * frequency);
  });
  expect(table.attentionFactor).toBeCloseTo(attentionFactor, 12);
}
