/**
 * Emitted files → shared library.
 *
 * In: a file set, a target and its compiler. Out: build/<target>/libnormrope.so and manifest.json. Objects are made in
 * parallel, each from exactly the texts that its key covers, in a folder of the cache; the user's folders are only
 * written to at the end. No string reaches a shell.
 */
import { readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pMap from "p-map";
import type { BuiltManifest, Resources, Target } from "../runtime/manifest.js";
import { LIBRARY_NAME, manifestSchema } from "../runtime/manifest.js";
import { type CacheEntry, cached, cacheKey, sha256 } from "./cache.js";
import { openCache, tidyCache } from "./cache_folder.js";
import { type Diagnostic, internalError, UserError } from "./diagnostics.js";
import type { EmittedFile, FileSet } from "./ir.js";
import { parsePtxasReport } from "./ptxas.js";
import { ARCHIVE_NAME, publish } from "./publish.js";
import { runCompiler, writeInputs } from "./run_compiler.js";
import type { TargetCompiler } from "./target_compiler.js";

export interface BuildRequest {
  readonly files: FileSet;
  readonly compiler: TargetCompiler;
  /** Holds a folder for each target: `build/`. */
  readonly buildFolder: string;
  readonly cacheRoot: string;
  readonly jobs: number;
  /** Whether to make a static archive of the objects too. */
  readonly archive?: boolean | undefined;
  /** For each run of a compiler. */
  readonly timeoutSeconds?: number | undefined;
  /** Called when the compiler has finished a file, cached ones left out. */
  readonly onCompiled?: (done: { name: string; seconds: number; finished: number; total: number }) => void;
}

export interface BuildResult {
  readonly target: Target;
  readonly library: string;
  readonly archive: string | undefined;
  readonly manifest: BuiltManifest;
  /** Kernel ids, by whether a compiler ran for them. */
  readonly compiled: readonly string[];
  readonly cached: readonly string[];
  /** Kernels that spill registers: they run, and slower than they should. */
  readonly warnings: readonly Diagnostic[];
}

/** A source file with the headers that it includes: what one run of the compiler reads. */
interface Unit {
  readonly name: string;
  readonly source: EmittedFile;
  readonly inputs: FileSet;
}

const OBJECT = "unit.o";
const REPORT = "report.txt";

/**
 * @throws UserError `compile-failed` with the output of every compiler that failed, `compile-timeout`,
 * `cache-unusable`, `folder-unusable`.
 */
export async function build(request: BuildRequest): Promise<BuildResult> {
  const { files, compiler } = request;
  tidyCache(openCache(request.cacheRoot));
  const units = unitsOf(files, compiler.target);
  const objects = await compileAll(request, units);
  const kernels = readEmittedManifest(files);

  const linked = await link(request, objects);
  const archived = request.archive === true ? await archive(request, objects) : undefined;

  const resources = Object.fromEntries(
    kernels.kernels.map(({ id }) => [
      id,
      resourcesOf(objects.find(({ unit }) => unit.name === id)?.entry, id),
    ]),
  );
  const manifest: BuiltManifest = {
    ...kernels,
    build: {
      target: compiler.target,
      toolchain: compiler.identity,
      flags: [...compiler.compileArgs],
      archs: [...compiler.archs],
      cpuFeatures: [...compiler.cpuFeatures],
      cpuArch: process.arch,
      librarySha256: sha256(readFileSync(linked)),
      resources,
    },
  };
  const published = publish(join(request.buildFolder, compiler.target), manifest, linked, archived);
  const isKernel = new Set(kernels.kernels.map(({ id }) => id));
  const ids = (hit: boolean) =>
    objects
      .filter(({ unit, entry }) => isKernel.has(unit.name) && entry.hit === hit)
      .map(({ unit }) => unit.name);
  return {
    target: compiler.target,
    ...published,
    manifest,
    compiled: ids(false),
    cached: ids(true),
    warnings: Object.entries(resources).flatMap(([id, list]) =>
      list.flatMap((found) => spillWarning(id, found)),
    ),
  };
}

interface CompiledUnit {
  readonly unit: Unit;
  readonly key: string;
  readonly entry: CacheEntry;
}

async function compileAll(request: BuildRequest, units: readonly Unit[]): Promise<CompiledUnit[]> {
  const { compiler, cacheRoot, jobs, timeoutSeconds, onCompiled } = request;
  const failures: Diagnostic[] = [];
  // Of what every other file would meet too, such as a full cache or a compiler that hangs, the first is enough.
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

/** The shared library of the objects, in the cache. */
async function link(request: BuildRequest, objects: readonly CompiledUnit[]) {
  const { files, compiler, cacheRoot, timeoutSeconds } = request;
  const exports = find(files, "common/exports.map");
  const key = cacheKey([compiler.identity, compiler.linkArgs, exports, objects.map((object) => object.key)]);
  const { folder } = await cached(cacheRoot, key, [LIBRARY_NAME], async (staging) => {
    writeInputs(staging, [exports]);
    await withObjects(staging, objects, (names) => {
      const args = [...compiler.linkArgs, "-o", LIBRARY_NAME, ...names];
      return runCompiler({ path: compiler.path, args, cwd: staging, name: LIBRARY_NAME, timeoutSeconds });
    });
  });
  return join(folder, LIBRARY_NAME);
}

/** A static archive of the objects, in the cache. */
async function archive(request: BuildRequest, objects: readonly CompiledUnit[]) {
  const { compiler, cacheRoot, timeoutSeconds } = request;
  const key = cacheKey([compiler.identity, ARCHIVE_NAME, objects.map((object) => object.key)]);
  const { folder } = await cached(cacheRoot, key, [ARCHIVE_NAME], async (staging) => {
    const run = (path: string, args: readonly string[]) =>
      runCompiler({ path, args, cwd: staging, name: ARCHIVE_NAME, timeoutSeconds });
    const archiver = await run(compiler.hostPath, ["-print-prog-name=ar"]);
    await withObjects(staging, objects, (names) => run(archiver.trim(), ["Dcrs", ARCHIVE_NAME, ...names]));
  });
  return join(folder, ARCHIVE_NAME);
}

/** Gives the objects names in the folder itself while `use` runs: nvcc splits paths at spaces. */
async function withObjects(
  folder: string,
  objects: readonly CompiledUnit[],
  use: (names: readonly string[]) => Promise<unknown>,
): Promise<void> {
  const names = objects.map(({ unit, entry }) => {
    symlinkSync(join(entry.folder, OBJECT), join(folder, `${unit.name}.o`));
    return `${unit.name}.o`;
  });
  await use(names);
  for (const name of names) rmSync(join(folder, name));
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

/** Whether a file includes a header, itself or through other headers: a header that it does not read must not recompile it. */
function includes(file: EmittedFile, header: EmittedFile, headers: FileSet): boolean {
  return headers.some((candidate) => {
    const name = candidate.path.replace(/^.*\//, "");
    if (candidate === file || !file.text.includes(`#include "${name}"`)) return false;
    return candidate === header || includes(candidate, header, headers);
  });
}

function resourcesOf(entry: CacheEntry | undefined, id: string): Resources[] {
  if (entry === undefined) throw internalError("build", "the kernel was not compiled", id);
  const report = parsePtxasReport(readFileSync(join(entry.folder, REPORT), "utf8"));
  const others = [...report].flatMap(([symbol, found]) => (symbol.startsWith(`${id}__`) ? found : []));
  return (report.get(id) ?? []).map((own) =>
    others.filter(({ arch }) => arch === own.arch).reduce(worst, own),
  );
}

/** What a kernel takes of whose entries two take this much. */
function worst(a: Resources, b: Resources): Resources {
  return {
    arch: a.arch,
    registers: Math.max(a.registers, b.registers),
    stackBytes: Math.max(a.stackBytes, b.stackBytes),
    spillStoreBytes: Math.max(a.spillStoreBytes, b.spillStoreBytes),
    spillLoadBytes: Math.max(a.spillLoadBytes, b.spillLoadBytes),
  };
}

function spillWarning(
  id: string,
  { arch, stackBytes, spillStoreBytes, spillLoadBytes }: Resources,
): Diagnostic[] {
  if (stackBytes === 0 && spillStoreBytes === 0 && spillLoadBytes === 0) return [];
  return [
    {
      code: "register-spill",
      message: `${id} spills ${spillStoreBytes} bytes on ${arch}, with ${stackBytes} bytes of stack`,
      fix: "report it: the plan for this geometry keeps too much in registers",
    },
  ];
}

function readEmittedManifest(files: FileSet) {
  return manifestSchema.parse(JSON.parse(find(files, "manifest.json").text));
}

function find(files: FileSet, path: string): EmittedFile {
  const file = files.find((candidate) => candidate.path === path);
  if (file === undefined) throw internalError("build", `the file set lacks ${path}`);
  return file;
}
