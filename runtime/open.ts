/**
 * Opens a built library and hands out its kernels, memory, streams and events.
 *
 * In: a target, or a path. Out: a `Library`. Decides which target `auto` is; never falls back in silence.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import type { DeviceRope } from "./call.js";
import {
  invalidArgument,
  isA,
  NormropeError,
  quoted,
  reading,
  requireFields,
  requireFloat32,
  requireObject,
} from "./errors.js";
import {
  bytesOf,
  checkStatus,
  gpuCount,
  loadLibrary,
  type NativeFunctions,
  type NativeLibrary,
  onDevice,
} from "./library.js";
import { type BuiltManifest, findKernel, LIBRARY_NAME, type PointQuery, type Target } from "./manifest.js";
import {
  allocateBuffer,
  borrowBuffer,
  type DeviceBuffer,
  type ElementType,
  type HostData,
  type RawMemory,
  requireHostArray,
} from "./memory.js";
import { Kernel } from "./op.js";
import type { RopeTable } from "./rope_table.js";
import { requireOpen, type Session } from "./session.js";
import { Event, Stream } from "./stream.js";
import { absenceOf, type Support, supportOf } from "./support.js";

/** Which library to open, and on which device. */
export interface OpenOptions {
  /** Default `auto`: `cuda` where there is a GPU, else `cpu`. A GPU without a CUDA library is an error. */
  readonly target?: Target | "auto" | undefined;
  /** A library file, or a folder that holds one for each target; default `build` in the working folder. */
  readonly path?: string | undefined;
  /**
   * Index in `library.devices`; default 0. Where there are several, every call makes it the current device of the
   * calling thread.
   */
  readonly device?: number | undefined;
}

/** A device of a library's target. */
export interface DeviceInfo {
  /** As the driver names it; `CPU` for the CPU. */
  readonly name: string;
  /** Such as `sm_90`; empty on the CPU. */
  readonly arch: string;
  /** Hardware threads on the CPU. */
  readonly multiprocessors: number;
  /** 0 where it is not known. */
  readonly l2Bytes: number;
  /** All of it, used or not. */
  readonly memoryBytes: number;
}

/**
 * Opens a library that `normrope build` made. One for CUDA opens where there is no GPU too: its `devices` are empty
 * then, and what needs one throws `no-device`.
 * @throws NormropeError `library-not-found`, `library-invalid`, `cpu-unsupported`, `no-device`, `invalid-argument`.
 */
export async function open<Point extends PointQuery = PointQuery>(
  options: OpenOptions = {},
): Promise<Library<Point>> {
  requireObject("options", options);
  const { target, path, device } = reading("options", () => {
    requireFields("options", options, ["target", "path", "device"]);
    const { target = "auto", path = "build", device = 0 } = options;
    return { target, path, device };
  });
  if (target !== "auto" && target !== "cuda" && target !== "cpu") {
    throw invalidArgument("target", target, '"auto", "cuda" or "cpu"');
  }
  if (typeof path !== "string") throw invalidArgument("path", path, "a path");
  const native = loadLibrary(resolve(isFile(path) ? path : libraryIn(path, target)));
  const built = native.manifest.build.target;
  if (target !== "auto" && built !== target) {
    throw invalidArgument("target", target, `"${built}", which ${quoted(native.path)} was built for`);
  }
  return new Library<Point>({ ...native, functions: chooseDevice(native, device) });
}

/** The functions of the library, working on one of its devices. */
function chooseDevice({ functions, path }: NativeLibrary, device: number): NativeFunctions {
  const out = new Int32Array(1);
  checkStatus(functions, functions.deviceCount(bytesOf(out)));
  const count = out[0] ?? 0;
  if (device === 0 && count <= 1) return functions;
  if (Number.isInteger(device) && device >= 0 && device < count) return onDevice(functions, device);
  if (count === 0)
    throw new NormropeError("no-device", `${quoted(path)} finds no GPU`, "See `normrope doctor`");
  throw invalidArgument(
    "device",
    device,
    `a whole number below ${count}, the devices that ${quoted(path)} can run on`,
  );
}

/** The target that `auto` stands for on this machine. */
export function chosenTarget(target: Target | "auto"): Target {
  return target !== "auto" ? target : gpuCount() > 0 ? "cuda" : "cpu";
}

function libraryIn(folder: string, target: Target | "auto"): string {
  const file = (name: Target) => join(folder, name, LIBRARY_NAME);
  const chosen = chosenTarget(target);
  if (existsSync(file(chosen))) return file(chosen);
  const why = target === "auto" && chosen === "cuda" ? "this machine has a GPU, and " : "";
  const instead =
    target === "auto" && chosen === "cuda" ? ', or open target "cpu" to do without the GPU' : "";
  throw new NormropeError(
    "library-not-found",
    `${why}there is no ${quoted(resolve(file(chosen)))}`,
    `Run \`normrope build --target ${chosen}\`, or give the \`path\` of another build folder${instead}`,
  );
}

/** A copy, so that every look at the point sees the same. */
function readPoint(point: PointQuery): PointQuery {
  requireObject("point", point);
  return reading("point", () => {
    requireFields("point", point, ["headDim", "rotaryDim", "rope", "dtype"]);
    const { headDim, rotaryDim, rope, dtype } = point;
    return { headDim, rotaryDim, rope, dtype };
  });
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false; // what keeps it from being read is said where it is read
  }
}

/** An open library. It frees everything that was made from it when it is closed. */
export class Library<Point extends PointQuery = PointQuery> implements Disposable {
  /** The library's file. */
  readonly path: string;
  /** What the library holds, and how it was built. */
  readonly manifest: BuiltManifest;
  readonly #session: Session;

  /** `open` calls it; the functions work on the device that was chosen. */
  constructor({ path, manifest, functions }: NativeLibrary) {
    this.path = path;
    this.manifest = manifest;
    const { target } = manifest.build;
    this.#session = { functions, target, owned: new Set(), closed: false, launches: new Map() };
  }

  /** What it was built for. */
  get target(): Target {
    return this.#session.target;
  }

  /** The devices that the target can run on. @throws NormropeError `device-error`. */
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
    const wanted = readPoint(point);
    requireOpen(this.#session);
    const index = findKernel(this.manifest.kernels, wanted);
    const facts = this.manifest.kernels[index];
    if (facts !== undefined) return new Kernel(this.#session, index, facts);
    const { reason, fix } = absenceOf(this.path, this.manifest, wanted);
    throw new NormropeError("kernel-not-found", reason, fix);
  }

  /** Whether the library holds a kernel for a point; where not, the reason, and the config line that would add it. */
  supports(point: PointQuery): Support {
    return supportOf(this.path, this.manifest, readPoint(point));
  }

  /** Calls launched since the library was opened, by kernel id: whether the fused path is really taken. */
  get launches(): ReadonlyMap<string, number> {
    return new Map(this.#session.launches);
  }

  /**
   * Memory for `length` elements on the library's device, uninitialised.
   * @throws NormropeError `invalid-argument`, `out-of-memory`, `no-device`, `closed`.
   */
  allocate<T extends ElementType>(type: T, length: number): DeviceBuffer<T> {
    return allocateBuffer(this.#session, type, length);
  }

  /**
   * A buffer over memory that the caller owns: a raw address on the library's device, or, for the CPU target, a typed
   * array, which is then read and written in place. The caller keeps raw memory alive for as long as the buffer is
   * used; nothing here ever frees it.
   * @throws NormropeError `invalid-argument`, `closed`.
   */
  borrow<T extends ElementType>(type: T, memory: RawMemory | HostData[T]): DeviceBuffer<T> {
    return borrowBuffer(this.#session, type, memory);
  }

  /**
   * A buffer with a copy of host data; sixteen-bit floats are given as their bit patterns.
   * @throws NormropeError `invalid-argument`, `out-of-memory`, `no-device`, `closed`.
   */
  upload<T extends ElementType>(type: T, data: HostData[T]): DeviceBuffer<T> {
    requireHostArray(type, data);
    const buffer = this.allocate(type, data.length);
    try {
      buffer.write(data);
    } catch (error) {
      buffer.free();
      throw error;
    }
    return buffer;
  }

  /** A RoPE table on the device. @throws NormropeError `invalid-argument`, `out-of-memory`, `no-device`, `closed`. */
  uploadRope(table: RopeTable): DeviceRope & Disposable {
    requireObject("table", table);
    const [attentionFactor, host] = reading("table", () => [table.attentionFactor, table.turns] as const);
    requireFloat32("table.attentionFactor", attentionFactor);
    if (!isA(host, BigUint64Array)) throw invalidArgument("table.turns", host, "a BigUint64Array");
    const turns = this.upload("uint64", host);
    return { turns, attentionFactor, [Symbol.dispose]: () => turns.free() };
  }

  /** A stream whose work does not wait for the default stream's. @throws NormropeError `no-device`, `closed`. */
  createStream(): Stream {
    return new Stream(this.#session);
  }

  /** A mark to be recorded in a stream, with its time. @throws NormropeError `no-device`, `closed`. */
  createEvent(): Event {
    return new Event(this.#session);
  }

  /** Waits for the default stream. @throws NormropeError `closed`, `device-error`: of an earlier launch, too. */
  synchronize(): void {
    requireOpen(this.#session);
    const { functions } = this.#session;
    checkStatus(functions, functions.streamSynchronize(0n));
  }

  /**
   * Frees everything that was made from it; a second call does nothing.
   * @throws NormropeError `device-error`, the first, after everything else was freed.
   */
  close(): void {
    this.#session.closed = true;
    const errors: unknown[] = [];
    for (const owned of [...this.#session.owned]) {
      try {
        owned.free();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
