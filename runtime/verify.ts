/**
 * Runs kernels on made-up batches and holds every byte of the memory around them against the oracle.
 *
 * In: an open library. Out: for each kernel how many batches ran, the largest error, and whether it passes. Outputs are
 * judged by `accuracy`; whatever no head covers (v, padding, guards, inputs of out-of-place calls) must keep its bits.
 */

import { Accuracy, REL_ERROR_LIMIT, REL_ERROR_MIN_ELEMENTS } from "./accuracy.js";
import { decodingTable } from "./dtype.js";
import type { Heads, HeadsLayout } from "./heads.js";
import type { ManifestKernel, Stage } from "./manifest.js";
import type { Kernel } from "./op.js";
import type { Library } from "./open.js";
import { angleAt, oracleHead } from "./oracle.js";
import { randomBits, randomNumbers, randomWeights } from "./random.js";
import { type RopeTable, ropeTable } from "./rope_table.js";

/** Where a batch's heads lie in its buffer, in elements. */
interface Layout {
  readonly offset: number;
  readonly tokenStride: number;
  readonly headStride: number;
}

/** One batch for a kernel. */
export interface Batch {
  readonly name: string;
  readonly numTokens: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  /** Heads behind q and k in a row, which must keep their bits; default 1, none for `separate`. */
  readonly numVHeads?: number;
  /** `packed`: rows of q, k and v heads, in place. `strided`: gaps between heads and rows. `separate`: out of place, from rows of heads to heads of tokens. */
  readonly layout: "packed" | "strided" | "separate";
  readonly positions: Int32Array | BigInt64Array;
  readonly rope: RopeTable;
  readonly eps: number;
  /** One weight for each head, instead of one for all. */
  readonly weightForEachHead?: boolean;
  /** Tokens that the oracle judges; default all. What surrounds the heads is held against the input everywhere. */
  readonly judgeEvery?: number;
}

export interface BatchResult {
  readonly accuracy: Accuracy;
  /** Index of the first element outside the heads that changed, or -1. */
  readonly firstTouched: number;
}

export interface KernelResult {
  readonly id: string;
  readonly cases: number;
  readonly maxError: number;
  readonly relError: number;
  readonly pass: boolean;
  /** What failed, in words; empty where it passes. */
  readonly failures: readonly string[];
}

/**
 * Elements before, between and after what a batch in place covers; they must keep their bits. Out of place there are
 * none: there a tool that watches memory sees an access beyond the buffer.
 */
const GUARD = 64;

/** Positions at which peers of this op were wrong, and the ends of the range. */
export const VERIFY_POSITIONS = [0, 1, 4095, 131071, 1_000_000, 2 ** 31 - 1, -1, -4095, -(2 ** 31)] as const;

export async function verifyLibrary(
  library: Library,
  onKernel: (result: KernelResult) => void = () => {},
): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  const isGpu = library.target === "cuda";
  const multiprocessors = isGpu ? Math.max(...library.devices.map((device) => device.multiprocessors)) : 0;
  for (const facts of library.manifest.kernels) {
    const kernel = await library.kernel(facts.point);
    const result = verifyKernel(library, kernel, facts, multiprocessors);
    results.push(result);
    onKernel(result);
  }
  return results;
}

function verifyKernel(
  library: Library,
  kernel: Kernel,
  facts: ManifestKernel,
  multiprocessors: number,
): KernelResult {
  const { dtype } = facts.point;
  const pooled = { maxError: 0, relError: 0 };
  const failures: string[] = [];
  const batches = batchesFor(facts, multiprocessors);
  batches.forEach((batch, seed) => {
    const { accuracy, firstTouched } = runBatch(library, kernel, facts, batch, seed + 1);
    pooled.maxError = Math.max(pooled.maxError, accuracy.maxError);
    if (accuracy.elements >= REL_ERROR_MIN_ELEMENTS)
      pooled.relError = Math.max(pooled.relError, accuracy.relError);
    if (!(accuracy.maxError <= 1))
      failures.push(`${batch.name}: error ${accuracy.maxError} times what is allowed`);
    if (firstTouched >= 0)
      failures.push(`${batch.name}: element ${firstTouched} outside the heads was written`);
  });
  if (!(pooled.relError <= REL_ERROR_LIMIT[dtype])) failures.push(`relative error ${pooled.relError}`);
  return { id: kernel.id, cases: batches.length, ...pooled, pass: failures.length === 0, failures };
}

/**
 * The batches that every kernel is run on. A GPU gets further ones that fill its multiprocessors, most of them many
 * times over; 0 for a CPU.
 */
export function batchesFor({ point, headsPerWarp }: ManifestKernel, multiprocessors: number): Batch[] {
  const { headDim, rotaryDim } = point;
  const plain = ropeTable({ base: 10_000, rotaryDim });
  const yarn = ropeTable({
    base: 1_000_000,
    rotaryDim,
    scaling: { type: "yarn", factor: 4, originalMaxPosition: 32_768 },
  });
  const cycle = (numTokens: number) =>
    Int32Array.from({ length: numTokens }, (_, i) => VERIFY_POSITIONS[i % VERIFY_POSITIONS.length] ?? 0);
  const wide = (numTokens: number) =>
    BigInt64Array.from({ length: numTokens }, (_, i) => {
      const position = BigInt(VERIFY_POSITIONS[i % VERIFY_POSITIONS.length] ?? 0);
      return i % 4 === 3 ? position * 1009n : position;
    });
  const many = Math.ceil(REL_ERROR_MIN_ELEMENTS / (5 * headDim));
  const batch = (
    name: string,
    numTokens: number,
    numQHeads: number,
    numKHeads: number,
    rest: Partial<Batch>,
  ) => ({
    ...{ name, numTokens, numQHeads, numKHeads, layout: "packed" as const },
    ...{ positions: cycle(numTokens), rope: plain, eps: 1e-6, ...rest },
  });
  const batches: Batch[] = [
    batch("packed", many, 3, 2, {}),
    batch("strided, YaRN, int64 positions", 37, 5, 1, { layout: "strided", positions: wide(37), rope: yarn }),
    batch("out of place", 13, 2, 7, { layout: "separate", rope: yarn, eps: 1e-5 }),
    batch("a weight for each head, a large eps", 9, 5, 3, { weightForEachHead: true, eps: 0.3 }),
    batch("no k heads", 7, 3, 0, {}),
    batch("no q heads", 7, 0, 3, { layout: "separate" }),
    batch("one token", 1, 32, 8, { rope: yarn }),
    batch("no tokens", 0, 3, 2, {}),
  ];
  if (multiprocessors > 0) {
    // With 9 groups of q and of k heads each, so that warps take two groups in a row, and four; a kernel with a second
    // layout, for many tokens, takes that here, and the first again for the few heads of the last batch.
    const heads = 9 * headsPerWarp - (headsPerWarp > 1 ? 1 : 0);
    const filling = (name: string, tokensEach: number, k: number, rest: Partial<Batch>, q = heads) => {
      const numTokens = Math.ceil(tokensEach * multiprocessors);
      const judgeEvery = Math.max(1, Math.floor(numTokens / 43));
      return batch(name, numTokens, q, k, { positions: cycle(numTokens), judgeEvery, ...rest });
    };
    batches.push(
      filling("middling", 4.5, heads, {}),
      filling("large", 68.1, heads, {}),
      filling("large, strided, with a weight for each head, YaRN and int64 positions", 11.3, heads, {
        ...{ layout: "strided", weightForEachHead: true, rope: yarn },
        positions: wide(Math.ceil(11.3 * multiprocessors)),
      }),
      filling("large, out of place, no k heads", 13.6, 0, { layout: "separate" }),
      filling("many tokens of few heads", 151.5, 1, {}, 3),
    );
  }
  return batches;
}

/** Runs one batch, on random data, and judges everything that it could have written. */
export function runBatch(
  library: Library,
  kernel: Kernel,
  facts: ManifestKernel,
  batch: Batch,
  seed: number,
): BatchResult {
  const { headDim, dtype } = facts.point;
  const isInPlace = batch.layout !== "separate";
  const source = rowsOf(headDim, batch, isInPlace ? GUARD : 0);
  const target = isInPlace ? source : headsFirst(headDim, batch);
  const random = randomNumbers(seed);
  const before = randomBits(dtype, source.length, random);
  const overwritten = isInPlace ? before : randomBits(dtype, target.length, random);
  const weights = {
    q: randomWeights(dtype, headDim * (batch.weightForEachHead ? batch.numQHeads : 1), random),
    k: randomWeights(dtype, headDim * (batch.weightForEachHead ? batch.numKHeads : 1), random),
  };

  using input = library.upload(dtype, before);
  using output = isInPlace ? undefined : library.upload(dtype, overwritten);
  using qWeight = library.upload(dtype, weights.q);
  using kWeight = library.upload(dtype, weights.k);
  using positions =
    batch.positions instanceof Int32Array
      ? library.upload("int32", batch.positions)
      : library.upload("int64", batch.positions);
  using rope = library.uploadRope(batch.rope);
  const heads = (side: "q" | "k", numHeads: number, weight: typeof qWeight): Heads => {
    const out: HeadsLayout | undefined = output && { ...target[side], buffer: output };
    const weightHeadStride = batch.weightForEachHead ? headDim : 0;
    return { ...source[side], buffer: input, numHeads, weight, weightHeadStride, out };
  };
  kernel.run({
    q: heads("q", batch.numQHeads, qWeight),
    k: heads("k", batch.numKHeads, kWeight),
    ...{ numTokens: batch.numTokens, positions, rope, eps: batch.eps },
  });
  library.synchronize();
  const after = (output ?? input).read(new Uint16Array(target.length));

  const judge = new Judge(facts, library.manifest.op.stages, batch, before, after);
  judge.heads(source.q, target.q, batch.numQHeads, weights.q);
  judge.heads(source.k, target.k, batch.numKHeads, weights.k);
  let firstTouched = judge.firstTouched(overwritten);
  if (!isInPlace && firstTouched < 0) {
    const inputAfter = input.read(new Uint16Array(source.length));
    firstTouched = inputAfter.findIndex((bits, i) => bits !== before[i]);
  }
  return { accuracy: judge.accuracy, firstTouched };
}

class Judge {
  readonly accuracy: Accuracy;
  readonly #facts: ManifestKernel;
  readonly #stages: readonly Stage[];
  readonly #batch: Batch;
  readonly #before: Uint16Array;
  readonly #after: Uint16Array;
  readonly #covered: Uint8Array;
  readonly #numbers: Float64Array;

  constructor(
    facts: ManifestKernel,
    stages: readonly Stage[],
    batch: Batch,
    before: Uint16Array,
    after: Uint16Array,
  ) {
    this.accuracy = new Accuracy(facts.point.dtype);
    this.#facts = facts;
    this.#stages = stages;
    this.#batch = batch;
    this.#before = before;
    this.#after = after;
    this.#covered = new Uint8Array(after.length);
    this.#numbers = decodingTable(facts.point.dtype);
  }

  heads(from: Layout, to: Layout, numHeads: number, weights: Uint16Array): void {
    const { headDim } = this.#facts.point;
    const { numTokens, positions, rope, eps, judgeEvery = 1 } = this.#batch;
    for (let token = 0; token < numTokens; token++) {
      const judged = token % judgeEvery === 0 || token === numTokens - 1;
      const angle = judged
        ? angleAt(rope.invFreq, Number(positions[token] ?? 0), rope.attentionFactor)
        : undefined;
      for (let head = 0; head < numHeads; head++) {
        const [source, target] = [startOf(from, token, head), startOf(to, token, head)];
        this.#covered.fill(1, target, target + headDim);
        if (angle === undefined) continue;
        const weightStart = this.#batch.weightForEachHead ? head * headDim : 0;
        const weight = this.#decode(weights, weightStart, headDim);
        const x = this.#decode(this.#before, source, headDim);
        const exact = oracleHead(this.#stages, this.#facts.point, x, { weight, eps, angle });
        this.accuracy.addHead(this.#decode(this.#after, target, headDim), exact);
      }
    }
  }

  /** The first element that no head covers and that is not what it was. */
  firstTouched(was: Uint16Array): number {
    return this.#after.findIndex((bits, i) => this.#covered[i] === 0 && bits !== was[i]);
  }

  #decode(bits: Uint16Array, start: number, length: number): Float64Array {
    return Float64Array.from({ length }, (_, i) => this.#numbers[bits[start + i] ?? 0] ?? Number.NaN);
  }
}

function startOf(layout: Layout, token: number, head: number): number {
  return layout.offset + token * layout.tokenStride + head * layout.headStride;
}

/** A buffer of a batch: where its heads lie, and its elements. */
interface Region {
  readonly q: Layout;
  readonly k: Layout;
  readonly length: number;
}

/** Tokens one behind the other, each with its q, k and v heads. */
function rowsOf(headDim: number, batch: Batch, guard: number): Region {
  const { numTokens, numQHeads, numKHeads, layout, numVHeads = layout === "separate" ? 0 : 1 } = batch;
  const gap = layout === "strided" ? 8 : 0;
  const headStride = headDim + gap;
  const tokenStride = (numQHeads + numKHeads + numVHeads) * headStride + 3 * gap;
  const q: Layout = { offset: guard, tokenStride, headStride };
  const k: Layout = { offset: guard + numQHeads * headStride, tokenStride, headStride };
  return { q, k, length: guard + numTokens * tokenStride + guard };
}

/** Heads one behind the other, each with all its tokens and a gap behind all but the last. */
function headsFirst(headDim: number, { numTokens, numQHeads, numKHeads }: Batch): Region {
  const gap = 8;
  const tokenStride = headDim + gap;
  const headStride = numTokens * tokenStride;
  const q: Layout = { offset: 0, tokenStride, headStride };
  const k: Layout = { offset: numQHeads * headStride, tokenStride, headStride };
  return { q, k, length: Math.max(0, (numQHeads + numKHeads) * headStride - gap) };
}
