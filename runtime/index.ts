/** `normrope/runtime`: open a built library and dispatch to its kernels. */
export { type Dtype, decode, encode, encodeAll } from "./dtype.js";
export { type ErrorCode, NormropeError } from "./errors.js";
export type { BuiltManifest, ConfigPoint, PointQuery, Target } from "./manifest.js";
export type { DeviceBuffer, ElementType, Event, HostData, Stream } from "./memory.js";
export {
  type DeviceRope,
  type Heads,
  type HeadsLayout,
  type Kernel,
  packedHeads,
  type RunOptions,
} from "./op.js";
export { type DeviceInfo, Library, type OpenOptions, open, type Support } from "./open.js";
export type { RopeScaling } from "./rope_scaling.js";
export { type RopeParameters, type RopeTable, ropeTable, tableOf } from "./rope_table.js";
