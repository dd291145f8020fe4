/**
 * One call of a kernel: what it is given, checked, and packed into the C struct.
 *
 * In: buffers and sizes as the caller knows them. Out: a launch, or a typed error and nothing launched.
 * Every argument is checked here because the call behind it checks no types.
 */
import { invalidArgument, NormropeError } from "./errors.js";
import { checkStatus } from "./library.js";
import type { ManifestKernel } from "./manifest.js";
import {
  DeviceBuffer,
  ELEMENT_BYTES,
  type ElementType,
  type Session,
  type Stream,
  streamAddress,
} from "./memory.js";

/** Heads in a buffer: element e of head h of token t is at `offset + t * tokenStride + h * headStride + e`. */
export interface HeadsLayout {
  readonly buffer: DeviceBuffer;
  /** In elements; default 0. */
  readonly offset?: number | undefined;
  /** In elements. */
  readonly tokenStride: number;
  /** In elements; default headDim. */
  readonly headStride?: number | undefined;
}

/** All the query heads, or all the key heads. */
export interface Heads extends HeadsLayout {
  readonly numHeads: number;
  /** `[headDim]`, or one for each head with `weightHeadStride`; the kernel's dtype. */
  readonly weight: DeviceBuffer;
  /** In elements; default 0: one weight for all heads. */
  readonly weightHeadStride?: number | undefined;
  /** Where the result goes; default: in place. Other overlap of input and output is undefined. */
  readonly out?: HeadsLayout | undefined;
}

export interface RunOptions {
  readonly q: Heads;
  /** Default: no key heads. */
  readonly k?: Heads | undefined;
  readonly numTokens: number;
  /** `[numTokens]`, int32 or int64; any value, negative ones too. */
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
  readonly attentionFactor: number;
}

/** The q and k heads of packed rows `[q heads | k heads | v heads]`, in place. */
export function packedHeads(packed: {
  readonly qkv: DeviceBuffer;
  readonly headDim: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  readonly numVHeads: number;
  readonly qWeight: DeviceBuffer;
  readonly kWeight: DeviceBuffer;
}): { q: Heads; k: Heads } {
  const { qkv, headDim, numQHeads, numKHeads, numVHeads, qWeight, kWeight } = packed;
  const tokenStride = (numQHeads + numKHeads + numVHeads) * headDim;
  return {
    q: { buffer: qkv, tokenStride, numHeads: numQHeads, weight: qWeight },
    k: { buffer: qkv, offset: numQHeads * headDim, tokenStride, numHeads: numKHeads, weight: kWeight },
  };
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

/** A kernel of an open library. */
export class Kernel {
  readonly id: string;
  readonly #session: Session;
  readonly #index: number;
  readonly #facts: ManifestKernel;

  constructor(session: Session, index: number, facts: ManifestKernel) {
    this.id = facts.id;
    this.#session = session;
    this.#index = index;
    this.#facts = facts;
  }

  /**
   * Normalises and rotates q and k. Returns when the work is launched; the CPU target has finished it.
   * @throws NormropeError `invalid-argument`, `closed`, `no-device`, `device-error`; nothing was launched.
   */
  run(options: RunOptions): void {
    requireObject("options", options);
    const args = this.#encode(options);
    const queue = streamAddress(this.#session, options.stream);
    const { functions } = this.#session;
    checkStatus(functions, functions.run(this.#index, args, queue));
    this.#session.launches.set(this.id, (this.#session.launches.get(this.id) ?? 0) + 1);
  }

  #encode(options: RunOptions): Uint8Array {
    if (this.#session.closed) throw new NormropeError("closed", "the library was closed", "Open it again");
    const { numTokens, positions, rope, eps, pdl = false } = options;
    requireObject("q", options.q);
    if (options.k !== undefined) requireObject("k", options.k);
    requireObject("rope", rope);
    requireCount("numTokens", numTokens);
    if (!(Number.isFinite(eps) && eps >= 0)) throw invalidArgument("eps", eps, "a number from 0");
    if (!Number.isFinite(rope.attentionFactor)) {
      throw invalidArgument("rope.attentionFactor", rope.attentionFactor, "a finite number");
    }
    this.#requireBuffer("positions", positions, ["int32", "int64"], numTokens);
    this.#requireBuffer("rope.turns", rope.turns, ["uint64"], this.#facts.point.rotaryDim / 2);

    const bytes = new Uint8Array(ARGS.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(ARGS.structSize, ARGS.size, true);
    view.setUint32(ARGS.flags, pdl ? FLAG_PDL : 0, true);
    this.#encodeHeads(view, ARGS.q, "q", options.q, numTokens);
    if (options.k !== undefined) this.#encodeHeads(view, ARGS.k, "k", options.k, numTokens);
    view.setBigUint64(ARGS.positions, positions.address, true);
    view.setBigUint64(ARGS.ropeTable, rope.turns.address, true);
    view.setBigInt64(ARGS.numTokens, BigInt(numTokens), true);
    view.setInt32(ARGS.positionBits, ELEMENT_BYTES[positions.type] * 8, true);
    view.setFloat32(ARGS.eps, eps, true);
    view.setFloat32(ARGS.attentionFactor, rope.attentionFactor, true);
    return bytes;
  }

  #encodeHeads(view: DataView, at: number, side: "q" | "k", heads: Heads, numTokens: number): void {
    const { numHeads, weight, weightHeadStride = 0 } = heads;
    const { headDim, dtype } = this.#facts.point;
    requireCount(`${side}.numHeads`, numHeads);
    if (heads.out !== undefined) requireObject(`${side}.out`, heads.out);
    const input = this.#locate(side, heads, numHeads, numTokens);
    const output =
      heads.out === undefined ? input : this.#locate(`${side}.out`, heads.out, numHeads, numTokens);
    requireStride(`${side}.weightHeadStride`, weightHeadStride, this.#facts.vectorElements);
    const weights = numHeads === 0 ? 0 : (numHeads - 1) * weightHeadStride + headDim;
    this.#requireBuffer(`${side}.weight`, weight, [dtype], weights);

    view.setBigUint64(at + HEADS.in, input.address, true);
    view.setBigUint64(at + HEADS.out, output.address, true);
    view.setBigUint64(at + HEADS.weight, weight.address, true);
    view.setBigInt64(at + HEADS.inTokenStride, BigInt(input.tokenStride), true);
    view.setBigInt64(at + HEADS.inHeadStride, BigInt(input.headStride), true);
    view.setBigInt64(at + HEADS.outTokenStride, BigInt(output.tokenStride), true);
    view.setBigInt64(at + HEADS.outHeadStride, BigInt(output.headStride), true);
    view.setBigInt64(at + HEADS.weightHeadStride, BigInt(weightHeadStride), true);
    view.setInt32(at + HEADS.numHeads, numHeads, true);
  }

  /** Where the heads start, after every element of them was found to lie in the buffer. */
  #locate(field: string, layout: HeadsLayout, numHeads: number, numTokens: number) {
    const { headDim, dtype } = this.#facts.point;
    const { buffer, offset = 0, tokenStride, headStride = headDim } = layout;
    const vector = this.#facts.vectorElements;
    requireStride(`${field}.offset`, offset, vector);
    requireStride(`${field}.tokenStride`, tokenStride, vector);
    requireStride(`${field}.headStride`, headStride, vector);
    const isEmpty = numHeads === 0 || numTokens === 0;
    const end = isEmpty ? 0 : offset + (numTokens - 1) * tokenStride + (numHeads - 1) * headStride + headDim;
    this.#requireBuffer(`${field}.buffer`, buffer, [dtype], end);
    return { address: buffer.address + BigInt(offset * ELEMENT_BYTES[dtype]), tokenStride, headStride };
  }

  #requireBuffer(field: string, buffer: DeviceBuffer, types: readonly ElementType[], length: number): void {
    if (!(buffer instanceof DeviceBuffer)) throw invalidArgument(field, buffer, "a buffer of this library");
    if (!buffer.belongsTo(this.#session))
      throw invalidArgument(field, "a buffer of another library", "of this one");
    if (!types.includes(buffer.type))
      throw invalidArgument(field, `a buffer of ${buffer.type}`, types.join(" or "));
    if (buffer.length < length) {
      throw invalidArgument(
        field,
        `a buffer of ${buffer.length} elements`,
        `at least ${length} long for these sizes`,
      );
    }
  }
}

export function requireObject(field: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw invalidArgument(field, value, "given");
}

function requireCount(field: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) {
    throw invalidArgument(field, value, "a whole number from 0 to 2147483647");
  }
}

function requireStride(field: string, value: number, multiple: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value % multiple !== 0) {
    throw invalidArgument(
      field,
      value,
      `a multiple of this kernel's vector, ${multiple} elements, and not negative`,
    );
  }
}
