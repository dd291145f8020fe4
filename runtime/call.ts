/**
 * Packs the arguments of a call into the C struct.
 *
 * In: buffers and sizes as the caller knows them. Out: `normrope_args`, or a typed error. This file checks what C cannot see:
 * the types of values, and the owner, life and dtype of buffers. C checks everything else, and `callerField` translates the
 * field that C names into the caller's words.
 */
import { SIDES, type Side } from "../dsl/inputs.js";
import type { ConfigPoint, ManifestKernel } from "../dsl/manifest.js";
import { Args } from "./args.js";
import {
  CALL_TENSORS,
  callerField,
  type LayoutOption,
  SIDE_TENSORS,
  type Tensor,
  typesOf,
} from "./call_inputs.js";
import { invalidArgument, requireFields, requireFloat32, requireObject, unfitArgument } from "./errors.js";
import type {
  CacheLayout,
  CosSinLayout,
  Heads,
  HeadsLayout,
  PositionsLayout,
  SlotsLayout,
  WeightLayout,
} from "./heads.js";
import { DeviceBuffer, ELEMENT_BYTES, type ElementType } from "./memory.js";
import type { DeviceRope, RunOptions } from "./run_options.js";
import { type Owned, requireOpen, type Session } from "./session.js";
import { streamAddress } from "./stream.js";

const FLAG_PDL = 1;

/** Arguments for the C interface. */
export interface PackedCall {
  /** `normrope_args`. */
  readonly args: Uint8Array;
  readonly stream: bigint;
  /** Whether nothing is to be launched: no tokens, or no heads. */
  readonly isEmpty: boolean;
  /** Objects that must not be freed before the call, by the name of the argument. */
  readonly uses: ReadonlyMap<string, Owned>;
  /** The caller's name of a field that C names. */
  readonly callerField: (path: string) => string;
}

/** @throws NormropeError `invalid-argument`, `closed`. */
export function packCall(session: Session, kernel: ManifestKernel, options: RunOptions): PackedCall {
  requireObject("options", options);
  requireOpen(session);
  return new Packing(session, kernel).pack(options);
}

const OPTION_FIELDS = [
  ...SIDES,
  ...["numTokens", "eps", "stream", "pdl"],
  ...CALL_TENSORS.map(({ name }) => name),
];
const SIDE_FIELDS = ["numHeads", "headDim", ...SIDE_TENSORS.q.map(({ name }) => name)];

/** A caller's value for a tensor. */
type Given =
  | DeviceBuffer
  | (HeadsLayout | CacheLayout | WeightLayout | PositionsLayout | CosSinLayout | SlotsLayout)
  | undefined;

/** The numbers of a layout. */
type Numbers = { [Option in LayoutOption]?: number | undefined };

/** The fields of any layout. */
type AnyLayout = {
  readonly buffer?: DeviceBuffer;
  readonly offset?: number | undefined;
} & Readonly<Numbers> & {
    readonly blocks?: number | undefined;
  };

const givenFor = (tensor: Tensor, from: object) => (from as Readonly<Record<string, Given>>)[tensor.name];

class Packing {
  readonly #session: Session;
  readonly #kernel: ManifestKernel;
  readonly #point: ConfigPoint;
  /** The inputs that the kernel takes, as paths. */
  readonly #inputs: readonly string[];
  #numTokens = 0;
  /** Of the side that is being packed. */
  #numHeads = 0;
  /** For the defaults; 1 where it is no size, which is left for the slots. */
  #blockSize = 1;
  readonly #args = new Args();
  readonly #uses = new Map<string, Owned>();
  readonly #inPlace = new Set<string>();
  #isEmpty = true;

  constructor(session: Session, kernel: ManifestKernel) {
    this.#session = session;
    this.#kernel = kernel;
    this.#point = kernel.point;
    this.#inputs = kernel.inputs;
  }

  pack(options: RunOptions): PackedCall {
    requireFields("options", options, OPTION_FIELDS);
    const { numTokens, eps, stream, pdl = false } = options;
    this.#numTokens = numTokens;
    const { blockSize = 1 } = options.slots ?? {};
    this.#blockSize = Number.isSafeInteger(blockSize) ? blockSize : 1;
    if (typeof pdl !== "boolean") throw invalidArgument("pdl", pdl, "true or false");
    this.#args.set("flags", pdl ? FLAG_PDL : 0);
    for (const side of SIDES) {
      const heads = options[side];
      if (heads !== undefined) this.#packSide(side, heads, numTokens);
    }
    if (SIDES.every((side) => options[side] === undefined)) {
      const side = SIDES.find((name) => this.#inputs.includes(`${name}.in`)) ?? "q";
      throw invalidArgument(side, undefined, "given, as the kernel works on these heads");
    }
    this.#packWhole("num_tokens", numTokens);
    this.#packFloat("eps", eps);
    const { turns, attentionFactor } = this.#ropeTable(options.ropeTable);
    this.#packFloat("attention_factor", attentionFactor);
    for (const tensor of CALL_TENSORS) {
      const given = tensor.path === "rope_table" ? turns : givenFor(tensor, options);
      this.#packTensor(tensor, given, this.#isEmpty);
    }
    const address = streamAddress(this.#session, stream);
    if (stream !== undefined) this.#uses.set("stream", stream);
    return {
      ...{ args: this.#args.bytes, stream: address, isEmpty: this.#isEmpty, uses: this.#uses },
      // In place, the caller knows the output by the input's name.
      callerField: (path) =>
        callerField(path.replace(/^(.)\.out/, (out, side) => (this.#inPlace.has(side) ? `${side}.in` : out))),
    };
  }

  #ropeTable(given: DeviceRope | undefined): Partial<DeviceRope> {
    if (given === undefined && !this.#inputs.includes("rope_table")) return {};
    requireObject("ropeTable", given);
    requireFields("ropeTable", given, ["turns", "attentionFactor"]);
    return given;
  }

  #packSide(side: Side, heads: Heads, numTokens: number): void {
    requireObject(side, heads);
    requireFields(side, heads, SIDE_FIELDS);
    const { numHeads, headDim = this.#point.headDim } = heads;
    if (headDim !== this.#point.headDim) {
      throw invalidArgument(`${side}.headDim`, headDim, `this kernel's, ${this.#point.headDim}`);
    }
    this.#packWhole(`${side}.num_heads`, numHeads);
    const isEmpty = numHeads === 0 || numTokens === 0;
    this.#isEmpty &&= isEmpty;
    this.#numHeads = numHeads;
    const given = { ...heads, out: this.#outOf(side, heads) };
    for (const tensor of SIDE_TENSORS[side]) this.#packTensor(tensor, givenFor(tensor, given), isEmpty);
  }

  /** Where a side's results go: in place unless the caller or the kernel says otherwise. */
  #outOf(side: Side, { in: input, out }: Heads): HeadsLayout | undefined {
    const path = `${side}.out`;
    if (out === null) {
      if (this.#kernel.optionalInputs.includes(path) || !this.#inputs.includes(path)) return undefined;
      throw unfitArgument(
        path,
        "null",
        "left out for in place, or given: this kernel writes nothing else of it",
      );
    }
    if (out !== undefined || !this.#inputs.includes(path)) return out;
    if (this.#kernel.inputDtypes[path] !== undefined) {
      throw unfitArgument(
        path,
        "left out",
        `given: ${this.#kernel.inputDtypes[path]} lies elsewhere than the input`,
      );
    }
    this.#inPlace.add(side);
    return input;
  }

  #packTensor(tensor: Tensor, given: Given, isEmpty: boolean): void {
    const { path, length, numbers, bits, field } = tensor;
    if (!this.#inputs.includes(path)) {
      if (given === undefined) return;
      throw unfitArgument(field, "given", "left out: this kernel does not take it");
    }
    if (given === undefined && this.#kernel.optionalInputs.includes(path)) return;
    const layout = layoutOf(tensor, given);
    const bufferField = layout === given ? `${field}.buffer` : field;
    const buffer = this.#bufferOf(bufferField, layout.buffer, typesOf(this.#kernel, tensor));
    const { offset = 0 } = layout;
    // In C, a length of 0 means that it is not known.
    if (!isEmpty && buffer.length === 0)
      throw unfitArgument(bufferField, "a buffer of 0 elements", "of at least 1 element");
    if (!Number.isSafeInteger(offset) || offset < 0 || (!isEmpty && offset >= buffer.length)) {
      throw invalidArgument(
        `${field}.offset`,
        offset,
        `a whole number from 0, before the buffer's end at ${buffer.length}`,
      );
    }
    const bytes = ELEMENT_BYTES[buffer.type];
    this.#args.set(path, offset === 0 ? buffer.address : buffer.address + BigInt(offset * bytes));
    this.#args.set(length, Math.max(0, buffer.length - offset));
    if (bits !== undefined) this.#args.set(bits, bytes * 8);
    const packed: Numbers = {};
    for (const [option, path] of numbers) {
      const given = layout[option];
      packed[option] = given === undefined ? this.#defaultOf(option, tensor) : given;
      this.#packWhole(path, packed[option]);
    }
    if (layout.blocks !== undefined) {
      this.#args.set(length, this.#lengthOf(field, layout.blocks, packed, buffer.length - offset));
    }
    if (layout.axisStride !== undefined && this.#kernel.positionAxes === 1) {
      throw unfitArgument(
        `${field}.axisStride`,
        "given",
        "left out: a token of this kernel has one position",
      );
    }
  }

  /** The elements of so many blocks of a cache. */
  #lengthOf(field: string, blocks: number, strides: Numbers, room: number): number {
    if (!Number.isSafeInteger(blocks) || blocks < 1)
      throw invalidArgument(`${field}.blocks`, blocks, "a whole number from 1");
    const { blockStride = 0, slotStride = 0, headStride = 0 } = strides;
    const slots = (this.#blockSize - 1) * slotStride;
    const heads = Math.max(0, this.#numHeads - 1) * headStride;
    const needed = (blocks - 1) * blockStride + slots + heads + this.#point.headDim;
    if (needed <= room) return needed;
    const wanted = `few enough for the buffer: they need ${needed} elements of ${room}`;
    throw unfitArgument(`${field}.blocks`, `${blocks}`, wanted);
  }

  /** The default of a number. Heads are contiguous, and share weights; axes, rows, slots and blocks are contiguous. */
  #defaultOf(option: LayoutOption, { isHeads, shape }: Tensor): number | undefined {
    const { headDim } = this.#point;
    switch (option) {
      case "headStride":
        return isHeads || shape.includes("blocks") ? headDim : 0;
      case "slotStride":
        return this.#numHeads * headDim;
      case "blockStride":
        return this.#blockStride();
      case "axisStride":
        return this.#kernel.positionAxes === 1 ? 0 : this.#numTokens;
      case "rowStride":
        return this.#kernel.pairing?.rotaryDim;
      default:
        return undefined;
    }
  }

  /** Blocks behind each other; 0 for what is too large, which is left for the slots. */
  #blockStride(): number {
    const stride = this.#blockSize * this.#numHeads * this.#point.headDim;
    return Number.isSafeInteger(stride) ? stride : 0;
  }

  /** Requires a live buffer of this library, of one of the types. */
  #bufferOf(field: string, buffer: DeviceBuffer | undefined, types: readonly ElementType[]): DeviceBuffer {
    if (!(buffer instanceof DeviceBuffer)) throw invalidArgument(field, buffer, "a buffer of this library");
    if (!buffer.belongsTo(this.#session))
      throw unfitArgument(field, "a buffer of another library", "of this one");
    buffer.requireAlive(field);
    if (!types.includes(buffer.type))
      throw unfitArgument(field, `a buffer of ${buffer.type}`, types.join(" or "));
    this.#uses.set(field, buffer);
    return buffer;
  }

  /** Numbers are whole up to 2^53. */
  #packWhole(path: string, value: number | undefined): void {
    if (value === undefined || !Number.isSafeInteger(value)) {
      throw invalidArgument(callerField(path), value, "a whole number");
    }
    this.#args.set(path, value);
  }

  #packFloat(path: string, value: number | undefined): void {
    if (value === undefined && !this.#inputs.includes(path)) return;
    requireFloat32(callerField(path), value);
    this.#args.set(path, value);
  }
}

/** Accepts a layout, or a buffer alone. @throws NormropeError `invalid-argument` for what is neither. */
function layoutOf({ field, numbers, layoutFields }: Tensor, given: Given): AnyLayout {
  if (given instanceof DeviceBuffer) return { buffer: given };
  if (typeof given !== "object" || given === null || ArrayBuffer.isView(given) || numbers.length === 0) {
    throw invalidArgument(field, given, "a buffer of this library");
  }
  requireFields(field, given, layoutFields);
  return given;
}
