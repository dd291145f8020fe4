/**
 * Runs a kernel on one made-up batch and judges all the memory that it could have written.
 *
 * In: a kernel and a batch: where its heads lie, and what is done with them. Out: how far each output is from the
 * oracle's, and whether anything else changed: what no head covers (v, gaps, guards) and inputs of out-of-place calls
 * must keep their bits.
 */
import { Accuracy } from "./accuracy.js";
import { decodingTable } from "./dtype.js";
import type { Heads, HeadsLayout } from "./heads.js";
import { type ManifestKernel, opOf, type Stage } from "./manifest.js";
import type { DeviceBuffer, ElementType, HostData } from "./memory.js";
import type { Kernel } from "./op.js";
import type { Library } from "./open_library.js";
import { angleAt, oracleHead } from "./oracle.js";
import { randomBits, randomNumbers, randomWeights } from "./random.js";
import type { RopeTable } from "./rope_table.js";

/** Where heads lie in a buffer, in elements. */
export interface Place {
  readonly offset: number;
  readonly tokenStride: number;
  readonly headStride: number;
}

/** A buffer: where the heads lie in it, and its elements. */
export interface Region {
  readonly q: Place;
  readonly k: Place;
  readonly length: number;
}

/** How many there are in a batch. */
export interface Counts {
  readonly numTokens: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
}

/** One batch for a kernel. */
export interface Batch extends Counts {
  readonly name: string;
  readonly source: Region;
  /** A buffer of its own for the result; default: in place. */
  readonly target?: Region;
  readonly positions: Int32Array | BigInt64Array;
  readonly rope: RopeTable;
  readonly eps: number;
  /** One weight for each head, instead of one for all. */
  readonly weightForEachHead?: boolean;
  /** Whether it is launched as dependent on the launch before; default: not. */
  readonly isDependent?: boolean;
  /** Tokens that the oracle judges; default all. What surrounds the heads is held against the input everywhere. */
  readonly judgeEvery?: number;
}

export interface BatchResult {
  readonly accuracy: Accuracy;
  /** Something that had to keep its bits and did not, in words; undefined where all is as it was. */
  readonly touched: string | undefined;
}

/** Rows of q, k and v heads, one for each token, with gaps behind heads and rows and guards around all of it. */
export function rowsOf(
  headDim: number,
  { numTokens, numQHeads, numKHeads }: Counts,
  { numVHeads = 1, gap = 0, guard = 0 } = {},
): Region {
  const headStride = headDim + gap;
  const tokenStride = (numQHeads + numKHeads + numVHeads) * headStride + 3 * gap;
  const q = { offset: guard, tokenStride, headStride };
  const k = { offset: guard + numQHeads * headStride, tokenStride, headStride };
  return { q, k, length: guard + numTokens * tokenStride + guard };
}

/** Heads one behind the other, each with all its tokens, and a gap behind each token of a head but the very last. */
export function headsFirst(headDim: number, { numTokens, numQHeads, numKHeads }: Counts, gap = 8): Region {
  const tokenStride = headDim + gap;
  const headStride = numTokens * tokenStride;
  const q = { offset: 0, tokenStride, headStride };
  const k = { offset: numQHeads * headStride, tokenStride, headStride };
  return { q, k, length: Math.max(0, (numQHeads + numKHeads) * headStride - gap) };
}

/** Runs one batch, on random data, and judges everything that it could have written. */
export function runBatch(
  library: Pick<Library, "manifest" | "upload" | "uploadRope" | "synchronize">,
  kernel: Kernel,
  facts: ManifestKernel,
  batch: Batch,
  seed: number,
): BatchResult {
  const { headDim, dtype } = facts.point;
  const { source, target = source } = batch;
  const isInPlace = batch.target === undefined;
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
  const turns = rope.turns.read(new BigUint64Array(rope.turns.length));
  const heads = (side: "q" | "k", numHeads: number, weight: typeof qWeight): Heads => {
    const out: HeadsLayout | undefined = output && { ...target[side], buffer: output };
    const headStride = batch.weightForEachHead ? headDim : 0;
    return { in: { ...source[side], buffer: input }, numHeads, weight: { buffer: weight, headStride }, out };
  };
  kernel.run({
    q: heads("q", batch.numQHeads, qWeight),
    k: heads("k", batch.numKHeads, kWeight),
    ...{ numTokens: batch.numTokens, positions, ropeTable: rope, eps: batch.eps, pdl: batch.isDependent },
  });
  library.synchronize();
  const after = (output ?? input).read(new Uint16Array(target.length));

  const judge = new Judge(facts, opOf(library.manifest.ops, facts).stages, batch, before, after);
  judge.heads(source.q, target.q, batch.numQHeads, weights.q);
  judge.heads(source.k, target.k, batch.numKHeads, weights.k);
  const touched =
    judge.touched(overwritten) ??
    (isInPlace ? undefined : changeOf("the input", input, before)) ??
    changeOf("the weight of q", qWeight, weights.q) ??
    changeOf("the weight of k", kWeight, weights.k) ??
    changeOf("the positions", positions, batch.positions) ??
    changeOf("the RoPE table", rope.turns, turns);
  return { accuracy: judge.accuracy, touched };
}

/** Where a buffer is not what it was, in words. */
function changeOf<T extends ElementType>(
  what: string,
  buffer: DeviceBuffer<T>,
  was: HostData[T],
): string | undefined {
  const now = buffer.read(was.slice() as HostData[T]);
  const element = now.findIndex((bits: number | bigint, i: number) => bits !== was[i]);
  return element < 0 ? undefined : `element ${element} of ${what}`;
}

/** Holds what a batch left against the oracle. */
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

  heads(from: Place, to: Place, numHeads: number, weights: Uint16Array): void {
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

  /** An element that no head covers and that is not what it was, in words. */
  touched(was: Uint16Array): string | undefined {
    const element = this.#after.findIndex((bits, i) => this.#covered[i] === 0 && bits !== was[i]);
    return element < 0 ? undefined : `element ${element} outside the heads`;
  }

  #decode(bits: Uint16Array, start: number, length: number): Float64Array {
    const numbers = new Float64Array(length);
    for (let i = 0; i < length; i++) numbers[i] = this.#numbers[bits[start + i] ?? 0] ?? Number.NaN;
    return numbers;
  }
}

function startOf(place: Place, token: number, head: number): number {
  return place.offset + token * place.tokenStride + head * place.headStride;
}
