/**
 * Opens a built library and hands out its kernels, memory, streams and events.
 *
 * In: a target, or a path. Out: a `Library`. Decides which target `auto` is; never falls back in silence.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import { statSync } from "node:fs";
import { join } from "node:path";
import { rejectionOf } from "../generator/legality.js";
import { invalidArgument, NormropeError } from "./errors.js";
import { checkStatus, gpuCount, loadLibrary, type NativeLibrary } from "./library.js";
import { type BuiltManifest, findKernel, type PointQuery, type Target } from "./manifest.js";
import {
  bytesOf,
  DeviceBuffer,
  type ElementType,
  Event,
  type HostData,
  type Session,
  Stream,
} from "./memory.js";
import { type DeviceRope, Kernel, requireObject } from "./op.js";
import type { RopeTable } from "./rope_table.js";

export interface OpenOptions {
  /** Default `auto`: `cuda` where there is a GPU, else `cpu`. A GPU without a CUDA library is an error. */
  readonly target?: Target | "auto" | undefined;
  /** A library file, or a folder that holds one for each target; default `build` in the working folder. */
  readonly path?: string | undefined;
}

/** A device of a library's target. */
export interface DeviceInfo {
  readonly name: string;
  /** Such as `sm_90`; empty on the CPU. */
  readonly arch: string;
  /** Hardware threads on the CPU. */
  readonly multiprocessors: number;
  /** 0 where it is not known. */
  readonly l2Bytes: number;
  readonly memoryBytes: number;
}

/**
 * @throws NormropeError `library-not-found`, `library-invalid`, `cpu-unsupported`, `no-device`.
 */
export async function open<Point extends PointQuery = PointQuery>(
  options: OpenOptions = {},
): Promise<Library<Point>> {
  requireObject("options", options);
  const { target = "auto", path = "build" } = options;
  if (target !== "auto" && target !== "cuda" && target !== "cpu") {
    throw invalidArgument("target", target, '"auto", "cuda" or "cpu"');
  }
  if (typeof path !== "string") throw invalidArgument("path", path, "a path");
  const native = loadLibrary(isFile(path) ? path : libraryIn(path, target));
  const built = native.manifest.build.target;
  if (target !== "auto" && built !== target) {
    throw invalidArgument("target", target, `"${built}", which ${native.path} was built for`);
  }
  return new Library<Point>(native);
}

function libraryIn(folder: string, target: Target | "auto"): string {
  const file = (name: Target) => join(folder, name, "libnormrope.so");
  if (target !== "auto") return file(target);
  if (gpuCount() === 0) return file("cpu");
  if (isFile(file("cuda"))) return file("cuda");
  throw new NormropeError(
    "library-not-found",
    `this machine has a GPU, and there is no ${file("cuda")}`,
    'Run `normrope build --target cuda`, or open target "cpu" to do without the GPU',
  );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

export type Support =
  | { readonly isSupported: true }
  | { readonly isSupported: false; readonly reason: string; readonly fix: string };

export class Library<Point extends PointQuery = PointQuery> implements Disposable {
  readonly path: string;
  readonly manifest: BuiltManifest;
  readonly #session: Session;

  constructor({ path, manifest, functions }: NativeLibrary) {
    this.path = path;
    this.manifest = manifest;
    this.#session = { functions, owned: new Set(), closed: false, launches: new Map() };
  }

  get target(): Target {
    return this.manifest.build.target;
  }

  /** The devices that the target can run on. */
  get devices(): readonly DeviceInfo[] {
    const { functions } = this.#session;
    const count = new Int32Array(1);
    checkStatus(functions, functions.deviceCount(bytesOf(count)));
    return Array.from({ length: count[0] ?? 0 }, (_, device) => {
      const info = new Uint8Array(288);
      checkStatus(functions, functions.deviceGetInfo(device, info));
      const view = new DataView(info.buffer);
      const [major, minor] = [view.getInt32(256, true), view.getInt32(260, true)];
      return {
        name: Buffer.from(info.subarray(0, info.subarray(0, 256).indexOf(0))).toString("utf8"),
        arch: major === 0 ? "" : `sm_${major}${minor}`,
        multiprocessors: view.getInt32(264, true),
        l2Bytes: Number(view.getBigInt64(272, true)),
        memoryBytes: Number(view.getBigInt64(280, true)),
      };
    });
  }

  /**
   * The kernel for a point; `rotaryDim` is `headDim` where it is left out.
   * @throws NormropeError `kernel-not-found` with the reason, and how to add the point where it can be had.
   */
  async kernel(point: Point): Promise<Kernel> {
    requireObject("point", point);
    const { kernels } = this.manifest;
    const index = findKernel(kernels, point);
    const facts = kernels[index];
    if (facts !== undefined) return new Kernel(this.#session, index, facts);
    const { message, fix } = this.#absence(point);
    throw new NormropeError("kernel-not-found", message, fix);
  }

  /** Whether the library holds a kernel for a point; where not, the reason, and what would add it. */
  supports(point: PointQuery): Support {
    requireObject("point", point);
    if (findKernel(this.manifest.kernels, point) >= 0) return { isSupported: true };
    const { message, fix } = this.#absence(point);
    return { isSupported: false, reason: message, fix };
  }

  /** Calls launched since the library was opened, by kernel id: whether the fused path is really taken. */
  get launches(): ReadonlyMap<string, number> {
    return this.#session.launches;
  }

  #absence(query: PointQuery): { message: string; fix: string } {
    const point = { ...query, rotaryDim: query.rotaryDim ?? query.headDim };
    const wanted = `headDim ${point.headDim}, rotaryDim ${point.rotaryDim}, ${point.rope}, ${point.dtype}`;
    const message = `${this.path} holds no kernel for ${wanted}`;
    const rejection = rejectionOf(point);
    if (rejection !== undefined) return { message, fix: `None can be made: ${rejection.reason}` };
    const fix = `Add it to normrope.config.ts (\`normrope add headDim ${point.headDim}\`, say) and run \`normrope build\``;
    return { message, fix };
  }

  /** Memory for `length` elements, uninitialised. */
  allocate<T extends ElementType>(type: T, length: number): DeviceBuffer<T> {
    return new DeviceBuffer(this.#session, type, length);
  }

  /** A buffer with a copy of host data; sixteen-bit floats are given as their bit patterns. */
  upload<T extends ElementType>(type: T, data: HostData[T]): DeviceBuffer<T> {
    const buffer = this.allocate(type, data.length);
    try {
      buffer.write(data);
    } catch (error) {
      buffer.free();
      throw error;
    }
    return buffer;
  }

  uploadRope(table: RopeTable): DeviceRope & Disposable {
    requireObject("table", table);
    if (!Number.isFinite(table.attentionFactor)) {
      throw invalidArgument("table.attentionFactor", table.attentionFactor, "a finite number");
    }
    if (!(table.turns instanceof BigUint64Array))
      throw invalidArgument("table.turns", table.turns, "a BigUint64Array");
    const turns = this.upload("uint64", table.turns);
    return { turns, attentionFactor: table.attentionFactor, [Symbol.dispose]: () => turns.free() };
  }

  createStream(): Stream {
    return new Stream(this.#session);
  }

  createEvent(): Event {
    return new Event(this.#session);
  }

  /** Waits for the default stream. */
  synchronize(): void {
    const { functions } = this.#session;
    checkStatus(functions, functions.streamSynchronize(0n));
  }

  /** Frees everything that was made from it; a second call does nothing. */
  close(): void {
    this.#session.closed = true;
    for (const owned of [...this.#session.owned]) owned.free();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
