/**
 * Runs a kernel on one made-up batch and judges all the memory that it could have written.
 *
 * In: a kernel and a batch. Out: the accuracy of the outputs, and whether anything else changed: inputs, and memory that no head
 * covers (other sides, gaps, guards), must keep their bits.
 */
import { SIDES, type Side } from "../../dsl/inputs.js";
import { type ManifestKernel, type ManifestOp, opOf } from "../../dsl/manifest.js";
import { stagesAt } from "../../dsl/sides.js";
import type { ReferenceInputs } from "../../dsl/stage.js";
import { CALL_TENSORS, type Tensor } from "../../runtime/call_inputs.js";
import { decodingTable, encode, ulp } from "../../runtime/dtype.js";
import type { DeviceBuffer, ElementType, HostData } from "../../runtime/memory.js";
import type { Kernel } from "../../runtime/op.js";
import type { Library } from "../../runtime/open_library.js";
import type { RopeTable } from "../../runtime/rope_table.js";
import { Accuracy } from "./accuracy.js";
import { type Counts, headsOf, kernelSides, madeLength, madeOptions, readTensors } from "./made_call.js";
import { oracleHead } from "./oracle.js";
import { mirroredIntegers, randomBits, randomFloats, randomNumbers, randomWeights } from "./random.js";

/** Where heads lie in a buffer, in elements. */
export interface StridedHeads {
  readonly offset: number;
  readonly tokenStride: number;
  readonly headStride: number;
}

/** A buffer: its heads, and its length in elements. */
export interface Region extends Readonly<Record<Side, StridedHeads>> {
  readonly length: number;
}

interface CosSinRows {
  readonly rows: number;
  readonly rowStride: number;
  readonly isByToken: boolean;
}

function cosSinOf({ cosSin, numTokens }: Batch, { pairing, optionalInputs }: ManifestKernel): CosSinRows {
  const isByToken = optionalInputs.includes("positions");
  return cosSin ?? { rows: Math.max(1, numTokens), rowStride: pairing?.rotaryDim ?? 0, isByToken };
}

/** One batch for a kernel. Inputs that the kernel does not take are not passed. */
export interface Batch extends Counts {
  readonly name: string;
  readonly source: Region;
  /** Another buffer for the result; default: in place. */
  readonly target?: Region;
  /** `[positionAxes, axisStride]`; the first `numTokens` of each axis count. */
  readonly positions: Int32Array | BigInt64Array;
  /** Default: the tokens. */
  readonly axisStride?: number;
  /** Rows of `cos_sin`, and elements from one to the next. Positions are below their number. Default: a row for each token. */
  readonly cosSin?: CosSinRows;
  readonly rope: RopeTable;
  readonly eps: number;
  /** Whether each head has its own weight, and its own of every input that heads can share. */
  readonly weightForEachHead?: boolean;
  /** Whether it is a dependent launch; default: no. */
  readonly isDependent?: boolean;
  /**
   * Heads of small integers whose sum and sum of squares are exact in any order; with `quarter turns` also behind a rotation, as
   * cosines and sines are 0, 1 or -1. Default: random numbers.
   */
  readonly exact?: "integers" | "quarter turns";
  /** The oracle judges every n-th token; default: all. Memory around the heads is always compared. */
  readonly judgeEvery?: number;
}

export interface BatchResult {
  readonly accuracy: Accuracy;
  /** Something that changed and must not, in words; undefined if nothing did. */
  readonly touched: string | undefined;
}

/** Rows of q, k and v heads, one for each token, with gaps behind heads and rows and guards around all of it. */
export function rowsOf(headDim: number, counts: Counts, { gap = 0, guard = 0 } = {}): Region {
  const { q, k, v } = headsOf(counts);
  const headStride = headDim + gap;
  const tokenStride = (q + k + v) * headStride + 3 * gap;
  const from = (head: number) => ({ offset: guard + head * headStride, tokenStride, headStride });
  return { q: from(0), k: from(q), v: from(q + k), length: guard + counts.numTokens * tokenStride + guard };
}

/** Heads one after the other, each with all its tokens, with gaps between tokens. */
export function headsFirst(headDim: number, counts: Counts): Region {
  const gap = 8;
  const { q, k, v } = headsOf(counts);
  const tokenStride = headDim + gap;
  const headStride = counts.numTokens * tokenStride;
  const from = (head: number) => ({ offset: head * headStride, tokenStride, headStride });
  return { q: from(0), k: from(q), v: from(q + k), length: Math.max(0, (q + k + v) * headStride - gap) };
}

/** A made-up tensor, and the content that it must keep. */
interface Made {
  readonly what: string;
  readonly buffer: DeviceBuffer;
  readonly was: HostData[ElementType];
}

/** Runs one batch on random data, and judges all memory that it could have written. */
export function runBatch(
  library: Pick<Library, "manifest" | "upload" | "uploadRope" | "synchronize">,
  kernel: Kernel,
  entry: ManifestKernel,
  batch: Batch,
  seed: number,
): BatchResult {
  const { dtype } = entry.point;
  const { source, target = source } = batch;
  const isInPlace = batch.target === undefined;
  const cosSin = cosSinOf(batch, entry);
  const random = randomNumbers(seed);
  const before =
    batch.exact === undefined
      ? randomBits(dtype, source.length, random)
      : mirroredIntegers(dtype, source.length, entry.point.headDim, random);
  const overwritten = isInPlace ? before : randomBits(dtype, target.length, random);
  const op = opOf(library.manifest.ops, entry);

  using input = library.upload(dtype, before);
  using output = isInPlace ? undefined : library.upload(dtype, overwritten);
  using rope = library.uploadRope(batch.rope);
  const made = new Map<string, Made>();
  try {
    for (const [tensor, type, was] of madeTensors(entry, batch, random)) {
      made.set(tensor.path, { what: tensor.field, buffer: library.upload(type, was), was });
    }
    const turns = rope.turns.read(new BigUint64Array(rope.turns.length));
    const layouts = (region: Region, buffer: DeviceBuffer) =>
      Object.fromEntries(SIDES.map((side) => [side, { ...region[side], buffer }])) as never;
    const options = madeOptions(entry, {
      ...{ axisStride: batch.axisStride, rowStride: cosSin.rowStride, isByToken: cosSin.isByToken },
      counts: batch,
      in: layouts(source, input),
      out: output === undefined ? undefined : layouts(target, output),
      isForEachHead: batch.weightForEachHead ?? false,
      ropeTable: rope,
      eps: batch.eps,
      bufferOf: ({ path }) => (made.get(path) as Made).buffer,
    });
    kernel.run({ ...options, pdl: batch.isDependent });
    library.synchronize();
    const after = (output ?? input).read(new Uint16Array(target.length));

    const judge = new Judge(entry, op, batch, { before, after, made });
    for (const side of kernelSides(entry)) judge.heads(side, source[side], target[side]);
    const touched =
      judge.touched(overwritten) ??
      (isInPlace ? undefined : changeOf("the input", input, before)) ??
      [...made.values()].map(({ what, buffer, was }) => changeOf(what, buffer, was)).find((found) => found) ??
      changeOf("the RoPE table", rope.turns, turns);
    return { accuracy: judge.accuracy, touched };
  } finally {
    for (const { buffer } of made.values()) buffer.free();
  }
}

/** Makes up every tensor that the kernel reads besides heads and angles. */
function* madeTensors(
  entry: ManifestKernel,
  batch: Batch,
  random: () => number,
): Generator<readonly [Tensor, ElementType, HostData[ElementType]]> {
  const { headDim, dtype } = entry.point;
  const { positions, numTokens, weightForEachHead = false } = batch;
  const cosSin = cosSinOf(batch, entry);
  const pairs = (entry.pairing?.rotaryDim ?? 0) / 2;
  const made = (tensor: Tensor, length: number): readonly [Tensor, ElementType, HostData[ElementType]] => {
    if (tensor.path === "cos_sin" && batch.exact === "quarter turns")
      return quarterTurns(tensor, length, entry, cosSin.rowStride, random);
    const isSigned = ["cos_sin", "bias"].includes(tensor.path.replace(/^.\./, ""));
    if (entry.float32Inputs.includes(tensor.path))
      return [tensor, "float32", randomFloats(length, random, isSigned)];
    switch (tensor.dtype) {
      case "kernel":
        return [tensor, dtype, randomWeights(dtype, length, random, isSigned)];
      case "uint8":
        return [tensor, "uint8", Uint8Array.from({ length }, () => random() * entry.positionAxes)];
      case "float32":
        return [tensor, "float32", randomFloats(length, random)];
      case "position":
        return [tensor, positions instanceof Int32Array ? "int32" : "int64", positions];
      case "uint64":
        throw new RangeError(`${tensor.path}: nothing is made up of uint64 but the RoPE table`);
      default:
        return tensor.dtype satisfies never;
    }
  };
  for (const side of kernelSides(entry)) {
    for (const tensor of readTensors(entry, side)) {
      yield made(tensor, madeLength(tensor, headDim, headsOf(batch)[side], weightForEachHead).of);
    }
  }
  for (const tensor of CALL_TENSORS) {
    if (!entry.inputs.includes(tensor.path) || tensor.path === "rope_table") continue;
    const lengths = new Map([
      ["pair_axes", pairs],
      ["cos_sin", (cosSin.rows - 1) * cosSin.rowStride + 2 * pairs],
    ]);
    yield made(tensor, lengths.get(tensor.path) ?? numTokens);
  }
}

/** Rows of cosines, then sines, of quarter turns. */
function quarterTurns(
  tensor: Tensor,
  length: number,
  { point, pairing, float32Inputs }: ManifestKernel,
  rowStride: number,
  random: () => number,
): readonly [Tensor, ElementType, HostData[ElementType]] {
  const pairs = (pairing?.rotaryDim ?? 0) / 2;
  const numbers = new Float32Array(length);
  for (let row = 0; row + 2 * pairs <= length; row += rowStride) {
    for (let pair = 0; pair < pairs; pair++) {
      const turns = Math.floor(4 * random());
      numbers[row + pair] = [1, 0, -1, 0][turns] ?? 0;
      numbers[row + pairs + pair] = [0, 1, 0, -1][turns] ?? 0;
    }
  }
  if (float32Inputs.includes(tensor.path)) return [tensor, "float32", numbers];
  return [tensor, point.dtype, Uint16Array.from(numbers, (number) => encode(point.dtype, number))];
}

/** The first change of a buffer, in words. */
function changeOf(what: string, buffer: DeviceBuffer, was: HostData[ElementType]): string | undefined {
  const now = buffer.read(was.slice() as never) as HostData[ElementType];
  const element = now.findIndex((bits: number | bigint, i: number) => bits !== was[i]);
  return element < 0 ? undefined : `element ${element} of ${what}`;
}

interface Data {
  readonly before: Uint16Array;
  readonly after: Uint16Array;
  readonly made: ReadonlyMap<string, Made>;
}

/** Judges the memory that a batch left. */
class Judge {
  readonly accuracy: Accuracy;
  readonly #entry: ManifestKernel;
  readonly #op: ManifestOp;
  readonly #batch: Batch;
  readonly #data: Data;
  readonly #covered: Uint8Array;
  readonly #numbers: Float64Array;

  constructor(entry: ManifestKernel, op: ManifestOp, batch: Batch, data: Data) {
    this.accuracy = new Accuracy(entry.point.dtype);
    this.#entry = entry;
    this.#op = op;
    this.#batch = batch;
    this.#data = data;
    this.#covered = new Uint8Array(data.after.length);
    this.#numbers = decodingTable(entry.point.dtype);
  }

  heads(side: Side, from: StridedHeads, to: StridedHeads): void {
    const { point } = this.#entry;
    const { numTokens, judgeEvery = 1 } = this.#batch;
    const numHeads = headsOf(this.#batch)[side];
    const stages = stagesAt(this.#op.stages, point)[side] ?? [];
    const inputsOf = this.#inputsOf(side, numHeads);
    for (let token = 0; token < numTokens; token++) {
      const isJudged = token % judgeEvery === 0 || token === numTokens - 1;
      for (let head = 0; head < numHeads; head++) {
        const [source, target] = [startOf(from, token, head), startOf(to, token, head)];
        this.#covered.fill(1, target, target + point.headDim);
        if (!isJudged) continue;
        const x = this.#decode(this.#data.before, source, point.headDim);
        const exact = oracleHead(stages, point, x, inputsOf(token, head));
        this.accuracy.addHead(this.#decode(this.#data.after, target, point.headDim), exact);
      }
    }
  }

  /** The inputs of one head of one token, for the references. */
  #inputsOf(side: Side, numHeads: number): (token: number, head: number) => ReferenceInputs {
    const { headDim, dtype } = this.#entry.point;
    const { rope, eps, positions, weightForEachHead = false } = this.#batch;
    const numbers = new Map([
      ["eps", eps],
      ["attention_factor", rope.attentionFactor],
    ]);
    const elementsOf = new Map<string, (token: number, head: number) => Float64Array>();
    elementsOf.set("rope_table", () => rope.invFreq);
    const { positionAxes, pairing } = this.#entry;
    const { numTokens, axisStride = numTokens } = this.#batch;
    const cosSin = cosSinOf(this.#batch, this.#entry);
    const positionsOf = (token: number) =>
      Float64Array.from({ length: positionAxes }, (_, axis) => Number(positions[axis * axisStride + token]));
    elementsOf.set("positions", positionsOf);
    const pairAxes = this.#data.made.get("pair_axes");
    if (pairAxes !== undefined) elementsOf.set("pair_axes", () => Float64Array.from(pairAxes.was, Number));
    const cosSins = this.#data.made.get("cos_sin");
    if (cosSins !== undefined) {
      const row = (index: number) =>
        this.#elements(cosSins.was, index * cosSin.rowStride, pairing?.rotaryDim ?? 0);
      elementsOf.set("cos_sin", (token) =>
        Float64Array.from(
          (cosSin.isByToken ? [token] : [...positionsOf(token)]).flatMap((at) => [...row(at)]),
        ),
      );
    }
    for (const tensor of readTensors(this.#entry, side)) {
      const { was } = this.#data.made.get(tensor.path) as Made;
      const { ofOne, of } = madeLength(tensor, headDim, numHeads, weightForEachHead);
      const name = tensor.path.slice(side.length + 1);
      elementsOf.set(name, (_, head) => {
        return this.#elements(was, of > ofOne ? head * ofOne : 0, ofOne);
      });
    }
    const found = <T>(name: string, value: T | undefined): T => {
      if (value === undefined)
        throw new RangeError(`a reference reads ${name}, which the kernel is not given`);
      return value;
    };
    return (token, head) => ({
      tensor: (name) => found(name, elementsOf.get(name))(token, head),
      number: (name) => found(name, numbers.get(name)),
      rounded: (x) => this.#numbers[encode(dtype, x)] ?? Number.NaN,
      ulp: (x) => ulp(dtype, x),
    });
  }

  #elements(of: HostData[ElementType], start: number, length: number): Float64Array {
    if (of instanceof Uint16Array) return this.#decode(of, start, length);
    return Float64Array.from(of.subarray(start, start + length), Number);
  }

  /** A changed element that no head covers, in words. */
  touched(was: Uint16Array): string | undefined {
    const element = this.#data.after.findIndex((bits, i) => this.#covered[i] === 0 && bits !== was[i]);
    return element < 0 ? undefined : `element ${element} outside the heads`;
  }

  #decode(bits: Uint16Array, start: number, length: number): Float64Array {
    const numbers = new Float64Array(length);
    for (let i = 0; i < length; i++) numbers[i] = this.#numbers[bits[start + i] ?? 0] ?? Number.NaN;
    return numbers;
  }
}

function startOf({ offset, tokenStride, headStride }: StridedHeads, token: number, head: number): number {
  return offset + token * tokenStride + head * headStride;
}
