/** What a number becomes in FP8: `value / scale`, saturating. Shared by the stages that write. */
import type { ReferenceHead, ReferenceInputs } from "./stage.js";

/** The largest number of e4m3 (OCP FP8, 2023: E4M3 has no infinities). */
export const E4M3_MAX = 448;

/** Float32's error of a division, relative to the quotient. */
const QUOTIENT_ERROR = 1.2e-7;

/** The head divided by a scale of its own or of all heads, within e4m3's range. A scale that the call leaves out is 1. */
export function storedByScale(head: ReferenceHead, name: string, inputs: ReferenceInputs): ReferenceHead {
  const [scale = 1] = inputs.isGiven(name) ? inputs.tensor(name) : [];
  const clamped = (x: number) => Math.min(E4M3_MAX, Math.max(-E4M3_MAX, x));
  return {
    y: head.y.map((value) => clamped(value / scale)),
    error: head.error.map((error, i) => (error + QUOTIENT_ERROR * Math.abs(head.y[i] ?? 0)) / scale),
  };
}
