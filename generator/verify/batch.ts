/**
 * Runs a kernel on one made-up batch and judges all the memory that it could have written.
 *
 * In: a kernel and a batch. Out: the accuracy of the outputs, and whether anything else changed: inputs, and memory that no head
 * covers (other sides, gaps, guards), must keep their bits.
 */
import { SIDES, type Side } from "../../dsl/inputs.js";
import { type ManifestKernel, type ManifestOp, opOf } from "../../dsl/manifest.js";
import { type StageCall, stageNamed, stagesAt } from "../../dsl/sides.js";
import type { ReferenceInputs } from "../../dsl/stage.js";
import { type Dtype, decodingTable, encode, type Patterns, ulp } from "../../runtime/dtype.js";
import type { DeviceBuffer, ElementType, HostData } from "../../runtime/memory.js";
import type { Kernel } from "../../runtime/op.js";
import type { Library } from "../../runtime/open_library.js";
import { Accuracy } from "./accuracy.js";
import { type Batch, cosSinOf, madeTensors, type Region, type StridedHeads } from "./made_batch.js";
import { headsOf, kernelSides, madeLength, madeOptions, outputDtype, readTensors } from "./made_call.js";
import { oracleHead } from "./oracle.js";
import { mirroredIntegers, randomBits, randomNumbers } from "./random.js";
import { cacheMemories, decoded, Written } from "./written.js";

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
  const { source, target = source, paging } = batch;
  const isInPlace = batch.target === undefined;
  const cosSin = cosSinOf(batch, entry);
  const random = randomNumbers(seed);
  const before =
    batch.exact === undefined
      ? randomBits(dtype, source.length, random)
      : mirroredIntegers(dtype, source.length, entry.point.headDim, random);
  const op = opOf(library.manifest.ops, entry);

  using input = library.upload(dtype, before);
  using rope = library.uploadRope(batch.rope);
  const made = new Map<string, Made>();
  const written: Written[] = [];
  const writable = (what: string, type: Dtype, bits: Patterns, buffer?: DeviceBuffer) => {
    const memory = new Written(what, type, buffer ?? library.upload(type, bits as never), bits);
    written.push(memory);
    return memory;
  };
  try {
    const outputs = isInPlace
      ? writable("the heads", dtype, before, input)
      : writable("the heads", outputDtype(entry), randomBits(outputDtype(entry), target.length, random));
    for (const [tensor, type, was] of madeTensors(entry, batch, random)) {
      made.set(tensor.path, { what: tensor.field, buffer: library.upload(type, was), was });
    }
    const caches = cacheMemories(entry, batch, (what, type, length) =>
      writable(what, type, randomBits(type, length, random)),
    );
    const turns = rope.turns.read(new BigUint64Array(rope.turns.length));
    const layouts = (region: Region, buffer: DeviceBuffer) =>
      Object.fromEntries(SIDES.map((side) => [side, { ...region[side], buffer }])) as never;
    const options = madeOptions(entry, {
      ...{ axisStride: batch.axisStride, rowStride: cosSin.rowStride, isByToken: cosSin.isByToken },
      ...{ paging, isCacheOnly: batch.isCacheOnly, isWithoutScales: batch.isWithoutScales },
      counts: batch,
      in: layouts(source, input),
      out: isInPlace ? undefined : layouts(target, outputs.buffer),
      isForEachHead: batch.weightForEachHead ?? false,
      ropeTable: rope,
      eps: batch.eps,
      bufferOf: ({ path }) => (caches.get(path) ?? (made.get(path) as Made)).buffer,
    });
    kernel.run({ ...options, pdl: batch.isDependent });
    library.synchronize();
    for (const memory of written) memory.read();

    const judge = new Judge(entry, op, batch, { before, outputs, caches, made });
    for (const side of kernelSides(entry)) judge.heads(side, source[side], target[side]);
    const touched =
      written.map((memory) => memory.touched()).find((found) => found) ??
      (isInPlace ? undefined : changeOf("the input", input, before)) ??
      [...made.values()].map(({ what, buffer, was }) => changeOf(what, buffer, was)).find((found) => found) ??
      changeOf("the RoPE table", rope.turns, turns);
    return { accuracy: judge.accuracy, touched };
  } finally {
    for (const { buffer } of [...made.values(), ...written]) if (buffer !== input) buffer.free();
  }
}

/** The first change of a buffer, in words. */
function changeOf(what: string, buffer: DeviceBuffer, was: HostData[ElementType]): string | undefined {
  const now = buffer.read(was.slice() as never) as HostData[ElementType];
  const element = now.findIndex((bits: number | bigint, i: number) => bits !== was[i]);
  return element < 0 ? undefined : `element ${element} of ${what}`;
}

interface Data {
  readonly before: Patterns;
  readonly outputs: Written;
  readonly caches: ReadonlyMap<string, Written>;
  readonly made: ReadonlyMap<string, Made>;
}

/** Judges the memory that a batch left. */
class Judge {
  readonly accuracy: Accuracy;
  readonly #entry: ManifestKernel;
  readonly #op: ManifestOp;
  readonly #batch: Batch;
  readonly #data: Data;

  constructor(entry: ManifestKernel, op: ManifestOp, batch: Batch, data: Data) {
    this.accuracy = new Accuracy(entry.point.dtype);
    this.#entry = entry;
    this.#op = op;
    this.#batch = batch;
    this.#data = data;
  }

  heads(side: Side, from: StridedHeads, to: StridedHeads): void {
    const { point } = this.#entry;
    const { numTokens, judgeEvery = 1 } = this.#batch;
    const numHeads = headsOf(this.#batch)[side];
    const stages = stagesAt(this.#op.stages, point)[side] ?? [];
    const isSink = ({ name }: StageCall) => stageNamed(name).isSink === true;
    const changing = stages.filter((call) => !isSink(call));
    const inputsOf = this.#inputsOf(side, numHeads);
    for (let token = 0; token < numTokens; token++) {
      const isJudged = token % judgeEvery === 0 || token === numTokens - 1;
      for (let head = 0; head < numHeads; head++) {
        const x = () => decoded(point.dtype, this.#data.before, startOf(from, token, head), point.headDim);
        for (const sink of stages.filter(isSink)) {
          const place = this.#placeOf(sink, side, to, token, head);
          const stored = place?.memory.head(place.start, point.headDim, isJudged);
          if (place === undefined || stored === undefined) continue;
          const exact = oracleHead([...changing, sink], point, x(), inputsOf(token, head));
          this.accuracy.addHead(stored, exact, place.memory.dtype);
        }
      }
    }
  }

  /** Where a stage writes a head; undefined if it does not. */
  #placeOf(
    { name }: StageCall,
    side: Side,
    to: StridedHeads,
    token: number,
    head: number,
  ): { readonly memory: Written; readonly start: number } | undefined {
    const { outputs, caches } = this.#data;
    const { paging, isCacheOnly = false } = this.#batch;
    if (name === "out") {
      const isLeftOut = isCacheOnly && this.#entry.optionalInputs.includes(`${side}.out`);
      return isLeftOut ? undefined : { memory: outputs, start: startOf(to, token, head) };
    }
    const memory = caches.get(`${side}.cache`);
    if (memory === undefined || paging === undefined || side === "q") return undefined;
    const slot = Number(paging.slots[token]);
    if (slot < 0) return undefined;
    const { offset, blockStride, slotStride, headStride } = paging[side];
    const block = Math.floor(slot / paging.blockSize);
    const inBlock = slot - block * paging.blockSize;
    return { memory, start: offset + block * blockStride + inBlock * slotStride + head * headStride };
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
    const isLeftOut = (name: string) =>
      (this.#batch.isWithoutScales ?? false) && this.#entry.optionalInputs.includes(`${side}.${name}`);
    return (token, head) => ({
      tensor: (name) => found(name, elementsOf.get(name))(token, head),
      isGiven: (name) => elementsOf.has(name) && !isLeftOut(name),
      number: (name) => found(name, numbers.get(name)),
      rounded: (x) => decodingTable(dtype)[encode(dtype, x)] ?? Number.NaN,
      ulp: (x) => ulp(dtype, x),
    });
  }

  #elements(of: HostData[ElementType], start: number, length: number): Float64Array {
    if (of instanceof Uint16Array) return decoded(this.#entry.point.dtype, of, start, length);
    return Float64Array.from(of.subarray(start, start + length), Number);
  }
}

function startOf({ offset, tokenStride, headStride }: StridedHeads, token: number, head: number): number {
  return offset + token * tokenStride + head * headStride;
}
