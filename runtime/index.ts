/** `normrope/runtime`: open a built library and dispatch to its kernels. */

export type { BuiltManifest, ConfigPoint, PointQuery, Target } from "../dsl/manifest.js";
export { type Dtype, decode, encode, encodeAll } from "./dtype.js";
export { type ErrorCode, NormropeError } from "./errors.js";
export {
  type CacheLayout,
  type CosSinLayout,
  type Heads,
  type HeadsLayout,
  type PositionsLayout,
  packedHeads,
  type SlotsLayout,
  type WeightLayout,
} from "./heads.js";
export type { DeviceBuffer, ElementType, HostData, RawMemory } from "./memory.js";
export type { Kernel, LaunchInfo, PreparedCall } from "./op.js";
export { type OpenOptions, open } from "./open.js";
export { type DeviceInfo, Library } from "./open_library.js";
export { type PairAxesOptions, pairAxes } from "./pair_axes.js";
export type { RopeScaling, Scaling, ScalingType } from "./rope_scalings.js";
export { type RopeParameters, type RopeTable, ropeTable, tableOf } from "./rope_table.js";
export type { DeviceRope, RunOptions } from "./run_options.js";
export type { Event, Stream } from "./stream.js";
export type { Support } from "./support.js";
