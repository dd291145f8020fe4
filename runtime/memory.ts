/**
 * Device memory, streams and events.
 *
 * In: the functions of a loaded library. Out: objects that own what they hold, free it once, and refuse use after.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import { invalidArgument, NormropeError } from "./errors.js";
import { type Address, checkStatus, type NativeFunctions } from "./library.js";

/** What a buffer holds, and bytes of one element. */
export const ELEMENT_BYTES = { bf16: 2, f16: 2, int32: 4, int64: 8, uint64: 8 } as const;
export type ElementType = keyof typeof ELEMENT_BYTES;

/** Host data for a buffer: sixteen-bit floats are given as their bit patterns. */
export interface HostData {
  readonly bf16: Uint16Array;
  readonly f16: Uint16Array;
  readonly int32: Int32Array;
  readonly int64: BigInt64Array;
  readonly uint64: BigUint64Array;
}

const HOST_ARRAYS = {
  bf16: Uint16Array,
  f16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
} as const;

/** What an open library shares with everything made from it. */
export interface Session {
  readonly functions: NativeFunctions;
  /** Everything to be freed on close. */
  readonly owned: Set<Owned>;
  closed: boolean;
  /** Calls that were launched, by kernel id. */
  readonly launches: Map<string, number>;
}

/** A handle of the library: used while open, freed once. */
abstract class Owned implements Disposable {
  readonly #session: Session;
  readonly #what: string;
  #address: Address | undefined;

  constructor(session: Session, what: string, address: Address) {
    this.#session = session;
    this.#what = what;
    this.#address = address;
    session.owned.add(this);
  }

  protected abstract release(functions: NativeFunctions, address: Address): number;

  protected get functions(): NativeFunctions {
    return this.#session.functions;
  }

  protected get session(): Session {
    return this.#session;
  }

  /** Where it is. @throws NormropeError `closed` after it was freed. */
  get address(): Address {
    if (this.#address !== undefined) return this.#address;
    throw new NormropeError("closed", `the ${this.#what} was freed`, "Make a new one");
  }

  belongsTo(session: Session): boolean {
    return this.#session === session;
  }

  /** Gives it back; a second call does nothing. */
  free(): void {
    const address = this.#address;
    if (address === undefined) return;
    this.#address = undefined;
    this.#session.owned.delete(this);
    checkStatus(this.functions, this.release(this.functions, address));
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

export type { Owned };

/** Memory of the library's device: `length` elements of one type, 256-byte aligned. */
export class DeviceBuffer<T extends ElementType = ElementType> extends Owned {
  readonly type: T;
  readonly length: number;

  constructor(session: Session, type: T, length: number) {
    if (!Object.hasOwn(ELEMENT_BYTES, type))
      throw invalidArgument("type", type, `one of ${Object.keys(ELEMENT_BYTES).join(", ")}`);
    if (!Number.isSafeInteger(length) || length < 0)
      throw invalidArgument("length", length, "a whole number from 0");
    const bytes = length * ELEMENT_BYTES[type];
    super(
      session,
      "buffer",
      takeHandle(session, (out) => session.functions.allocate(bytes, out)),
    );
    this.type = type;
    this.length = length;
  }

  get byteLength(): number {
    return this.length * ELEMENT_BYTES[this.type];
  }

  protected override release(functions: NativeFunctions, address: Address): number {
    return functions.free(address);
  }

  /** Copies from the host, to element `offset` on; done when it returns. */
  write(data: HostData[T], offset = 0, stream?: Stream): void {
    this.#checkHost(data, offset);
    const queue = streamAddress(this.session, stream);
    const bytes = bytesOf(data);
    const to = this.address + BigInt(offset * ELEMENT_BYTES[this.type]);
    checkStatus(this.functions, this.functions.copyToDevice(to, bytes, bytes.length, queue));
  }

  /** Copies to the host, from element `offset` on; done when it returns. */
  read(into: HostData[T], offset = 0, stream?: Stream): HostData[T] {
    this.#checkHost(into, offset);
    const queue = streamAddress(this.session, stream);
    const bytes = bytesOf(into);
    const from = this.address + BigInt(offset * ELEMENT_BYTES[this.type]);
    checkStatus(this.functions, this.functions.copyToHost(bytes, from, bytes.length, queue));
    return into;
  }

  #checkHost(data: unknown, offset: number): void {
    const HostArray = HOST_ARRAYS[this.type];
    if (!(data instanceof HostArray))
      throw invalidArgument("data", data, `a ${HostArray.name} for ${this.type}`);
    if (isDetached(data.buffer))
      throw invalidArgument("data", data, "an array whose memory was not given away");
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + data.length > this.length) {
      throw invalidArgument(
        "offset",
        offset,
        `such that ${data.length} elements fit the buffer's ${this.length}`,
      );
    }
  }
}

/** Work in one stream is done in its order. On the CPU target every call has finished when it returns. */
export class Stream extends Owned {
  constructor(session: Session) {
    super(
      session,
      "stream",
      takeHandle(session, (out) => session.functions.streamCreate(out)),
    );
  }

  protected override release(functions: NativeFunctions, address: Address): number {
    return functions.streamDestroy(address);
  }

  /** Waits until everything launched on it is done. */
  synchronize(): void {
    checkStatus(this.functions, this.functions.streamSynchronize(this.address));
  }
}

/** A mark in a stream, with a time. */
export class Event extends Owned {
  constructor(session: Session) {
    super(
      session,
      "event",
      takeHandle(session, (out) => session.functions.eventCreate(out)),
    );
  }

  protected override release(functions: NativeFunctions, address: Address): number {
    return functions.eventDestroy(address);
  }

  record(stream?: Stream): void {
    checkStatus(
      this.functions,
      this.functions.eventRecord(this.address, streamAddress(this.session, stream)),
    );
  }

  /** Milliseconds from an earlier event to this one, after waiting for it. */
  millisecondsSince(start: Event): number {
    if (!(start instanceof Event && start.belongsTo(this.session))) {
      throw invalidArgument("start", start, "an event of this library");
    }
    const out = new Float32Array(1);
    checkStatus(this.functions, this.functions.eventElapsed(bytesOf(out), start.address, this.address));
    return out[0] ?? Number.NaN;
  }
}

/** The handle of a stream, or of the default stream. */
export function streamAddress(session: Session, stream: Stream | undefined): Address {
  if (stream === undefined) return 0n;
  if (stream instanceof Stream && stream.belongsTo(session)) return stream.address;
  throw invalidArgument("stream", stream, "a stream of this library");
}

function takeHandle(session: Session, create: (out: Uint8Array) => number): Address {
  if (session.closed) throw new NormropeError("closed", "the library was closed", "Open it again");
  const out = new BigUint64Array(1);
  checkStatus(session.functions, create(bytesOf(out)));
  return out[0] ?? 0n;
}

export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
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
