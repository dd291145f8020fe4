/**
 * The public call: a kernel of an open library, run once, or prepared and run many times.
 *
 * In: checked and packed arguments from `call`. Out: a launch, or a typed error and nothing launched.
 */
import type { ConfigPoint, ManifestKernel } from "../dsl/manifest.js";
import { type PackedCall, packCall } from "./call.js";
import { bytesOf, checkStatus, type NativeFunctions } from "./library.js";
import type { RunOptions } from "./run_options.js";
import { requireOpen, type Session } from "./session.js";

/** A kernel and the library that holds it. */
export interface LoadedKernel {
  readonly session: Session;
  /** The functions of the library that holds it: the session's, or one that was compiled on first use. */
  readonly functions: NativeFunctions;
  readonly index: number;
  readonly entry: ManifestKernel;
}

/** Dispatch's decisions for a call; all 0 if there is nothing to launch. */
export interface LaunchInfo {
  /** 0 for the latency layout, 1 for the throughput layout; 0 on the CPU. */
  readonly layout: number;
  /**
   * The most heads of a task; 1 on the CPU. In the throughput layout a side whose heads leave a quarter or more of the places in its
   * warps empty has tasks of one head.
   */
  readonly headsPerTask: number;
  /** Slices of the tokens, launched one after the other; 1 on the CPU. */
  readonly slices: number;
  /** Whether it is a programmatic dependent launch. */
  readonly isDependent: boolean;
}

/** A kernel of an open library: the result of `library.kernel`. */
export class Kernel {
  /** Such as `qk_norm_rope__bf16_d128_r128_neox`. */
  readonly id: string;
  /** The name of its op. */
  readonly op: string;
  /** The point that the kernel is specialised for. */
  readonly point: ConfigPoint;
  readonly #loaded: LoadedKernel;

  constructor(loaded: LoadedKernel) {
    this.id = loaded.entry.id;
    this.op = loaded.entry.op;
    this.point = loaded.entry.point;
    this.#loaded = loaded;
  }

  /**
   * Applies the op's stages to the heads. Returns when the work is launched; on the CPU target, when it is done.
   * @throws NormropeError `invalid-argument`, `closed`, `no-device`, `device-error`; nothing was launched.
   */
  run(options: RunOptions): void {
    const { session, entry } = this.#loaded;
    launch(this.#loaded, packCall(session, entry, options));
  }

  /**
   * Tells what `run` would launch. Reads no data and launches nothing.
   * @throws NormropeError `invalid-argument`, `closed`, `no-device`, `device-error`.
   */
  launchInfo(options: RunOptions): LaunchInfo {
    const { session, functions, index, entry } = this.#loaded;
    const call = packCall(session, entry, options);
    const info = new Int32Array(8);
    checkStatus(functions, functions.launchInfo(index, call.args, bytesOf(info)), call.callerField);
    const [layout = 0, headsPerTask = 0, slices = 0, isDependent] = info;
    return { layout, headsPerTask, slices, isDependent: isDependent === 1 };
  }

  /**
   * Does once what `run` does before each launch: checks and packs the arguments. It also loads the kernel on the device,
   * so that even the first launch can be captured in a CUDA graph. Each run reads the buffers anew. Sizes, strides, stream
   * and eps are those given here.
   * @throws NormropeError `invalid-argument`, `closed`, `no-device`, `device-error`.
   */
  prepare(options: RunOptions): PreparedCall {
    const { session, functions, index, entry } = this.#loaded;
    const call = packCall(session, entry, options);
    checkStatus(functions, functions.check(index, call.args), call.callerField);
    checkStatus(functions, functions.prepare(index));
    return new PreparedCall(this.#loaded, call);
  }
}

/** A call with checked arguments: the result of `kernel.prepare`. Running it costs one call into the library. */
export class PreparedCall {
  readonly #loaded: LoadedKernel;
  readonly #call: PackedCall;

  constructor(loaded: LoadedKernel, call: PackedCall) {
    this.#loaded = loaded;
    this.#call = call;
  }

  /**
   * Launches again.
   * @throws NormropeError `closed` if a buffer or the stream was freed since, `device-error`; nothing was launched.
   */
  run(): void {
    requireOpen(this.#loaded.session);
    for (const [field, owned] of this.#call.uses) owned.requireAlive(field);
    launch(this.#loaded, this.#call);
  }
}

function launch({ session, functions, index, entry }: LoadedKernel, call: PackedCall): void {
  checkStatus(functions, functions.run(index, call.args, call.stream), call.callerField);
  if (call.isEmpty) return;
  session.launches.set(entry.id, (session.launches.get(entry.id) ?? 0) + 1);
}
