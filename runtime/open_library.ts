/**
 * An open library: hands out its kernels, memory, streams and events.
 *
 * In: the functions of a loaded library and, with `jit`, the function that compiles kernels. Out: objects that are freed with
 * the library at the latest.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import { AXES } from "../dsl/axes.js";
import {
  type BuiltManifest,
  type ConfigPoint,
  findKernel,
  type ManifestOp,
  type PointQuery,
  type Target,
} from "../dsl/manifest.js";
import { completed } from "../dsl/points.js";
import {
  invalidArgument,
  NormropeError,
  requireFields,
  requireFloat32,
  requireObject,
  unfitArgument,
} from "./errors.js";
import { bytesOf, checkStatus, type NativeFunctions, type NativeLibrary } from "./library.js";
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
import type { DeviceRope } from "./run_options.js";
import { requireOpen, type Session } from "./session.js";
import { Event, Stream } from "./stream.js";
import { type Absence, absenceOf, chooseOp, type Support, supportOf } from "./support.js";

/** A device of a library's target. */
export interface DeviceInfo {
  /** The driver's name for it, or `CPU`. */
  readonly name: string;
  /** Such as `sm_90`; empty on the CPU. */
  readonly arch: string;
  /** Hardware threads on the CPU. */
  readonly multiprocessors: number;
  /** 0 if unknown. */
  readonly l2Bytes: number;
  /** Total memory in bytes. */
  readonly memoryBytes: number;
}

/** A complete request for a kernel. */
interface Wanted {
  readonly op: ManifestOp;
  readonly point: ConfigPoint;
}

/** Returns a library with a kernel that the open one lacks. @throws NormropeError. */
export type KernelCompiler = (wanted: Wanted, absence: Absence) => Promise<NativeLibrary>;

/** An open library. Closing it frees everything that was made from it. */
export class Library<Point extends PointQuery = PointQuery> implements Disposable {
  /** The library's file. */
  readonly path: string;
  /** The library's kernels and its build. */
  readonly manifest: BuiltManifest;
  readonly #session: Session;
  readonly #compile: KernelCompiler | undefined;
  /** Kernels that were compiled on first use, or are being compiled, by id. */
  readonly #compiled = new Map<string, Promise<Kernel>>();

  /** `open` calls it; the functions work on the device that was chosen. */
  constructor({ path, manifest, functions }: NativeLibrary, compile?: KernelCompiler) {
    this.path = path;
    this.manifest = manifest;
    this.#compile = compile;
    const { target } = manifest.build;
    this.#session = { functions, target, owned: new Set(), closed: false, launches: new Map() };
  }

  /** The target that it was built for. */
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
   * The kernel for a point. Axes at their default may be omitted, and the op if the library holds only one. With `jit`, a
   * missing kernel is found in the cache or compiled.
   * @throws NormropeError `kernel-not-found` with the reason and, if possible, how to add the point;
   * `compile-failed`, `invalid-argument`.
   */
  async kernel(point: Point): Promise<Kernel> {
    const wanted = this.#wanted(point);
    requireOpen(this.#session);
    if ("reason" in wanted) throw new NormropeError("kernel-not-found", wanted.reason, wanted.fix);
    const held = this.#kernelIn(this.manifest, this.#session.functions, wanted);
    if (held !== undefined) return held;
    const absence = absenceOf(this.path, this.#held(wanted), wanted.point);
    if (this.#compile === undefined || absence.configLine === undefined) {
      throw new NormropeError("kernel-not-found", absence.reason, absence.fix);
    }
    const kernel = await this.#compileOnce(this.#compile, wanted, absence);
    requireOpen(this.#session);
    return kernel;
  }

  #wanted(query: PointQuery): Wanted | Absence {
    requireObject("point", query);
    requireFields("point", query, ["op", ...AXES.map(({ name }) => name)]);
    const op = chooseOp(this.path, this.manifest.ops, query.op);
    if ("reason" in op) return op;
    const values = new Map(Object.entries(query));
    const names = op.axes.map(({ name }) => name);
    const surplus = AXES.find(({ name }) => values.get(name) !== undefined && !names.includes(name));
    if (surplus === undefined) return { op, point: completed(op.axes, query) };
    const want = `left out: the axes of ${op.name} are ${names.join(", ")}`;
    throw unfitArgument(`point.${surplus.name}`, "given", want);
  }

  #held({ op }: Wanted) {
    const { kernels, ops } = this.manifest;
    return { op, kernels, isOneOfSeveral: ops.length > 1 };
  }

  #kernelIn(
    { kernels }: BuiltManifest,
    functions: NativeFunctions,
    { op, point }: Wanted,
  ): Kernel | undefined {
    const entry = findKernel(kernels, op, point);
    return entry && new Kernel({ session: this.#session, functions, index: functions.find(entry.id), entry });
  }

  #compileOnce(compile: KernelCompiler, wanted: Wanted, absence: Absence): Promise<Kernel> {
    const name = JSON.stringify([wanted.op.name, wanted.point]);
    const known = this.#compiled.get(name);
    if (known !== undefined) return known;
    const compiling = compile(wanted, absence).then(({ manifest, functions }) => {
      const kernel = this.#kernelIn(manifest, functions, wanted);
      if (kernel !== undefined) return kernel;
      throw new NormropeError("compile-failed", `${absence.reason}, nor does what was compiled`, "Report it");
    });
    this.#compiled.set(name, compiling);
    // A later request tries again.
    compiling.catch(() => this.#compiled.delete(name));
    return compiling;
  }

  /**
   * Whether `kernel` returns a kernel for a point; if not, the reason, and the config line that would add it. With `jit`:
   * whether such a kernel can exist.
   * @throws NormropeError `invalid-argument`.
   */
  supports(point: PointQuery): Support {
    const wanted = this.#wanted(point);
    if ("reason" in wanted) return { isSupported: false, ...wanted };
    const support = supportOf(this.path, this.#held(wanted), wanted.point);
    const canBeMade = support.isSupported || support.configLine !== undefined;
    return this.#compile !== undefined && canBeMade ? { isSupported: true } : support;
  }

  /** Calls launched since the library was opened, by kernel id. It shows whether the fused path is taken. */
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
   * A buffer over the caller's memory: a raw address on the library's device or, for the CPU target, a typed array. The
   * caller keeps the memory alive while the buffer is used. It is never freed here.
   * @throws NormropeError `invalid-argument`, `closed`.
   */
  borrow<T extends ElementType>(type: T, memory: RawMemory | HostData[T]): DeviceBuffer<T> {
    return borrowBuffer(this.#session, type, memory);
  }

  /**
   * A buffer with a copy of host data. Sixteen-bit floats are bit patterns.
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
    const { attentionFactor, invFreq } = table;
    requireFloat32("table.attentionFactor", attentionFactor);
    if (!(invFreq instanceof Float64Array)) throw invalidArgument("table.invFreq", invFreq, "a Float64Array");
    const { functions } = this.#session;
    const host = new BigUint64Array(invFreq.length);
    const status = functions.ropeTable(invFreq, invFreq.length, host);
    checkStatus(functions, status, (field) => field.replace("inv_freq", "table.invFreq"));
    const turns = this.upload("uint64", host);
    return { turns, attentionFactor, [Symbol.dispose]: () => turns.free() };
  }

  /** A stream that does not wait for the default stream. @throws NormropeError `no-device`, `closed`. */
  createStream(): Stream {
    return new Stream(this.#session);
  }

  /** An event: a mark in a stream, with a time. @throws NormropeError `no-device`, `closed`. */
  createEvent(): Event {
    return new Event(this.#session);
  }

  /** Waits for the default stream. @throws NormropeError `closed`, `device-error`, which an earlier launch may have caused. */
  synchronize(): void {
    requireOpen(this.#session);
    const { functions } = this.#session;
    checkStatus(functions, functions.streamSynchronize(0n));
  }

  /**
   * Frees everything that was made from the library. A second call does nothing.
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
