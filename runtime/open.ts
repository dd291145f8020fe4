/**
 * Opens a built library, or with `jit` one that is made when it is needed.
 *
 * In: a target, or a path. Out: a `Library`. Decides what target `auto` is, and must not fall back in silence.
 */
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { LIBRARY_NAME, type PointQuery, type Target } from "../dsl/manifest.js";
import { invalidArgument, NormropeError, quoted, requireFields, requireObject } from "./errors.js";
import { compileBase, compileKernel } from "./jit.js";
import {
  bytesOf,
  checkStatus,
  gpuCount,
  loadLibrary,
  type NativeFunctions,
  type NativeLibrary,
  onDevice,
} from "./library.js";
import { type KernelCompiler, Library } from "./open_library.js";

/** Which library to open, and on which device. */
export interface OpenOptions {
  /** Default `auto`: `cuda` if there is a GPU, else `cpu`. A GPU without a CUDA library is an error. */
  readonly target?: Target | "auto" | undefined;
  /** A library file, or a folder that holds one for each target; default `build` in the working folder. */
  readonly path?: string | undefined;
  /**
   * Index in `library.devices`; default 0. If there are several devices, every call makes it the current one of the
   * calling thread.
   */
  readonly device?: number | undefined;
  /**
   * Whether a kernel that the library lacks is compiled when you ask for it. It goes into this user's cache, where every later
   * process finds it. `NORMROPE_JIT=0` forbids compiling. No library needs to be built, unless `path` names one. Default
   * false.
   */
  readonly jit?: boolean | undefined;
}

/**
 * Opens a library that `normrope build` made, or with `jit` one that is made now. A CUDA library opens without a GPU too: its
 * `devices` are empty then, and functions that need one throw `no-device`.
 * @throws NormropeError `library-not-found`, `library-invalid`, `cpu-unsupported`, `no-device`, `invalid-argument`,
 * `compile-failed`.
 */
export async function open<Point extends PointQuery = PointQuery>(
  options: OpenOptions = {},
): Promise<Library<Point>> {
  requireObject("options", options);
  requireFields("options", options, ["target", "path", "device", "jit"]);
  const { target = "auto", path, device = 0, jit = false } = options;
  if (target !== "auto" && target !== "cuda" && target !== "cpu") {
    throw invalidArgument("target", target, '"auto", "cuda" or "cpu"');
  }
  if (path !== undefined && typeof path !== "string") throw invalidArgument("path", path, "a path");
  if (typeof jit !== "boolean") throw invalidArgument("jit", jit, "true or false");
  const native = await load(path, target, jit);
  const built = native.manifest.build.target;
  if (target !== "auto" && built !== target) {
    throw invalidArgument("target", target, `"${built}", which ${quoted(native.path)} was built for`);
  }
  const functions = chooseDevice(native, device);
  if (!jit) return new Library<Point>({ ...native, functions });
  const compile: KernelCompiler = async (wanted, absence) => {
    const arch = library.devices[device]?.arch;
    const compiled = await compileKernel({ target: built, ...wanted, arch }, absence);
    return { ...compiled, functions: chooseDevice(compiled, device) };
  };
  const library: Library<Point> = new Library<Point>({ ...native, functions }, compile);
  return library;
}

async function load(path: string | undefined, target: Target | "auto", jit: boolean): Promise<NativeLibrary> {
  const folder = path ?? "build";
  if (isFile(folder)) return loadLibrary(absolute(folder));
  const chosen = chosenTarget(target);
  const file = absolute(join(folder, chosen, LIBRARY_NAME));
  if (existsSync(file)) return loadLibrary(file);
  const isGpusOwn = target === "auto" && chosen === "cuda";
  const why = isGpusOwn ? "this machine has a GPU, and " : "";
  const instead = isGpusOwn ? ', or open target "cpu" to do without the GPU' : "";
  const notFound = new NormropeError(
    "library-not-found",
    `${why}there is no ${quoted(file)}`,
    `Run \`normrope build --target ${chosen}\`, or give the \`path\` of another build folder${instead}`,
  );
  if (jit && path === undefined) return compileBase(chosen, notFound);
  throw notFound;
}

/** The functions of the library for one of its devices. */
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

/** The target that `auto` means on this machine. */
export function chosenTarget(target: Target | "auto"): Target {
  return target !== "auto" ? target : gpuCount() > 0 ? "cuda" : "cpu";
}

/** Returns `path` unchanged if the working directory no longer exists. */
function absolute(path: string): string {
  try {
    return resolve(path);
  } catch {
    return path;
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false; // reading it will report the reason
  }
}
