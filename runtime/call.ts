/**
 * The arguments of a call: checked, and packed into the C struct.
 *
 * In: buffers and sizes as the caller knows them. Out: the bytes of `normrope_args`, or a typed error. Every argument
 * is checked here because the call behind it checks no types.
 */
import {
  invalidArgument,
  isA,
  reading,
  requireFields,
  requireFloat32,
  requireObject,
  unfitArgument,
} from "./errors.js";
import { type Heads, type HeadsLayout, requireCount, requireHeads } from "./heads.js";
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

/** Byte offsets in `normrope_args` and, from `q` and `k`, in `normrope_heads`: generated/include/normrope.h. */
export const ARGS = {
  structSize: 0,
  flags: 4,
  q: 8,
  k: 104,
  positions: 200,
  ropeTable: 208,
  numTokens: 216,
  positionBits: 224,
  eps: 228,
  attentionFactor: 232,
  size: 240,
} as const;
export const HEADS = {
  in: 0,
  out: 8,
  weight: 16,
  inTokenStride: 32,
  inHeadStride: 40,
  outTokenStride: 48,
  outHeadStride: 56,
  weightHeadStride: 64,
  numHeads: 88,
} as const;
const FLAG_PDL = 1;

/** The smallest normal number of float32: kernels take what is below for 0. */
const EPS_MIN = 2 ** -126;

/** The kernels read two entries at once. */
const TABLE_ALIGNMENT_BYTES = 16n;

/** Arguments that were checked. */
export interface PackedCall {
  /** `normrope_args`. */
  readonly args: Uint8Array;
  readonly stream: bigint;
  /** Whether there is nothing to launch for: no tokens, or no heads. */
  readonly isEmpty: boolean;
  /** What must not be freed before the call, by the name of the argument. */
  readonly uses: ReadonlyMap<string, Owned>;
}

/** @throws NormropeError `invalid-argument`, `closed`. */
export function packCall(session: Session, facts: ManifestKernel, options: RunOptions): PackedCall {
  requireObject("options", options);
  requireOpen(session);
  return reading("options", () => new Packer(session, facts).pack(options));
}

class Packer {
  readonly #session: Session;
  readonly #facts: ManifestKernel;
  readonly #view = new DataView(new ArrayBuffer(ARGS.size));
  readonly #uses = new Map<string, Owned>();

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
    requireCount("numTokens", numTokens);
    requireFloat32("eps", eps, 0);
    if (eps > 0 && eps < EPS_MIN) throw invalidArgument("eps", eps, `0, or at least ${EPS_MIN}`);
    const { turns, attentionFactor } = rope;
    requireFloat32("rope.attentionFactor", attentionFactor);
    if (typeof pdl !== "boolean") throw invalidArgument("pdl", pdl, "true or false");
    const view = this.#view;
    view.setUint32(ARGS.structSize, ARGS.size, true);
    view.setUint32(ARGS.flags, pdl ? FLAG_PDL : 0, true);
    view.setBigUint64(ARGS.positions, this.#use("positions", positions, ["int32", "int64"], numTokens), true);
    view.setBigUint64(ARGS.ropeTable, this.#useTable(turns), true);
    const numQHeads = this.#packHeads(ARGS.q, "q", q, numTokens);
    const numKHeads = k === undefined ? 0 : this.#packHeads(ARGS.k, "k", k, numTokens);
    view.setBigInt64(ARGS.numTokens, BigInt(numTokens), true);
    view.setInt32(ARGS.positionBits, ELEMENT_BYTES[positions.type] * 8, true);
    view.setFloat32(ARGS.eps, eps, true);
    view.setFloat32(ARGS.attentionFactor, attentionFactor, true);
    const queue = streamAddress(this.#session, stream);
    if (stream !== undefined) this.#uses.set("stream", stream);
    const isEmpty = numTokens === 0 || numQHeads + numKHeads === 0;
    return { args: new Uint8Array(view.buffer), stream: queue, isEmpty, uses: this.#uses };
  }

  #useTable(turns: DeviceBuffer): bigint {
    const { rotaryDim } = this.#facts.point;
    const address = this.#use("rope.turns", turns, ["uint64"], rotaryDim / 2);
    if (address % TABLE_ALIGNMENT_BYTES !== 0n) {
      throw unfitArgument(
        "rope.turns",
        `at 0x${address.toString(16)}`,
        `at a multiple of ${TABLE_ALIGNMENT_BYTES} bytes`,
      );
    }
    if (turns.length === rotaryDim / 2) return address;
    throw unfitArgument(
      "rope.turns",
      `for rotaryDim ${2 * turns.length}`,
      `for this kernel's rotaryDim, ${rotaryDim}`,
    );
  }

  /** Gives the number of heads. */
  #packHeads(at: number, side: "q" | "k", heads: Heads, numTokens: number): number {
    const { numHeads, weight, weightHeadStride = 0, headDim, out } = heads;
    const { vectorElements, point } = this.#facts;
    if (headDim !== undefined && headDim !== point.headDim) {
      throw invalidArgument(`${side}.headDim`, headDim, `this kernel's, ${point.headDim}`);
    }
    requireCount(`${side}.numHeads`, numHeads);
    if (out !== undefined) requireHeads(`${side}.out`, out);
    const input = this.#locate(side, heads, numHeads, numTokens);
    const output = out === undefined ? input : this.#locate(`${side}.out`, out, numHeads, numTokens);
    requireStride(`${side}.weightHeadStride`, weightHeadStride, vectorElements);
    const weights = numHeads === 0 ? 0 : (numHeads - 1) * weightHeadStride + point.headDim;
    const weightAddress = this.#use(`${side}.weight`, weight, [point.dtype], weights, vectorElements);

    const view = this.#view;
    view.setBigUint64(at + HEADS.in, input.address, true);
    view.setBigUint64(at + HEADS.out, output.address, true);
    view.setBigUint64(at + HEADS.weight, weightAddress, true);
    view.setBigInt64(at + HEADS.inTokenStride, BigInt(input.tokenStride), true);
    view.setBigInt64(at + HEADS.inHeadStride, BigInt(input.headStride), true);
    view.setBigInt64(at + HEADS.outTokenStride, BigInt(output.tokenStride), true);
    view.setBigInt64(at + HEADS.outHeadStride, BigInt(output.headStride), true);
    view.setBigInt64(at + HEADS.weightHeadStride, BigInt(weightHeadStride), true);
    view.setInt32(at + HEADS.numHeads, numHeads, true);
    return numHeads;
  }

  /** Where the heads start, after every element of them was found to lie in the buffer. */
  #locate(field: string, layout: HeadsLayout, numHeads: number, numTokens: number) {
    const { vectorElements, point } = this.#facts;
    const { headDim, dtype } = point;
    const { buffer, offset = 0, tokenStride, headStride = headDim } = layout;
    requireStride(`${field}.offset`, offset, vectorElements);
    requireStride(`${field}.tokenStride`, tokenStride, numTokens > 1 ? vectorElements : 1);
    requireStride(`${field}.headStride`, headStride, numHeads > 1 ? vectorElements : 1);
    const isEmpty = numHeads === 0 || numTokens === 0;
    const end = isEmpty ? 0 : offset + (numTokens - 1) * tokenStride + (numHeads - 1) * headStride + headDim;
    const start = this.#use(`${field}.buffer`, buffer, [dtype], end, vectorElements);
    return { address: start + BigInt(offset * ELEMENT_BYTES[dtype]), tokenStride, headStride };
  }

  /** Checks a buffer of at least `length` elements, and gives its address. */
  #use(
    field: string,
    buffer: DeviceBuffer,
    types: readonly ElementType[],
    length: number,
    vectorElements = 1,
  ): bigint {
    if (!isA(buffer, DeviceBuffer)) throw invalidArgument(field, buffer, "a buffer of this library");
    if (!buffer.belongsTo(this.#session))
      throw unfitArgument(field, "a buffer of another library", "of this one");
    buffer.requireAlive(field);
    if (!types.includes(buffer.type))
      throw unfitArgument(field, `a buffer of ${buffer.type}`, types.join(" or "));
    if (buffer.length < length) {
      throw unfitArgument(
        field,
        `a buffer of ${buffer.length} elements`,
        `at least ${length} long for these sizes`,
      );
    }
    const { address } = buffer;
    const alignment = vectorElements * ELEMENT_BYTES[buffer.type];
    if (address % BigInt(alignment) !== 0n) {
      throw unfitArgument(field, `at 0x${address.toString(16)}`, `at a multiple of ${alignment} bytes`);
    }
    this.#uses.set(field, buffer);
    return address;
  }
}

const OPTION_FIELDS: readonly (keyof RunOptions)[] = [
  ...(["q", "k", "numTokens", "positions", "rope", "eps", "stream", "pdl"] as const),
];
function requireStride(field: string, value: number, multiple: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value % multiple !== 0) {
    throw invalidArgument(
      field,
      value,
      `a multiple of this kernel's vector, ${multiple} elements, and not negative`,
    );
  }
}
