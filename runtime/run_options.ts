/** What a caller passes to run a kernel. `call` packs it. */
import type { CosSinLayout, Heads, PositionsLayout, SlotsLayout } from "./heads.js";
import type { DeviceBuffer } from "./memory.js";
import type { Stream } from "./stream.js";

/** The arguments of one call. */
export interface RunOptions {
  /** The query heads; default: none. Omit sides that the kernel does not work on. */
  readonly q?: Heads | undefined;
  /** The key heads. */
  readonly k?: Heads | undefined;
  /** The value heads. */
  readonly v?: Heads | undefined;
  /** 0 or more; with 0 nothing is launched. At most 2³⁰ when multiplied by a side's heads. */
  readonly numTokens: number;
  /**
   * `[numTokens]` or `[positionAxes, numTokens]`, int32 or int64. With a table, any value: angles are reduced exactly, and the
   * table's rounding adds |position| · 2⁻⁶⁵ turns. With `cosSin`, the index of a row; omit it if rows are those of the tokens.
   */
  readonly positions?: DeviceBuffer | PositionsLayout | undefined;
  /** `[rotaryDim / 2]`, uint8: the axis whose position turns each pair. Kernels with several position axes take it. */
  readonly pairAxes?: DeviceBuffer | undefined;
  /** The result of `library.uploadRope`. Kernels that rotate by a table take it. */
  readonly ropeTable?: DeviceRope | undefined;
  /** `[rows, rotaryDim]`: cosines, then sines. Kernels with given angles take it. */
  readonly cosSin?: DeviceBuffer | CosSinLayout | undefined;
  /**
   * `[numTokens]`, int32 or int64: the slot of each token in the caches; below 0 it is not written there.
   * Kernels that write a cache take it.
   */
  readonly slots?: SlotsLayout | undefined;
  /** Added to the mean of squares; not negative. Kernels with a norm take it. */
  readonly eps?: number | undefined;
  /** Default: the default stream. */
  readonly stream?: Stream | undefined;
  /**
   * Use programmatic dependent launch. Then no unfinished kernel since the last ordinary launch in the stream may write the
   * weights, the biases, `pairAxes` or the table.
   */
  readonly pdl?: boolean | undefined;
}

/** A RoPE table on the device. */
export interface DeviceRope {
  /** `[rotaryDim / 2]`, uint64. */
  readonly turns: DeviceBuffer;
  /** Multiplies cosine and sine; 1 without YaRN or longrope. */
  readonly attentionFactor: number;
}
