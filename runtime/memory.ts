/**
 * Memory of the library's device.
 *
 * In: an open library's session. Out: buffers that own their memory, and buffers over the caller's memory, which is
 * never freed here; checked copies from and to the host.
 */
import { invalidArgument, NormropeError, unfitArgument } from "./errors.js";
import { type Address, addressOf, bytesOf, checkStatus } from "./library.js";
import { Owned, requireOpen, type Session, takeHandle } from "./session.js";
import { type Stream, streamAddress } from "./stream.js";

/** Element types and their bytes. */
export const ELEMENT_BYTES = {
  bf16: 2,
  f16: 2,
  e4m3: 1,
  float32: 4,
  int32: 4,
  int64: 8,
  uint8: 1,
  uint64: 8,
} as const;
/** The element type of a buffer. */
export type ElementType = keyof typeof ELEMENT_BYTES;

/** Host data for a buffer. Sixteen-bit floats are bit patterns. */
export interface HostData {
  /** Bit patterns: `encodeAll` makes them. */
  readonly bf16: Uint16Array;
  /** Bit patterns: `encodeAll` makes them. */
  readonly f16: Uint16Array;
  /** FP8, bit patterns: `encodeAll` makes them. */
  readonly e4m3: Uint8Array;
  /** Weights, cosines and sines of float32, scales, and inputs of your own stages. */
  readonly float32: Float32Array;
  /** Positions and slots. */
  readonly int32: Int32Array;
  /** Positions and slots. */
  readonly int64: BigInt64Array;
  /** The axis of each pair. */
  readonly uint8: Uint8Array;
  /** RoPE tables. */
  readonly uint64: BigUint64Array;
}

const HOST_ARRAYS = {
  bf16: Uint16Array,
  f16: Uint16Array,
  e4m3: Uint8Array,
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint64: BigUint64Array,
} as const;

/** Memory of the library's device: `length` elements of one type. */
export class DeviceBuffer<T extends ElementType = ElementType> extends Owned {
  /** The type of its elements. */
  readonly type: T;
  /** In elements. */
  readonly length: number;

  constructor(
    session: Session,
    type: T,
    length: number,
    address: Address,
    release: (address: Address) => number,
  ) {
    super(session, "buffer", address, release);
    this.type = type;
    this.length = length;
    Object.freeze(this); // type and length bound every access
  }

  /** In bytes. */
  get byteLength(): number {
    return this.length * ELEMENT_BYTES[this.type];
  }

  /**
   * Copies from the host, to element `offset` on, in a stream (default: the default stream); done when it returns.
   * It waits for that stream only; wait for others yourself.
   * @throws NormropeError `invalid-argument`, `closed`, `device-error`, which an earlier launch in the stream may have caused.
   */
  write(data: HostData[T], offset = 0, stream?: Stream): void {
    const bytes = this.#bytesOf(data, offset);
    const queue = streamAddress(this.session, stream);
    const to = this.address + BigInt(offset * ELEMENT_BYTES[this.type]);
    checkStatus(this.functions, this.functions.copyToDevice(to, bytes, bytes.length, queue));
  }

  /**
   * Copies to the host, from element `offset` on, in a stream (default: the default stream); done when it returns.
   * It waits for that stream only; wait for others yourself.
   * @throws NormropeError `invalid-argument`, `closed`, `device-error`, which an earlier launch in the stream may have caused.
   */
  read(into: HostData[T], offset = 0, stream?: Stream): HostData[T] {
    const bytes = this.#bytesOf(into, offset);
    const queue = streamAddress(this.session, stream);
    const from = this.address + BigInt(offset * ELEMENT_BYTES[this.type]);
    checkStatus(this.functions, this.functions.copyToHost(bytes, from, bytes.length, queue));
    return into;
  }

  /** The bytes of a host array. It must fit the buffer from element `offset` on. */
  #bytesOf(data: HostData[T], offset: number): Uint8Array {
    requireHostArray(this.type, data);
    const bytes = bytesOf(data);
    const length = bytes.length / ELEMENT_BYTES[this.type];
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.length) {
      throw invalidArgument("offset", offset, `a whole number from 0 to the buffer's length, ${this.length}`);
    }
    if (offset + length <= this.length) return bytes;
    const room = `at most ${this.length - offset} long, from element ${offset} of a buffer of ${this.length}`;
    throw unfitArgument("data", `${length} elements long`, room);
  }
}

/** A buffer over the caller's host array. The array may be detached while the buffer is in use. */
class HostBuffer<T extends ElementType> extends DeviceBuffer<T> {
  readonly #bytes: Uint8Array;

  constructor(session: Session, type: T, array: HostData[T]) {
    const bytes = bytesOf(array);
    super(session, type, bytes.length / ELEMENT_BYTES[type], addressOf(bytes), () => 0);
    this.#bytes = bytes;
  }

  override requireAlive(field = "the buffer"): void {
    super.requireAlive(field);
    if (this.#bytes.length === this.byteLength) return;
    throw new NormropeError(
      "closed",
      `${field} is on an array that gave its memory away`,
      "Borrow another array",
    );
  }
}

/** A new buffer, 256-byte aligned and uninitialised. */
export function allocateBuffer<T extends ElementType>(
  session: Session,
  type: T,
  length: number,
): DeviceBuffer<T> {
  requireType(type);
  requireLength(length);
  const { memoryAllocate, memoryFree } = session.functions;
  const address = takeHandle(session, (out) => memoryAllocate(length * ELEMENT_BYTES[type], out));
  return new DeviceBuffer(session, type, length, address, memoryFree);
}

/** Memory that the caller owns and keeps alive. */
export interface RawMemory {
  /** A CUDA device pointer, or a host pointer for the CPU target; a multiple of the element's size. */
  readonly address: bigint;
  /** In elements. */
  readonly length: number;
}

/** A buffer over the caller's memory. Freeing the buffer does not free the memory. */
export function borrowBuffer<T extends ElementType>(
  session: Session,
  type: T,
  memory: RawMemory | HostData[T],
): DeviceBuffer<T> {
  requireOpen(session);
  requireType(type);
  if (ArrayBuffer.isView(memory)) return borrowArray(session, type, memory);
  if (typeof memory !== "object" || memory === null) {
    throw invalidArgument("memory", memory, "{ address, length } or a typed array");
  }
  const { address, length } = memory;
  requireLength(length);
  const bytes = BigInt(ELEMENT_BYTES[type]);
  const isAddress =
    typeof address === "bigint" && address > 0n && address + BigInt(length) * bytes < 2n ** 64n;
  if (!isAddress || address % bytes !== 0n) {
    throw invalidArgument(
      "address",
      address,
      `a bigint that is a multiple of ${bytes}, the bytes of a ${type}`,
    );
  }
  return new DeviceBuffer(session, type, length, address, () => 0);
}

function borrowArray<T extends ElementType>(session: Session, type: T, array: HostData[T]): DeviceBuffer<T> {
  requireHostArray(type, array);
  if (session.target !== "cpu") {
    throw invalidArgument(
      "memory",
      array,
      "device memory for the CUDA target: `upload` copies an array there",
    );
  }
  const { resizable, growable } = array.buffer as { resizable?: unknown; growable?: unknown };
  if (resizable === true || growable === true) {
    throw invalidArgument("memory", array, "an array whose memory cannot be resized");
  }
  return new HostBuffer(session, type, array);
}

function requireType(type: unknown): void {
  const types = Object.keys(ELEMENT_BYTES);
  if (typeof type !== "string" || !types.includes(type))
    throw invalidArgument("type", type, `one of ${types.join(", ")}`);
}

function requireLength(length: unknown): void {
  if (!Number.isSafeInteger(length) || Number(length) < 0)
    throw invalidArgument("length", length, "a whole number from 0");
}

/** @throws NormropeError `invalid-argument` for what is no array of the type. */
export function requireHostArray(type: ElementType, data: ArrayBufferView): void {
  requireType(type);
  const HostArray = HOST_ARRAYS[type];
  if (!(ArrayBuffer.isView(data) && data instanceof HostArray)) {
    throw invalidArgument("data", data, `a ${HostArray.name} for ${type}`);
  }
  if (isDetached(data.buffer))
    throw invalidArgument("data", data, "an array whose memory was not given away");
}

function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength > 0) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}
