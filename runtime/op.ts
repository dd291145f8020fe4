/**
 * The public call: a kernel of an open library, run once or prepared to be run again and again.
 *
 * In: checked and packed arguments from `call`. Out: a launch, or a typed error and nothing launched.
 */
import { type PackedCall, packCall, type RunOptions } from "./call.js";
import { checkStatus } from "./library.js";
import type { ConfigPoint, ManifestKernel } from "./manifest.js";
import { requireOpen, type Session } from "./session.js";

/** A kernel of an open library; `library.kernel` gives it. */
export class Kernel {
  /** Such as `qk_norm_rope__bf16_d128_r128_neox`. */
  readonly id: string;
  /** What the kernel is specialised for. */
  readonly point: ConfigPoint;
  readonly #session: Session;
  readonly #index: number;
  readonly #facts: ManifestKernel;

  constructor(session: Session, index: number, facts: ManifestKernel) {
    this.id = facts.id;
    this.point = facts.point;
    this.#session = session;
    this.#index = index;
    this.#facts = facts;
  }

  /**
   * Normalises and rotates q and k. Returns when the work is launched; the CPU target has finished it.
   * @throws NormropeError `invalid-argument`, `closed`, `no-device`, `device-error`; nothing was launched.
   */
  run(options: RunOptions): void {
    launch(this.#session, this.#index, this.id, packCall(this.#session, this.#facts, options));
  }

  /**
   * Does once what `run` does before the launch: checks and packs the arguments, and loads the kernel on the device,
   * so that even a first launch can be captured in a CUDA graph. The call reads the buffers anew each time that it
   * is run; sizes, strides, stream and eps are those given here.
   * @throws NormropeError `invalid-argument`, `closed`, `no-device`, `device-error`.
   */
  prepare(options: RunOptions): PreparedCall {
    const call = packCall(this.#session, this.#facts, options);
    const { functions } = this.#session;
    checkStatus(functions, functions.check(this.#index, call.args));
    checkStatus(functions, functions.prepare(this.#index));
    return new PreparedCall(this.#session, this.#index, this.id, call);
  }
}

/** A call whose arguments were checked: to run it costs one call into the library. `kernel.prepare` makes it. */
export class PreparedCall {
  readonly #session: Session;
  readonly #index: number;
  readonly #id: string;
  readonly #call: PackedCall;
  constructor(session: Session, index: number, id: string, call: PackedCall) {
    this.#session = session;
    this.#index = index;
    this.#id = id;
    this.#call = call;
  }

  /**
   * Launches again.
   * @throws NormropeError `closed` where a buffer or the stream was freed since, `device-error`; nothing was launched.
   */
  run(): void {
    requireOpen(this.#session);
    for (const [field, owned] of this.#call.uses) owned.requireAlive(field);
    launch(this.#session, this.#index, this.#id, this.#call);
  }
}

function launch(session: Session, index: number, id: string, { args, stream, isEmpty }: PackedCall): void {
  checkStatus(session.functions, session.functions.run(index, args, stream));
  if (isEmpty) return;
  session.launches.set(id, (session.launches.get(id) ?? 0) + 1);
}
