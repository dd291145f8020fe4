/**
 * Compiling on first use: one point → a library of its own in the cache.
 *
 * In: an op, a point and a target. Out: the library's file, from the user's cache or one that is read-only, or made now.
 * Compiling's own imports are dynamic: importing execa and Handlebars takes longer than finding a library.
 */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  type ConfigPoint,
  LIBRARY_NAME,
  MANIFEST_NAME,
  type ManifestOp,
  type Target,
} from "../../dsl/manifest.js";
import type { TargetCompiler } from "../build/target_compiler.js";
import { compilerFor } from "../build/toolchain.js";
import { findCached } from "../cache/cache.js";
import { cacheRoot, KERNELS } from "../cache/folder.js";
import { show, UserError, userError } from "../diagnostics.js";
import type { Op } from "../ir.js";
import { kernelId } from "../kernel_id.js";
import { readShippedOp } from "../op_file.js";
import { libraryKey } from "./key.js";
import { findRunnable, search } from "./search.js";

export { UserError };

export interface JitRequest {
  /** Default: the op that ships with normrope. */
  readonly op?: ManifestOp | undefined;
  /** Undefined: a library without kernels, for memory, devices and streams. */
  readonly point?: ConfigPoint | undefined;
  readonly target: Target;
  /** CUDA: the architectures, such as `sm_90`; default: as in `build`. */
  readonly archs?: readonly string[] | undefined;
  /** Tries a new library before others can find it. Its errors are passed on. */
  readonly load: (library: string) => unknown;
}

export interface JitLibrary {
  readonly library: string;
  /** Whether the library existed already. */
  readonly hit: boolean;
}

/** Why there is no library, if compiling is off or impossible. */
export interface JitMiss {
  readonly reason: string;
  readonly fix: string;
}

const FILES = [LIBRARY_NAME, MANIFEST_NAME];

/** The folder of libraries without kernels. */
const NO_KERNEL = "none";

/**
 * The library of a point. With a compiler, its version is part of the key. Without one, or if `NORMROPE_JIT` is 0, any library
 * of this version of normrope that runs on this machine serves.
 * @throws UserError `compile-failed`, `compile-timeout`, `cache-unusable`, `bad-option` for another NORMROPE_JIT.
 */
export async function provideLibrary(request: JitRequest): Promise<JitLibrary | JitMiss> {
  const op = withSource(request.op);
  const shelf = join(KERNELS, request.point === undefined ? NO_KERNEL : kernelId(op, request.point));
  const own = cacheRoot();
  const compiler = await chooseCompiler(request);
  if ("reason" in compiler) {
    const { found, problems } = search(own, (root) => findRunnable(root, shelf, FILES, op, request));
    if (found !== undefined) return { library: found, hit: true };
    return { reason: [compiler.reason, ...problems].join("; "), fix: compiler.fix };
  }
  const key = libraryKey(op, compiler); // the shelf is named after the point
  const { found } = search(own, (root) => findCached(root, key, FILES, shelf));
  if (found !== undefined) return { library: join(found, LIBRARY_NAME), hit: true };
  const { compilePoint } = await import("./compile.js");
  return compilePoint({ ...request, op, compiler, cacheRoot: own, shelf, key, files: FILES });
}

async function chooseCompiler({ target, archs }: JitRequest): Promise<TargetCompiler | JitMiss> {
  const { NORMROPE_JIT = "" } = process.env;
  if (NORMROPE_JIT === "0") {
    return { reason: "NORMROPE_JIT is 0", fix: "unset it to have kernels compiled when they are first used" };
  }
  if (NORMROPE_JIT !== "" && NORMROPE_JIT !== "1") {
    const fix = "write 0 to have nothing compiled on first use, or unset it";
    throw userError("bad-option", `NORMROPE_JIT is ${show(NORMROPE_JIT)}`, fix);
  }
  try {
    return await compilerFor(target, archs);
  } catch (error) {
    const [problem] = error instanceof UserError ? error.diagnostics : [];
    if (problem === undefined) throw error;
    return { reason: problem.message, fix: problem.fix };
  }
}

/** Adds a source to the op of an open library. */
function withSource(op: ManifestOp | undefined): Op {
  const { source, ...shipped } = readShippedOp();
  return op === undefined || isDeepStrictEqual(op, shipped)
    ? { ...shipped, source }
    : { ...op, source: "the op of an open library" };
}
