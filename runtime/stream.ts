/**
 * Streams and events of the library's device.
 *
 * In: the functions of a loaded library. Out: objects that own their handle. On the CPU target every call has finished
 * when it returns: streams order nothing there, and events still tell the time.
 */
import { invalidArgument } from "./errors.js";
import { type Address, bytesOf, checkStatus } from "./library.js";
import { Owned, type Session, takeHandle } from "./session.js";

/** A stream runs its work in order. On the CPU target every call has finished when it returns. */
export class Stream extends Owned {
  constructor(session: Session) {
    const { streamCreate, streamDestroy } = session.functions;
    super(session, "stream", takeHandle(session, streamCreate), streamDestroy);
  }

  /** Waits until everything launched on it is done. @throws NormropeError `closed`, `device-error`. */
  synchronize(): void {
    checkStatus(this.functions, this.functions.streamSynchronize(this.address));
  }
}

/** A mark in a stream, with a time. */
export class Event extends Owned {
  constructor(session: Session) {
    const { eventCreate, eventDestroy } = session.functions;
    super(session, "event", takeHandle(session, eventCreate), eventDestroy);
  }

  /** Records the event after everything launched in the stream so far. @throws NormropeError `invalid-argument`, `closed`. */
  record(stream?: Stream): void {
    checkStatus(
      this.functions,
      this.functions.eventRecord(this.address, streamAddress(this.session, stream)),
    );
  }

  /**
   * Milliseconds from an earlier event to this one, after waiting for it.
   * @throws NormropeError `invalid-argument`, `closed`, `device-error`.
   */
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
