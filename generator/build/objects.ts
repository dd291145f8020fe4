/**
 * Emitted files → objects.
 *
 * In: a file set and a compiler. Out: an object for each source of its target, in the cache, with the compiler's
 * report. Compilers run in parallel, each on exactly the texts that its key covers.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pMap from "p-map";
import type { Target } from "../../dsl/manifest.js";
import { type CacheEntry, cached, cacheKey } from "../cache/cache.js";
import { type Diagnostic, UserError } from "../diagnostics.js";
import type { EmittedFile, FileSet } from "../ir.js";
import { runCompiler, writeInputs } from "./run_compiler.js";
import type { TargetCompiler } from "./target_compiler.js";

export interface CompileRequest {
  readonly files: FileSet;
  readonly compiler: TargetCompiler;
  readonly cacheRoot: string;
  readonly jobs: number;
  /** The time limit of each run of a compiler. */
  readonly timeoutSeconds?: number | undefined;
  /** Called for each compiled file. Cached files are skipped. */
  readonly onCompiled?: ((done: Compiled) => void) | undefined;
}

/** A file that the compiler has finished. */
export interface Compiled {
  readonly name: string;
  readonly seconds: number;
  readonly finished: number;
  readonly total: number;
}

/** A source file with its headers: the input of one run of the compiler. */
interface Unit {
  readonly name: string;
  readonly source: EmittedFile;
  readonly inputs: FileSet;
}

export const OBJECT = "unit.o";
export const REPORT = "report.txt";

/** Made by `compileObjects`. */
export interface CompiledUnit {
  readonly unit: Unit;
  readonly key: string;
  readonly entry: CacheEntry;
}

/**
 * Every source of the compiler's target as an object of the cache.
 * @throws UserError `compile-failed` with the output of every compiler that failed, `compile-timeout`,
 * `cache-unusable`.
 */
export async function compileObjects(request: CompileRequest): Promise<CompiledUnit[]> {
  const units = unitsOf(request.files, request.compiler.target);
  const { compiler, cacheRoot, jobs, timeoutSeconds, onCompiled } = request;
  const failures: Diagnostic[] = [];
  // Report an error that every file would hit only once, such as a full cache or a compiler that hangs.
  let obstacle: Diagnostic | undefined;
  let finished = 0;
  const compileOne = async (unit: Unit): Promise<CompiledUnit | undefined> => {
    if (obstacle !== undefined) return undefined;
    const key = cacheKey([compiler.identity, compiler.compileArgs, unit.source.path, unit.inputs]);
    const start = performance.now();
    try {
      const entry = await cached(cacheRoot, key, [OBJECT, REPORT], async (folder) => {
        writeInputs(folder, unit.inputs);
        const args = [...compiler.compileArgs, "-c", unit.source.path, "-o", OBJECT];
        const run = { path: compiler.path, args, cwd: folder, name: unit.name, timeoutSeconds };
        writeFileSync(join(folder, REPORT), await runCompiler(run));
        for (const { path } of unit.inputs) rmSync(join(folder, path));
      });
      finished += 1;
      const seconds = (performance.now() - start) / 1000;
      if (!entry.hit) onCompiled?.({ name: unit.name, seconds, finished, total: units.length });
      return { unit, key, entry };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push(...error.diagnostics.filter(({ code }) => code === "compile-failed"));
      obstacle ??= error.diagnostics.find(({ code }) => code !== "compile-failed");
      return undefined;
    }
  };
  const objects = await pMap(units, compileOne, { concurrency: jobs });
  if (obstacle !== undefined) failures.push(obstacle);
  if (failures.length > 0) throw new UserError(failures);
  return objects.filter((object) => object !== undefined);
}

/** The emitted sources of a target, each with the headers of its folder and the common ones. */
function unitsOf(files: FileSet, target: Target): Unit[] {
  const isSource = ({ path }: EmittedFile) => /\.(cu|cpp)$/.test(path);
  const folder = `${target}/`;
  const own = files.filter(({ path }) => path.startsWith(folder));
  const common = files.filter(({ path }) => /^(common|include)\//.test(path));
  const headers = [...own, ...common].filter((file) => /\.(cuh|hpp|h)$/.test(file.path));
  const sources = [...own, ...common].filter(isSource);
  return sources.map((source) => {
    const included = headers.filter((header) => includes(source, header, headers));
    const name = source.path.replace(/^.*\//, "").replace(/\.[^.]+$/, "");
    return { name, source, inputs: [source, ...included] };
  });
}

/** Whether a file includes a header, directly or not. A header that it does not read must not recompile it. */
function includes(file: EmittedFile, header: EmittedFile, headers: FileSet): boolean {
  return headers.some((candidate) => {
    const name = candidate.path.replace(/^.*\//, "");
    if (candidate === file || !file.text.includes(`#include "${name}"`)) return false;
    return candidate === header || includes(candidate, header, headers);
  });
}
