/**
 * The call of a kernel whose data is made up: whatever inputs its op has.
 *
 * In: a kernel, how many heads there are and where they lie, and what gives a buffer for each tensor. Out: the options of the
 * call. Goes by the table of inputs, so that a new input needs nothing here.
 */
import type { Side } from "../../dsl/inputs.js";
import type { ManifestKernel, ManifestOp } from "../../dsl/manifest.js";
import { sidesOf } from "../../dsl/sides.js";
import type { DeviceRope, RunOptions } from "../../runtime/call.js";
import { CALL_TENSORS, SIDE_TENSORS, type Tensor } from "../../runtime/call_inputs.js";
import type { Heads, HeadsLayout } from "../../runtime/heads.js";
import type { DeviceBuffer } from "../../runtime/memory.js";

/** How many there are in a batch. */
export interface Counts {
  readonly numTokens: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  /** Default: one, which lies beside the others whether or not the kernel works on it. */
  readonly numVHeads?: number;
}

export function headsOf({ numQHeads, numKHeads, numVHeads = 1 }: Counts): Readonly<Record<Side, number>> {
  return { q: numQHeads, k: numKHeads, v: numVHeads };
}

/** Elements of a tensor of a side that lie behind each other: those of one head, or of each. */
export function madeLength(
  tensor: Tensor,
  headDim: number,
  numHeads: number,
  isForEachHead: boolean,
): { readonly ofOne: number; readonly of: number } {
  const ofOne = tensor.shape.includes("head_dim") ? headDim : 1;
  return { ofOne, of: ofOne * (isForEachHead || isAlwaysForEachHead(tensor) ? numHeads : 1) };
}

/** Whether heads cannot share its elements. */
export const isAlwaysForEachHead = ({ shape, strides }: Tensor): boolean =>
  shape.includes("num_heads") && strides.length === 0;

/** The tensors that a kernel reads besides the heads: of a side, and of the whole call but for the table of angles. */
export function readTensors(entry: ManifestKernel, side: Side): readonly Tensor[] {
  return SIDE_TENSORS[side].filter(
    ({ name, path }) => name !== "in" && name !== "out" && entry.inputs.includes(path),
  );
}

export interface MadeCall {
  readonly counts: Counts;
  /** Where the heads of a side lie, in its elements. */
  readonly in: Readonly<Record<Side, HeadsLayout>>;
  /** Default: in place. */
  readonly out?: Readonly<Record<Side, HeadsLayout>> | undefined;
  /** Whether each head has inputs of its own, where heads can share them. */
  readonly isForEachHead: boolean;
  readonly ropeTable: DeviceRope;
  readonly eps: number;
  /** The buffer of a tensor. */
  readonly bufferOf: (tensor: Tensor) => DeviceBuffer;
}

/** What the kernel takes, and nothing else. */
export function madeOptions(entry: ManifestKernel, op: ManifestOp, call: MadeCall): RunOptions {
  const { headDim } = entry.point;
  const counts = headsOf(call.counts);
  const heads = (side: Side): Heads => {
    const given = readTensors(entry, side).map((tensor) => {
      const buffer = call.bufferOf(tensor);
      const { ofOne } = madeLength(tensor, headDim, counts[side], call.isForEachHead);
      const headStride = call.isForEachHead ? ofOne : 0;
      return [tensor.name, tensor.strides.length === 0 ? buffer : { buffer, headStride }];
    });
    return { in: call.in[side], out: call.out?.[side], numHeads: counts[side], ...Object.fromEntries(given) };
  };
  const isTaken = (path: string) => entry.inputs.includes(path);
  const tensors = CALL_TENSORS.filter(({ path }) => isTaken(path) && path !== "rope_table");
  return {
    ...Object.fromEntries(sidesOf(op.stages).map((side) => [side, heads(side)])),
    numTokens: call.counts.numTokens,
    ...Object.fromEntries(tensors.map((tensor) => [tensor.name, call.bufferOf(tensor)])),
    ...(isTaken("rope_table") ? { ropeTable: call.ropeTable } : {}),
    ...(isTaken("eps") ? { eps: call.eps } : {}),
  };
}
