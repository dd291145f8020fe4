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
import { decodingTable, encode, ulp } from "../../runtime/dtype.js";
import type { DeviceBuffer, ElementType, HostData } from "../../runtime/memory.js";
import type { Kernel } from "../../runtime/op.js";
import type { Library } from "../../runtime/open_library.js";
import { Accuracy } from "./accuracy.js";
import { type Batch, cosSinOf, madeTensors, type Region, type StridedHeads } from "./made_batch.js";
import { headsOf, kernelSides, madeLength, madeOptions, readTensors } from "./made_call.js";
import { oracleHead } from "./oracle.js";
import { mirroredIntegers, randomBits, randomNumbers } from "./random.js";

export interface BatchResult {
  readonly accuracy: Accuracy;
  /** Something that changed and must not, in words; undefined if nothing did. */
  readonly touched: string | undefined;
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
