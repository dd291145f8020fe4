/**
 * A call with made-up data for any kernel.
 *
 * In: a kernel, counts and places of heads, and a function that gives each tensor a buffer. Out: the options of the call. It
 * follows the table of inputs, so a new input needs no edit here.
 */
import { SIDES, type Side } from "../../dsl/inputs.js";
import type { ManifestKernel } from "../../dsl/manifest.js";
import { CALL_TENSORS, SIDE_TENSORS, type Tensor } from "../../runtime/call_inputs.js";
import type { Dtype } from "../../runtime/dtype.js";
import type { CacheLayout, Heads, HeadsLayout } from "../../runtime/heads.js";
import type { DeviceBuffer } from "../../runtime/memory.js";
import type { DeviceRope, RunOptions } from "../../runtime/run_options.js";
import type { Paging } from "./paging.js";

/** The counts of a batch. */
export interface Counts {
  readonly numTokens: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  /** Default: one. v heads lie beside the others even if the kernel does not work on them. */
  readonly numVHeads?: number;
}

export function headsOf({ numQHeads, numKHeads, numVHeads = 1 }: Counts): Readonly<Record<Side, number>> {
  return { q: numQHeads, k: numKHeads, v: numVHeads };
}

/** The length of a side's tensor in elements: for one head, and in all. */
export function madeLength(
  tensor: Tensor,
  headDim: number,
  numHeads: number,
  isForEachHead: boolean,
): { readonly ofOne: number; readonly of: number } {
  const ofOne = tensor.shape.includes("head_dim") ? headDim : 1;
  return { ofOne, of: ofOne * (isForEachHead || isAlwaysForEachHead(tensor) ? numHeads : 1) };
}

/** Whether heads cannot share the tensor. */
export const isAlwaysForEachHead = ({ shape, numbers }: Tensor): boolean =>
  shape.includes("num_heads") && numbers.length === 0;

/** The sides that a kernel works on. */
export const kernelSides = ({ inputs }: ManifestKernel): readonly Side[] =>
  SIDES.filter((side) => inputs.includes(`${side}.in`));

/** The tensors of a side that a kernel reads, besides the heads. */
export function readTensors(entry: ManifestKernel, side: Side): readonly Tensor[] {
  return SIDE_TENSORS[side].filter(
    ({ name, path }) => !["in", "out", "cache"].includes(name) && entry.inputs.includes(path),
  );
}

/** The dtype of the outputs. */
export function outputDtype({ point, inputDtypes }: ManifestKernel): Dtype {
  return Object.entries(inputDtypes).some(([path, dtype]) => path.endsWith(".out") && dtype === "e4m3")
    ? "e4m3"
    : point.dtype;
}

/** Whether the outputs must lie elsewhere than the inputs. */
export const needsOutput = (entry: ManifestKernel): boolean =>
  entry.copiedSides.length > 0 || outputDtype(entry) !== entry.point.dtype;

export interface MadeCall {
  readonly counts: Counts;
  /** The heads of each side. */
  readonly in: Readonly<Record<Side, HeadsLayout>>;
  /** Default: in place. */
  readonly out?: { readonly [S in Side]?: HeadsLayout } | undefined;
  /** The caches, if the kernel writes some. */
  readonly paging?: Paging | undefined;
  /** Whether outputs are left out where there is a cache. */
  readonly isCacheOnly?: boolean | undefined;
  /** Whether tensors are left out that a call may leave out: scales. */
  readonly isWithoutScales?: boolean | undefined;
  /** Whether each head has its own inputs, even if heads could share them. */
  readonly isForEachHead: boolean;
  readonly ropeTable: DeviceRope;
  readonly eps: number;
  /** Between the positions of two axes; default: the tokens. */
  readonly axisStride?: number | undefined;
  /** Between two rows of `cos_sin`; default: their length. */
  readonly rowStride?: number | undefined;
  /** Whether the rows of `cos_sin` are those of the tokens. */
  readonly isByToken?: boolean | undefined;
  /** The buffer of a tensor. */
  readonly bufferOf: (tensor: Tensor) => DeviceBuffer;
}

/** The cache of a side. */
function cacheLayout({ paging, bufferOf }: MadeCall, side: "k" | "v", tensor: Tensor): CacheLayout {
  if (paging === undefined) throw new RangeError("the kernel writes a cache, and none was made");
  const { buffer: _, length: __, ...place } = paging[side];
  return { buffer: bufferOf(tensor), ...place };
}

/** The options that the kernel takes, and no others. */
export function madeOptions(entry: ManifestKernel, call: MadeCall): RunOptions {
  const { headDim } = entry.point;
  const isTaken = (path: string) => entry.inputs.includes(path);
  const counts = headsOf(call.counts);
  const heads = (side: Side): Heads => {
    const isGivenTensor = ({ path }: Tensor) =>
      !(call.isWithoutScales && entry.optionalInputs.includes(path));
    const given = readTensors(entry, side)
      .filter(isGivenTensor)
      .map((tensor) => {
        const buffer = call.bufferOf(tensor);
        const { ofOne } = madeLength(tensor, headDim, counts[side], call.isForEachHead);
        const headStride = call.isForEachHead ? ofOne : 0;
        return [tensor.name, tensor.numbers.length === 0 ? buffer : { buffer, headStride }];
      });
    const isLeftOut = call.isCacheOnly === true && entry.optionalInputs.includes(`${side}.out`);
    const out = isTaken(`${side}.out`) ? (isLeftOut ? null : call.out?.[side]) : undefined;
    const cache = SIDE_TENSORS[side].find(({ path, name }) => name === "cache" && isTaken(path));
    return {
      ...{ in: call.in[side], out, numHeads: counts[side] },
      ...(cache === undefined || side === "q" ? {} : { cache: cacheLayout(call, side, cache) }),
      ...Object.fromEntries(given),
    };
  };
  const isGiven = ({ path }: Tensor) =>
    isTaken(path) && path !== "rope_table" && !(path === "positions" && call.isByToken === true);
  const given = (tensor: Tensor) => {
    const buffer = call.bufferOf(tensor);
    if (tensor.path === "slots") return { buffer, blockSize: call.paging?.blockSize };
    if (tensor.path === "positions" && entry.positionAxes > 1) return { buffer, axisStride: call.axisStride };
    return tensor.path === "cos_sin" ? { buffer, rowStride: call.rowStride } : buffer;
  };
  return {
    ...Object.fromEntries(kernelSides(entry).map((side) => [side, heads(side)])),
    numTokens: call.counts.numTokens,
    ...Object.fromEntries(CALL_TENSORS.filter(isGiven).map((tensor) => [tensor.name, given(tensor)])),
    ...(isTaken("rope_table") ? { ropeTable: call.ropeTable } : {}),
    ...(isTaken("eps") ? { eps: call.eps } : {}),
  };
}
