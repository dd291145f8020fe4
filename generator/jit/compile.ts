/**
 * Compiles the library of one point into the cache.
 *
 * In: an op, a point or none, a compiler, and the entry's place. Out: the entry's library, loaded once before others can find
 * it. The loser of a race uses the winner's entry.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { LIBRARY_NAME, MANIFEST_NAME } from "../../dsl/manifest.js";
import { builtManifest, manifestText, requireFile } from "../build/built_manifest.js";
import { linkInto } from "../build/link.js";
import { compileObjects } from "../build/objects.js";
import type { TargetCompiler } from "../build/target_compiler.js";
import { cached } from "../cache/cache.js";
import { openCache, tidyCache } from "../cache/folder.js";
import { render } from "../emit/render.js";
import { readTemplates } from "../emit/templates.js";
import type { Op } from "../ir.js";
import { COMPILER_VERSION } from "../package_root.js";
import { plan } from "../plan/plan.js";
import type { JitLibrary, JitRequest } from "./jit.js";

export interface PointRequest extends Pick<JitRequest, "point" | "load"> {
  readonly op: Op;
  readonly compiler: TargetCompiler;
  readonly cacheRoot: string;
  /** The folder of the cache that the entry is in. */
  readonly shelf: string;
  readonly key: string;
  /** The names of the entry's files. */
  readonly files: readonly string[];
}

/** @throws UserError `compile-failed`, `compile-timeout`, `cache-unusable`; what `load` throws. */
export async function compilePoint(request: PointRequest): Promise<JitLibrary> {
  const { op, point, compiler, cacheRoot, shelf, key, files: kept, load } = request;
  const plans = point === undefined ? [] : [plan(op, point)];
  const files = render(readTemplates(), [op], plans, COMPILER_VERSION);
  tidyCache(openCache(cacheRoot));
  const objects = await compileObjects({ files, compiler, cacheRoot, jobs: availableParallelism() });
  const make = async (folder: string) => {
    await linkInto(folder, { compiler, objects, exports: requireFile(files, "common/exports.map") });
    const library = join(folder, LIBRARY_NAME);
    const manifest = builtManifest(files, compiler, objects, library);
    writeFileSync(join(folder, MANIFEST_NAME), manifestText(manifest));
    load(library);
  };
  const { folder, hit } = await cached(cacheRoot, key, kept, make, shelf);
  return { library: join(folder, LIBRARY_NAME), hit };
}
