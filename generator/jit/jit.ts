/**
 * Compiling on first use: one point → a library of its own in the cache.
 *
 * In: an op, a point and a target. Out: the library's file, from the user's cache or one that is read-only, or made now.
 * What only compiling needs is imported only then: execa and Handlebars take longer to import than to find a library.
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
  /** None: a library without kernels, for memory, devices and streams. */
  readonly point?: ConfigPoint | undefined;
  readonly target: Target;
  /** CUDA: what it has to run on, such as `sm_90`; without, the default of `build`. */
  readonly archs?: readonly string[] | undefined;
  /** Tries out a library that was made, before others can find it. What it throws is passed on. */
  readonly load: (library: string) => unknown;
}

export interface JitLibrary {
  readonly library: string;
  /** Whether it was there already. */
  readonly hit: boolean;
}

/** Why there is no library, where nothing is to be compiled or nothing can. */
export interface JitMiss {
  readonly reason: string;
  readonly fix: string;
}

const FILES = [LIBRARY_NAME, MANIFEST_NAME];

/** The folder of the libraries that have no kernel. */
const NO_KERNEL = "none";

/**
 * The library of a point. Where there is a compiler its version is part of what is looked for; where there is none, none
 * that runs, or `NORMROPE_JIT` is 0, any library of this version of normrope serves that this machine can run.
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
  const key = libraryKey(op, compiler); // the point is in the shelf's name
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

/** The op of an open library: that which ships, or one of the user's own. */
function withSource(op: ManifestOp | undefined): Op {
  const { source, ...shipped } = readShippedOp();
  return op === undefined || isDeepStrictEqual(op, shipped)
    ? { ...shipped, source }
    : { ...op, source: "the op of an open library" };
}
