/**
 * Runs every kernel of a library on made-up batches.
 *
 * In: an open library. Out: for each kernel the number of batches, the largest error, and whether it passes.
 */
import { SIDES } from "../../dsl/inputs.js";
import { type ManifestKernel, opOf } from "../../dsl/manifest.js";
import { type Tensor, typesOf } from "../../runtime/call_inputs.js";
import type { DeviceBuffer, ElementType } from "../../runtime/memory.js";
import type { Kernel, LaunchInfo } from "../../runtime/op.js";
import type { Library } from "../../runtime/open_library.js";
import { REL_ERROR_MIN_ELEMENTS } from "./accuracy.js";
import { runBatch } from "./batch.js";
import { batchesFor, branchesOf, countsOf, type Shape, unseenBranches } from "./batches.js";
import { exactBatches } from "./exact_batches.js";
import { rowsOf } from "./made_batch.js";
import { headsOf, madeLength, madeOptions, needsOutput, outputDtype } from "./made_call.js";
import { pagingOf } from "./paging.js";

export interface KernelResult {
  readonly id: string;
  readonly cases: number;
  readonly maxError: number;
  readonly relError: number;
  readonly pass: boolean;
  /** The failures in words; empty if it passes. */
  readonly failures: readonly string[];
}

export async function verifyLibrary(
  library: Library,
  onKernel: (result: KernelResult) => void = () => {},
): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  for (const entry of library.manifest.kernels) {
    const kernel = await library.kernel({ ...entry.point, op: entry.op });
    const result = verifyKernel(library, kernel, entry);
    results.push(result);
    onKernel(result);
  }
  return results;
}

function verifyKernel(library: Library, kernel: Kernel, entry: ManifestKernel): KernelResult {
  const pooled = { maxError: 0, relError: 0 };
  let overLimit = 0;
  const failures: string[] = [];
  const branches =
    library.target === "cuda"
      ? branchesOf(entry, elementsMax(library), (shape, tokens) =>
          launchOf(library, kernel, entry, shape, tokens),
        )
      : [];
  if (library.target === "cuda") failures.push(...unseenBranches(entry, branches));
  const batches = batchesFor(entry, branches);
  batches.forEach((batch, seed) => {
    const { accuracy, touched } = runBatch(library, kernel, entry, batch, seed + 1);
    pooled.maxError = Math.max(pooled.maxError, accuracy.maxError);
    if (accuracy.elements >= REL_ERROR_MIN_ELEMENTS) {
      pooled.relError = Math.max(pooled.relError, accuracy.relError);
      overLimit = Math.max(overLimit, accuracy.relErrorOverLimit);
    }
    if (!(accuracy.maxError <= 1))
      failures.push(`${batch.name}: error ${accuracy.maxError} times what is allowed`);
    if (touched !== undefined) failures.push(`${batch.name}: ${touched} was written`);
  });
  if (!(overLimit <= 1)) failures.push(`relative error ${overLimit} times the limit`);
  const exact = exactBatches(entry, opOf(library.manifest.ops, entry));
  exact.forEach((batch, seed) => {
    const { differing } = runBatch(library, kernel, entry, batch, seed + 1).accuracy;
    if (differing > 0) failures.push(`${batch.name}: ${differing} elements are not the reference's`);
  });
  return {
    id: kernel.id,
    cases: batches.length + exact.length,
    ...pooled,
    pass: failures.length === 0,
    failures,
  };
}

/** The most elements of a batch. Their bytes are twice the L2 cache, so the largest batches run in slices. */
const elementsMax = ({ devices }: Library) => Math.max(2 ** 24, ...devices.map(({ l2Bytes }) => l2Bytes));
/** Dispatch's decision. It reads nothing, so addresses need no memory. */
function launchOf(
  library: Library,
  kernel: Kernel,
  entry: ManifestKernel,
  shape: Shape,
  numTokens: number,
): LaunchInfo {
  const { headDim, dtype } = entry.point;
  const counts = countsOf(shape, numTokens);
  const region = rowsOf(headDim, counts);
  const paging = pagingOf(entry, counts);
  const isForEachHead = shape.weightForEachHead ?? false;
  const borrowed: DeviceBuffer[] = [];
  const borrow = (type: ElementType, length: number) => {
    const address = 2n ** 46n + BigInt(borrowed.length) * 2n ** 40n;
    const buffer = library.borrow(type, { address, length });
    borrowed.push(buffer);
    return buffer;
  };
  const buffer = borrow(dtype, region.length);
  const ofSide = (numHeads: number) => (tensor: Tensor) =>
    madeLength(tensor, headDim, numHeads, isForEachHead).of;
  const most = ofSide(Math.max(...Object.values(headsOf(counts))));
  const layouts = (of: DeviceBuffer) =>
    Object.fromEntries(SIDES.map((side) => [side, { ...region[side], buffer: of }])) as never;
  const elsewhere = outputDtype(entry);
  const rotaryDim = entry.pairing?.rotaryDim ?? 0;
  const lengths = new Map([
    ["positions", entry.positionAxes * numTokens],
    ["pair_axes", rotaryDim / 2],
    ["cos_sin", numTokens * rotaryDim],
    ["slots", numTokens],
    ["k.cache", paging?.k.length ?? 0],
    ["v.cache", paging?.v.length ?? 0],
  ]);
  const options = madeOptions(entry, {
    ...{ counts, isForEachHead, eps: 1e-6 },
    in: layouts(buffer),
    out: needsOutput(entry) ? layouts(borrow(elsewhere, region.length)) : undefined,
    paging,
    ropeTable: {
      turns: borrow("uint64", Math.max(1, rotaryDim / 2)),
      attentionFactor: 1,
    },
    bufferOf: (tensor) => borrow(typesOf(entry, tensor)[0], lengths.get(tensor.path) ?? most(tensor)),
  });
  try {
    return kernel.launchInfo(options);
  } finally {
    for (const buffer of borrowed) buffer.free();
  }
}
