/**
 * The axis whose position turns each pair, for kernels with several positions a token.
 *
 * In: how many pairs each axis turns, and how models arrange them. Out: one byte a pair. Pure.
 */
import { invalidArgument, requireFields, requireObject } from "./errors.js";

/** How pairs are shared out among axes, as configs of models say it. */
export interface PairAxesOptions {
  /** The pairs of each axis, such as `mrope_section`: one to four numbers, whose sum is the pairs that rotate. */
  readonly sections: readonly number[];
  /**
   * `sectioned` (default): the pairs of axis 0, then those of axis 1, and so on, as in Qwen2-VL, axial and 2-D RoPE.
   * `interleaved`: pair j turns by axis j % n as long as j < n * sections[j % n], and by axis 0 beyond, as in Qwen3-VL.
   */
  readonly layout?: "sectioned" | "interleaved" | undefined;
}

/** The most axes of a kernel. */
const AXES_MAX = 4;
/** The most pairs of a head. */
const PAIRS_MAX = 512;

/**
 * The axis of each pair that rotates, for `library.upload("uint8", …)` and a call's `pairAxes`.
 * @throws NormropeError `invalid-argument`.
 */
export function pairAxes(options: PairAxesOptions): Uint8Array {
  requireObject("options", options);
  requireFields("options", options, ["sections", "layout"]);
  const { sections, layout = "sectioned" } = options;
  const isCount = (n: unknown) => typeof n === "number" && Number.isInteger(n) && n >= 0 && n <= PAIRS_MAX;
  if (
    !Array.isArray(sections) ||
    sections.length < 1 ||
    sections.length > AXES_MAX ||
    !sections.every(isCount)
  ) {
    throw invalidArgument("sections", sections, "one to four whole numbers from 0 to 512");
  }
  const pairs = sections.reduce((sum, own) => sum + own, 0);
  if (pairs < 1 || pairs > PAIRS_MAX) {
    throw invalidArgument("sections", sections, "whole numbers with a sum from 1 to 512");
  }
  if (layout !== "sectioned" && layout !== "interleaved") {
    throw invalidArgument("layout", layout, "one of sectioned, interleaved");
  }
  if (layout === "sectioned")
    return Uint8Array.from(sections.flatMap((pairs, axis) => Array(pairs).fill(axis)));
  const axes = sections.length;
  return Uint8Array.from({ length: pairs }, (_, j) => (j < axes * (sections[j % axes] ?? 0) ? j % axes : 0));
}
