/**
 * The arguments of a call: packed into the C struct.
 *
 * In: buffers and sizes as the caller knows them. Out: `normrope_args`, or a typed error. Checked here is what C cannot see:
 * that values are of the types that they should be, whose buffers these are, that they are alive and of the right dtype.
 * Everything else the C interface checks, and `callerField` says what the caller calls the field that it names.
 */
import { Args } from "./args.js";
import { camelCase } from "./camel_case.js";
import {
  invalidArgument,
  isA,
  reading,
  requireFields,
  requireFloat32,
  requireObject,
  unfitArgument,
} from "./errors.js";
import { type Heads, type HeadsLayout, requireHeads } from "./heads.js";
import type { ManifestKernel } from "./manifest.js";
import { DeviceBuffer, ELEMENT_BYTES, type ElementType } from "./memory.js";
import { type Owned, requireOpen, type Session } from "./session.js";
import { type Stream, streamAddress } from "./stream.js";

/** What one call of a kernel is given. */
export interface RunOptions {
  /** The query heads. */
  readonly q: Heads;
  /** The key heads; default: none. */
  readonly k?: Heads | undefined;
  /** From 0, with which nothing is launched; times the heads at most 2³⁰, for q and for k. */
  readonly numTokens: number;
  /** `[numTokens]`, int32 or int64; any value. Angles are reduced exactly; the table's rounding adds |position| · 2⁻⁶⁵ turns. */
  readonly positions: DeviceBuffer;
  /** From `library.uploadRope`. */
  readonly rope: DeviceRope;
  /** Added to the mean of squares; not negative. */
  readonly eps: number;
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
export function packCall(session: Session, facts: ManifestKernel, options: RunOptions): PackedCall {
  requireObject("options", options);
  requireOpen(session);
  return reading("options", () => new Packing(session, facts).pack(options));
}

/** What the caller calls a field of `normrope_args`. */
export function callerField(field: string): string {
  const known = callerFields.get(field);
  if (known !== undefined) return known;
  const [side, name] = field.split(".");
  const part = name?.replace(/^in_/, "").replace(/^out_/, "out.");
  const found =
    part === undefined ? camelCase(field) : `${side}.${part === "in" ? "buffer" : camelCase(part)}`;
  callerFields.set(field, found);
  return found;
}

const callerFields = new Map([
  ["rope_table", "rope.turns"],
  ["attention_factor", "rope.attentionFactor"],
]);

const OPTION_FIELDS: readonly (keyof RunOptions)[] = [
  ...(["q", "k", "numTokens", "positions", "rope", "eps", "stream", "pdl"] as const),
];

/** A tensor's fields. */
interface TensorFields {
  readonly path: string;
  readonly length: string;
}

const tensorFields = (path: string): TensorFields => ({ path, length: `${path}_length` });

/** The fields of a side. They are spelled once: a call takes microseconds. */
const SIDES = { q: sideFields("q"), k: sideFields("k") };
const POSITIONS = tensorFields("positions");
const ROPE_TABLE = tensorFields("rope_table");

function sideFields(side: string) {
  const place = (name: string) => ({
    ...tensorFields(`${side}.${name}`),
    ...{ tokenStride: `${side}.${name}_token_stride`, headStride: `${side}.${name}_head_stride` },
  });
  return {
    ...{ in: place("in"), out: place("out"), weight: tensorFields(`${side}.weight`) },
    ...{ numHeads: `${side}.num_heads`, weightHeadStride: `${side}.weight_head_stride` },
  };
}

class Packing {
  readonly #session: Session;
  readonly #facts: ManifestKernel;
  readonly #args = new Args();
  readonly #uses = new Map<string, Owned>();
  /** Of tensors that begin within a buffer. */
  readonly #names = new Map<string, string>();

  constructor(session: Session, facts: ManifestKernel) {
    this.#session = session;
    this.#facts = facts;
  }

  pack(options: RunOptions): PackedCall {
    requireFields("options", options, OPTION_FIELDS);
    const { q, k, numTokens, positions, rope, eps, stream, pdl = false } = options;
    requireHeads("q", q);
    if (k !== undefined) requireHeads("k", k);
    requireObject("rope", rope);
    requireFields("rope", rope, ["turns", "attentionFactor"]);
    const { turns, attentionFactor } = rope;
    if (typeof pdl !== "boolean") throw invalidArgument("pdl", pdl, "true or false");
    this.#args.set("flags", pdl ? FLAG_PDL : 0);
    this.#setWhole("num_tokens", numTokens, "numTokens");
    this.#setFloat("eps", eps);
    this.#setFloat("attention_factor", attentionFactor);
    const heads =
      this.#setHeads("q", q, numTokens) + (k === undefined ? 0 : this.#setHeads("k", k, numTokens));
    const isEmpty = numTokens === 0 || heads === 0;
    this.#setTensor(POSITIONS, this.#use("positions", positions, ["int32", "int64"], isEmpty));
    this.#args.set("position_bits", ELEMENT_BYTES[positions.type] * 8);
    this.#setTensor(ROPE_TABLE, this.#use("rope.turns", turns, ["uint64"], isEmpty));
    const queue = streamAddress(this.#session, stream);
    if (stream !== undefined) this.#uses.set("stream", stream);
    return {
      ...{ args: this.#args.bytes, stream: queue, isEmpty, uses: this.#uses },
      callerField: (field) => this.#names.get(field) ?? callerField(field),
    };
  }

  /** Gives the number of heads. */
  #setHeads(side: "q" | "k", heads: Heads, numTokens: number): number {
    const { numHeads, weight, weightHeadStride = 0, headDim, out } = heads;
    const { point } = this.#facts;
    if (headDim !== undefined && headDim !== point.headDim) {
      throw invalidArgument(`${side}.headDim`, headDim, `this kernel's, ${point.headDim}`);
    }
    if (out !== undefined) requireHeads(`${side}.out`, out);
    const fields = SIDES[side];
    this.#setWhole(fields.numHeads, numHeads, `${side}.numHeads`);
    const isEmpty = numHeads === 0 || numTokens === 0;
    const input = this.#placeOf(side, heads, isEmpty);
    this.#setPlace(fields.in, side, input);
    this.#nameBuffer(fields.in, side, input);
    const output = out === undefined ? input : this.#placeOf(`${side}.out`, out, isEmpty);
    this.#setPlace(fields.out, `${side}.out`, output);
    if (out !== undefined) this.#nameBuffer(fields.out, `${side}.out`, output);
    this.#setTensor(fields.weight, this.#use(`${side}.weight`, weight, [point.dtype], isEmpty));
    this.#setWhole(fields.weightHeadStride, weightHeadStride, `${side}.weightHeadStride`);
    return numHeads;
  }

  /** Where heads lie, with the defaults; each field is read once. */
  #placeOf(field: string, layout: HeadsLayout, isEmpty: boolean) {
    const { headDim, dtype } = this.#facts.point;
    const { buffer, offset = 0, tokenStride, headStride = headDim } = layout;
    const { address, length } = this.#use(`${field}.buffer`, buffer, [dtype], isEmpty, offset);
    return { address, length, tokenStride, headStride, offset };
  }

  #setPlace(
    fields: TensorFields & { readonly tokenStride: string; readonly headStride: string },
    field: string,
    place: Elements & { readonly tokenStride: number; readonly headStride: number },
  ): void {
    this.#setTensor(fields, place);
    this.#setWhole(fields.tokenStride, place.tokenStride, `${field}.tokenStride`);
    this.#setWhole(fields.headStride, place.headStride, `${field}.headStride`);
  }

  /** What the caller calls heads that begin within a buffer. */
  #nameBuffer({ path }: TensorFields, field: string, { offset }: { readonly offset: number }): void {
    this.#names.set(path, `${field}.buffer${offset === 0 ? "" : ` from offset ${offset} on`}`);
  }

  #setTensor({ path, length }: TensorFields, elements: Elements): void {
    this.#args.set(path, elements.address);
    this.#args.set(length, elements.length);
  }

  /** JavaScript's numbers hold whole ones up to 2^53. */
  #setWhole(path: string, value: number, field: string): void {
    if (!Number.isSafeInteger(value)) throw invalidArgument(field, value, "a whole number");
    this.#args.set(path, value);
  }

  #setFloat(path: string, value: number): void {
    requireFloat32(callerField(path), value);
    this.#args.set(path, value);
  }

  /** The elements of a buffer from an offset on. */
  #use(
    field: string,
    buffer: DeviceBuffer,
    types: readonly ElementType[],
    isEmpty: boolean,
    offset = 0,
  ): Elements {
    if (!isA(buffer, DeviceBuffer)) throw invalidArgument(field, buffer, "a buffer of this library");
    if (!buffer.belongsTo(this.#session))
      throw unfitArgument(field, "a buffer of another library", "of this one");
    buffer.requireAlive(field);
    if (!types.includes(buffer.type))
      throw unfitArgument(field, `a buffer of ${buffer.type}`, types.join(" or "));
    // C takes a length of 0 for one that is not known.
    if (!Number.isSafeInteger(offset) || offset < 0 || (offset > 0 && offset >= buffer.length && !isEmpty)) {
      const want = `a whole number from 0, before the buffer's end at ${buffer.length}`;
      throw invalidArgument(field.replace(/buffer$/, "offset"), offset, want);
    }
    const length = buffer.length - offset;
    if (length === 0 && !isEmpty)
      throw unfitArgument(field, "a buffer of 0 elements", "of at least 1 element");
    this.#uses.set(field, buffer);
    const address =
      offset === 0 ? buffer.address : buffer.address + BigInt(offset * ELEMENT_BYTES[buffer.type]);
    return { address, length: Math.max(0, length) };
  }
}

/** An address, and how many elements lie from there on. */
interface Elements {
  readonly address: bigint;
  readonly length: number;
}
