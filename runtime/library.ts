/**
 * Loads the shared library: the only file that uses koffi.
 *
 * In: the path of a built library. Out: its C functions with typed arguments. Before it is loaded, the file must be the
 * one of its manifest, for this CPU and this version of the C interface. koffi checks no argument: callers must.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import koffi from "koffi";
import { type FunctionName, kindsOf } from "../dsl/functions.js";
import { ABI_VERSION, type BuiltManifest, MANIFEST_NAME } from "../dsl/manifest.js";
import { camelCase } from "./camel_case.js";
import { cpuFeatures } from "./cpu_features.js";
import { type ErrorCode, NormropeError, quoted, reasonOf, unfitArgument } from "./errors.js";
import { describesLibrary, parseBuiltManifest } from "./read_manifest.js";

/** koffi's default is too small: the driver and the CPU kernels run on this stack. */
const CALL_STACK_BYTES = 8 * 1024 * 1024;

const REBUILD = "Run `normrope build` to make it anew";
const REBUILD_OR_RESTART = "Start a new process if it was built anew since; otherwise run `normrope build`";

/** Address in the memory of the library's device; 0n is NULL. */
export type Address = bigint;

/** The C functions of normrope.h. Those that return a number return a status, 0 or negative. */
export interface NativeFunctions {
  readonly abi: () => number;
  readonly manifest: () => string;
  readonly find: (id: string) => number;
  readonly prepare: (kernel: number) => number;
  readonly check: (kernel: number, args: Uint8Array) => number;
  readonly launchInfo: (kernel: number, args: Uint8Array, launch: Uint8Array) => number;
  readonly run: (kernel: number, args: Uint8Array, stream: Address) => number;
  readonly ropeTable: (invFreq: Float64Array, n: number, table: BigUint64Array) => number;
  readonly statusText: (status: number) => string;
  readonly lastError: () => string;
  readonly lastErrorField: () => string;
  readonly lastErrorValue: () => string;
  readonly lastErrorWanted: () => string;
  readonly deviceCount: (count: Uint8Array) => number;
  readonly deviceSet: (device: number) => number;
  readonly deviceGetInfo: (device: number, info: Uint8Array) => number;
  readonly memoryAllocate: (bytes: number, memory: Uint8Array) => number;
  readonly memoryFree: (memory: Address) => number;
  readonly copyToDevice: (device: Address, host: Uint8Array, bytes: number, stream: Address) => number;
  readonly copyToHost: (host: Uint8Array, device: Address, bytes: number, stream: Address) => number;
  readonly streamCreate: (stream: Uint8Array) => number;
  readonly streamDestroy: (stream: Address) => number;
  readonly streamSynchronize: (stream: Address) => number;
  readonly eventCreate: (event: Uint8Array) => number;
  readonly eventDestroy: (event: Address) => number;
  readonly eventRecord: (event: Address, stream: Address) => number;
  readonly eventElapsed: (milliseconds: Uint8Array, start: Address, end: Address) => number;
}

/** Symbol, result and arguments of a C function, in koffi's spelling. */
export type Signature = readonly [symbol: string, result: string, args: readonly string[]];

/** The functions that the runtime calls. */
const BOUND = [
  ...(["abi", "manifest", "find", "prepare", "check", "launch_info", "run", "rope_table"] as const),
  ...(["status_text", "last_error", "last_error_field", "last_error_value", "last_error_wanted"] as const),
  ...(["device_count", "device_set", "device_get_info", "memory_allocate", "memory_free"] as const),
  ...(["copy_to_device", "copy_to_host", "stream_create", "stream_destroy", "stream_synchronize"] as const),
  ...(["event_create", "event_destroy", "event_record", "event_elapsed"] as const),
];

/** The table's kinds in koffi's spelling. */
const KOFFI_TYPES = { int: "int", size_t: "size_t", text: "str", pointer: "void *" } as const;

/**
 * A loaded library. It is linked to stay mapped until the process ends, because its threads may outlive every use.
 */
export interface NativeLibrary {
  readonly path: string;
  readonly manifest: BuiltManifest;
  readonly functions: NativeFunctions;
}

/**
 * Loads a library that `normrope build` made, with the manifest beside it.
 * @throws NormropeError `library-not-found`, `library-invalid`, `cpu-unsupported`.
 */
export function loadLibrary(path: string): NativeLibrary {
  const file = readBuilt(path);
  const manifestPath = join(dirname(path), MANIFEST_NAME);
  const manifest = parseBuiltManifest(readBuilt(manifestPath).toString("utf8"), manifestPath);
  const { librarySha256 } = manifest.build;
  if (createHash("sha256").update(file).digest("hex") !== librarySha256) {
    throw new NormropeError(
      "library-invalid",
      `${quoted(path)} is not the library that ${quoted(manifestPath)} describes`,
      REBUILD,
    );
  }
  checkCpu(path, manifest);
  // The version comes first: a library of another version may lack other functions.
  const { abi } = bindNative<Pick<NativeFunctions, "abi">>(path, ["abi"]);
  if (abi() !== ABI_VERSION) {
    const message = `${quoted(path)} has version ${abi()} of the C interface, and this is ${ABI_VERSION}`;
    throw new NormropeError("library-invalid", message, REBUILD);
  }
  const functions = bindNative<NativeFunctions>(path, BOUND);
  // Manifest and library must list the same kernels: C checks sizes by the library's own list. A process keeps the library
  // that it once loaded from a path, even if a build has replaced the file.
  if (!describesLibrary(manifest, functions.manifest())) {
    const message = `${quoted(manifestPath)} lists other kernels than this process has loaded from ${quoted(path)}`;
    throw new NormropeError("library-invalid", message, REBUILD_OR_RESTART);
  }
  return { path, manifest, functions };
}

/**
 * The same functions, for one of several devices. Each function that works on a device first makes it current on the
 * thread, and returns the status if that fails.
 */
export function onDevice(functions: NativeFunctions, device: number): NativeFunctions {
  const on =
    <A extends unknown[]>(call: (...args: A) => number) =>
    (...args: A): number =>
      functions.deviceSet(device) || call(...args);
  return {
    ...functions,
    prepare: on(functions.prepare),
    launchInfo: on(functions.launchInfo),
    run: on(functions.run),
    memoryAllocate: on(functions.memoryAllocate),
    memoryFree: on(functions.memoryFree),
    copyToDevice: on(functions.copyToDevice),
    copyToHost: on(functions.copyToHost),
    streamCreate: on(functions.streamCreate),
    streamDestroy: on(functions.streamDestroy),
    streamSynchronize: on(functions.streamSynchronize),
    eventCreate: on(functions.eventCreate),
    eventDestroy: on(functions.eventDestroy),
    eventRecord: on(functions.eventRecord),
    eventElapsed: on(functions.eventElapsed),
  };
}

/** The address of a host array. V8 never moves an ArrayBuffer's memory. */
export function addressOf(array: ArrayBufferView): Address {
  return array.byteLength === 0 ? 0n : koffi.address(bytesOf(array));
}

/** The bytes of an array. */
export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The number of GPUs that the driver shows; 0 without a driver. */
export function gpuCount(): number {
  try {
    setStack();
    const driver = koffi.load("libcuda.so.1");
    const count = new Int32Array(1);
    if (driver.func("cuInit", "int", ["uint"])(0) !== 0) return 0;
    return driver.func("cuDeviceGetCount", "int", [KOFFI_TYPES.pointer])(count) === 0 ? (count[0] ?? 0) : 0;
  } catch {
    return 0; // no driver is installed
  }
}

function readBuilt(path: string): Buffer {
  try {
    if (statSync(path).isFile()) return readFileSync(path);
  } catch (cause) {
    const message = `${quoted(path)} cannot be read: ${reasonOf(cause)}`;
    throw new NormropeError("library-not-found", message, "Run `normrope build` to make it", { cause });
  }
  throw new NormropeError("library-invalid", `${quoted(path)} is not a file`, REBUILD);
}

function checkCpu(path: string, { build }: BuiltManifest): void {
  if (build.cpuArch !== process.arch) {
    const message = `${quoted(path)} was built for ${quoted(build.cpuArch)}, and this is ${process.arch}`;
    throw new NormropeError("cpu-unsupported", message, REBUILD);
  }
  const missing = build.cpuFeatures.filter((feature) => !cpuFeatures().includes(feature));
  if (missing.length === 0) return;
  const message = `${quoted(path)} was built for instructions that this CPU lacks: ${quoted(missing.join(", "))}`;
  throw new NormropeError("cpu-unsupported", message, "Run `normrope build --target cpu` on this machine");
}

/**
 * Binds functions of a shared library, under the given names.
 * @throws NormropeError `library-invalid` if it cannot be loaded or lacks one.
 */
export function bindFunctions<Functions extends object>(
  path: string,
  signatures: Readonly<Record<keyof Functions, Signature>>,
): Functions {
  try {
    setStack();
    const library = koffi.load(path);
    const entries = Object.entries<Signature>(signatures).map(([name, [symbol, result, args]]) => [
      name,
      library.func(symbol, result, [...args]),
    ]);
    return Object.fromEntries(entries);
  } catch (cause) {
    const message = `${quoted(path)} cannot be loaded: ${reasonOf(cause)}`;
    throw new NormropeError("library-invalid", message, REBUILD, { cause });
  }
}

/** The functions of normrope.h, without the prefix and in TypeScript's spelling. */
export function bindNative<Functions extends object>(
  path: string,
  names: readonly FunctionName[],
): Functions {
  const signatures = names.map((name): [string, Signature] => {
    const [result, ...args] = kindsOf(name);
    const types = args.map((kind) => KOFFI_TYPES[kind]);
    return [camelCase(name), [`normrope_${name}`, KOFFI_TYPES[result], types]];
  });
  return bindFunctions(path, Object.fromEntries(signatures) as Record<keyof Functions, Signature>);
}

function setStack(): void {
  try {
    koffi.config({ sync_stack_size: CALL_STACK_BYTES });
  } catch {
    // The application has loaded a library with koffi before: its setting stands.
  }
}

const INVALID_ARGUMENT = -1;

const ERROR_CODES: Readonly<Record<number, { code: ErrorCode; fix: string }>> = {
  [INVALID_ARGUMENT]: { code: "invalid-argument", fix: "Correct the argument" },
  [-2]: { code: "kernel-not-found", fix: "`normrope list` shows the kernels" },
  [-3]: { code: "no-device", fix: 'Open the library of target "cpu", or see `normrope doctor`' },
  [-4]: { code: "out-of-memory", fix: "Free buffers, or use smaller ones" },
};

/**
 * @param callerField the caller's name of a field of the arguments
 * @throws NormropeError for every status but 0, with the library's message.
 */
export function checkStatus(
  functions: NativeFunctions,
  status: number,
  callerField = (field: string) => field,
): void {
  if (status === 0) return;
  const field = functions.lastErrorField();
  if (status === INVALID_ARGUMENT && field !== "") {
    throw unfitArgument(callerField(field), functions.lastErrorValue(), functions.lastErrorWanted());
  }
  const { code, fix } = ERROR_CODES[status] ?? { code: "device-error", fix: "See the CUDA error" };
  throw new NormropeError(code, `${functions.statusText(status)}: ${functions.lastError()}`, fix);
}
