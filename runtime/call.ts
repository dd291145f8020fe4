/**
 * The arguments of a call: packed into the C struct.
 *
 * In: buffers and sizes as the caller knows them. Out: `normrope_args`, or a typed error. Checked here is what C cannot see:
 * that values are of the types that they should be, whose buffers these are, that they are alive and of the right dtype.
 * Everything else the C interface checks, and `callerField` says what the caller calls the field that it names.
 */
import { SIDES, type Side, type TensorDtype } from "../dsl/inputs.js";
import type { ConfigPoint, ManifestKernel } from "../dsl/manifest.js";
import { Args } from "./args.js";
import { CALL_TENSORS, callerField, SIDE_PLACES, SIDE_TENSORS, type Tensor } from "./call_inputs.js";
import {
  invalidArgument,
  isA,
  reading,
  requireFields,
  requireFloat32,
  requireObject,
  unfitArgument,
} from "./errors.js";
import type { Heads, HeadsLayout, WeightLayout } from "./heads.js";
import { DeviceBuffer, ELEMENT_BYTES, type ElementType } from "./memory.js";
import { type Owned, requireOpen, type Session } from "./session.js";
import { type Stream, streamAddress } from "./stream.js";

/** What one call of a kernel is given. */
export interface RunOptions {
  /** The query heads; default: none. So for the other sides; what the kernel does not work on is left out. */
  readonly q?: Heads | undefined;
  /** The key heads. */
  readonly k?: Heads | undefined;
  /** The value heads. */
  readonly v?: Heads | undefined;
  /** From 0, with which nothing is launched; times the heads at most 2³⁰, for each side. */
  readonly numTokens: number;
  /**
   * `[numTokens]`, int32 or int64; any value. Angles are reduced exactly; the table's rounding adds |position| · 2⁻⁶⁵ turns.
   * A kernel that rotates takes it, and `ropeTable`.
   */
  readonly positions?: DeviceBuffer | undefined;
  /** From `library.uploadRope`. */
  readonly ropeTable?: DeviceRope | undefined;
  /** Added to the mean of squares; not negative. A kernel that norms takes it. */
  readonly eps?: number | undefined;
  /** Default: the default stream. */
  readonly stream?: Stream | undefined;
  /**
   * Launch with programmatic dependent launch: no kernel that may still be unfinished, back to the last ordinary
   * launch in the stream, may write the weights or the table.
   */
  readonly pdl?: boolean | undefined;
}

/** A RoPE table on the device. */
export interface DeviceRope {
  /** `[rotaryDim / 2]`, uint64. */
  readonly turns: DeviceBuffer;
  /** Multiplies cosine and sine; 1 without YaRN or longrope. */
  readonly attentionFactor: number;
}

const FLAG_PDL = 1;

/** Arguments that can be given to the C interface. */
export interface PackedCall {
  /** `normrope_args`. */
  readonly args: Uint8Array;
  readonly stream: bigint;
  /** Whether there is nothing to launch for: no tokens, or no heads. */
  readonly isEmpty: boolean;
  /** What must not be freed before the call, by the name of the argument. */
  readonly uses: ReadonlyMap<string, Owned>;
  /** What the caller calls a field that C names. */
  readonly callerField: (field: string) => string;
}

/** @throws NormropeError `invalid-argument`, `closed`. */
export function packCall(session: Session, entry: ManifestKernel, options: RunOptions): PackedCall {
  requireObject("options", options);
  requireOpen(session);
  return reading("options", () => new Packing(session, entry).pack(options));
}

const SIDE_FIELDS = ["numHeads", "headDim", ...SIDE_TENSORS.q.map(({ name }) => name)];
const OPTION_FIELDS = [
  ...SIDES,
  "numTokens",
  "eps",
  "stream",
  "pdl",
  ...CALL_TENSORS.map(({ name }) => name),
];

/** Types of elements; undefined for those of the kernel's own. */
const TYPES: { readonly [D in TensorDtype]?: readonly ElementType[] } = {
  position: ["int32", "int64"],
  uint64: ["uint64"],
  float32: ["float32"],
};

/** What an object of the caller's has for a tensor, as far as types tell. */
type Given = DeviceBuffer | HeadsLayout | WeightLayout | undefined;

/** Each field is read once: a getter may give something else the next time. */
const optionOf = (options: object, name: string) => (options as Readonly<Record<string, Given>>)[name];

/** @throws NormropeError `invalid-argument` for what is no description of where a tensor lies. */
function requireLayout({ field, strides, layoutFields }: Tensor, given: Given): Partial<HeadsLayout> {
  if (typeof given !== "object" || given === null || ArrayBuffer.isView(given) || strides.length === 0) {
    throw invalidArgument(field, given, "a buffer of this library");
  }
  requireFields(field, given, layoutFields);
  return given as HeadsLayout;
}

class Packing {
  readonly #session: Session;
  readonly #point: ConfigPoint;
  readonly #args = new Args();
  readonly #uses = new Map<string, Owned>();
  /** What the caller calls tensors. */
  readonly #names = new Map<string, string>();
  readonly #ownTypes: readonly ElementType[];
  /** What the kernel takes. */
  readonly #inputs: readonly string[];
  #isEmpty = true;

  constructor(session: Session, { point, inputs }: ManifestKernel) {
    this.#session = session;
    this.#point = point;
    this.#inputs = inputs;
    this.#ownTypes = [point.dtype];
  }

  pack(options: RunOptions): PackedCall {
    requireFields("options", options, OPTION_FIELDS);
    const { numTokens, ropeTable, eps, stream, pdl = false } = options;
    if (typeof pdl !== "boolean") throw invalidArgument("pdl", pdl, "true or false");
    this.#args.set("flags", pdl ? FLAG_PDL : 0);
    const sides = SIDES.map((side) => [side, options[side]] as const);
    for (const [side, heads] of sides) {
      if (heads !== undefined) this.#setSide(side, heads, numTokens);
    }
    if (sides.every(([, heads]) => heads === undefined)) {
      const side = SIDES.find((name) => this.#inputs.includes(`${name}.in`)) ?? "q";
      throw invalidArgument(side, undefined, "given, as the kernel works on these heads");
    }
    this.#setWhole("num_tokens", numTokens);
    this.#setFloat("eps", eps);
    // Each field is read once.
    const { turns, attentionFactor } = this.#rope(ropeTable);
    this.#setFloat("attention_factor", attentionFactor);
    for (const tensor of CALL_TENSORS) {
      const given = tensor.path === "rope_table" ? turns : optionOf(options, tensor.name);
      this.#setTensor(tensor, given, this.#isEmpty);
    }
    const queue = streamAddress(this.#session, stream);
    if (stream !== undefined) this.#uses.set("stream", stream);
    return {
      ...{ args: this.#args.bytes, stream: queue, isEmpty: this.#isEmpty, uses: this.#uses },
      callerField: (field) => this.#names.get(field) ?? callerField(field),
    };
  }

  #rope(given: DeviceRope | undefined): Partial<DeviceRope> {
    if (given === undefined && !this.#inputs.includes("rope_table")) return {};
    requireObject("ropeTable", given);
    requireFields("ropeTable", given, ["turns", "attentionFactor"]);
    return given;
  }

  #setSide(side: Side, heads: Heads, numTokens: number): void {
    requireObject(side, heads);
    requireFields(side, heads, SIDE_FIELDS);
    const { numHeads, headDim } = heads;
    if (headDim !== undefined && headDim !== this.#point.headDim) {
      throw invalidArgument(`${side}.headDim`, headDim, `this kernel's, ${this.#point.headDim}`);
    }
    this.#setWhole(`${side}.num_heads`, numHeads);
    const isEmpty = numHeads === 0 || numTokens === 0;
    this.#isEmpty &&= isEmpty;
    for (const tensor of SIDE_TENSORS[side]) {
      const given = optionOf(heads, tensor.name);
      if (tensor.name === "out" && given === undefined) this.#copyPlace(SIDE_PLACES[side]);
      else this.#setTensor(tensor, given, isEmpty);
    }
  }

  /** In place the output is the input, also by its name. */
  #copyPlace({ from, to }: { readonly from: Tensor; readonly to: Tensor }): void {
    this.#args.copy(from.path, to.path);
    this.#args.copy(from.length, to.length);
    from.strides.forEach(([, path], i) => {
      this.#args.copy(path, to.strides[i]?.[1] ?? path);
    });
    this.#names.set(to.path, this.#names.get(from.path) ?? callerField(from.path));
  }

  #setTensor(tensor: Tensor, given: Given, isEmpty: boolean): void {
    const { path, length, strides, dtype } = tensor;
    if (!this.#inputs.includes(path)) {
      if (given === undefined) return;
      throw unfitArgument(tensor.field, "given", "left out: this kernel does not take it");
    }
    const isBuffer = isA(given, DeviceBuffer);
    const layout: Partial<HeadsLayout> = isBuffer ? { buffer: given } : requireLayout(tensor, given);
    const { buffer, offset = 0, tokenStride } = layout;
    const name = isBuffer ? tensor.field : tensor.bufferField;
    const elements = this.#use(name, buffer, TYPES[dtype] ?? this.#ownTypes, isEmpty, offset);
    if (offset !== 0) this.#names.set(path, `${name} from offset ${offset} on`);
    else if (name !== tensor.usualField) this.#names.set(path, name);
    this.#args.set(path, elements.address);
    this.#args.set(length, elements.length);
    if (dtype === "position") this.#args.set("position_bits", ELEMENT_BYTES[elements.type] * 8);
    for (const [option, stridePath] of strides) {
      // Left out, heads lie side by side where there are tokens, and otherwise over each other.
      const { headStride = strides.length > 1 ? this.#point.headDim : 0 } = layout;
      this.#setWhole(stridePath, option === "tokenStride" ? tokenStride : headStride);
    }
  }

  /** JavaScript's numbers hold whole ones up to 2^53. */
  #setWhole(path: string, value: number | undefined): void {
    if (value === undefined || !Number.isSafeInteger(value)) {
      throw invalidArgument(callerField(path), value, "a whole number");
    }
    this.#args.set(path, value);
  }

  #setFloat(path: string, value: number | undefined): void {
    if (value === undefined && !this.#inputs.includes(path)) return;
    requireFloat32(callerField(path), value);
    this.#args.set(path, value);
  }

  /** The elements of a buffer from an offset on. */
  #use(
    field: string,
    buffer: DeviceBuffer | undefined,
    types: readonly ElementType[],
    isEmpty: boolean,
    offset: number,
  ): Elements {
    if (!isA(buffer, DeviceBuffer)) throw invalidArgument(field, buffer, "a buffer of this library");
    if (!buffer.belongsTo(this.#session))
      throw unfitArgument(field, "a buffer of another library", "of this one");
    buffer.requireAlive(field);
    const { type } = buffer;
    if (!types.includes(type)) throw unfitArgument(field, `a buffer of ${type}`, types.join(" or "));
    // C takes a length of 0 for one that is not known.
    if (!Number.isSafeInteger(offset) || offset < 0 || (offset > 0 && offset >= buffer.length && !isEmpty)) {
      const want = `a whole number from 0, before the buffer's end at ${buffer.length}`;
      throw invalidArgument(field.replace(/buffer$/, "offset"), offset, want);
    }
    const length = buffer.length - offset;
    if (length === 0 && !isEmpty)
      throw unfitArgument(field, "a buffer of 0 elements", "of at least 1 element");
    this.#uses.set(field, buffer);
    const address = offset === 0 ? buffer.address : buffer.address + BigInt(offset * ELEMENT_BYTES[type]);
    return { address, length: Math.max(0, length), type };
  }
}

/** An address, and how many elements of which type lie from there on. */
interface Elements {
  readonly address: bigint;
  readonly length: number;
  readonly type: ElementType;
}
