/** Libraries and objects that several tests share: built once into a folder that git and npm ignore, from the real compilers. */
import { cpSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import type { Target } from "../dsl/manifest.js";
import { type BuildResult, build } from "../generator/build/build.js";
import { compileObjects } from "../generator/build/objects.js";
import { cpuCompiler, cudaCompiler, DEFAULT_ARCHS } from "../generator/build/target_compiler.js";
import { type Compiler, findCxx, findGpu, findNvcc } from "../generator/build/toolchain.js";
import type { KernelPlan } from "../generator/ir.js";
import { parseKernelId } from "../generator/kernel_id.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { type Compilation, compile, emit } from "../generator/pipeline.js";
import { cpuFeatures } from "../runtime/cpu_features.js";
import { IS_LONG, temporaryFolder } from "./helpers.js";

export const CONFIGS = {
  default: join(PACKAGE_ROOT, "normrope.config.ts"),
  geometries: join(PACKAGE_ROOT, "test", "geometries.config.ts"),
  sentences: join(PACKAGE_ROOT, "test", "sentences.config.ts"),
  layers: join(PACKAGE_ROOT, "test", "layers.config.ts"),
  kv_cache: join(PACKAGE_ROOT, "test", "kv_cache.config.ts"),
} as const;
export type ConfigName = keyof typeof CONFIGS;

export const FOLDER = join(PACKAGE_ROOT, "node_modules", ".cache", "normrope-test");
export const CACHE_ROOT = join(FOLDER, "cache");
export const SHARED_OBJECTS = join(FOLDER, "shared");

export const nvcc = await findNvcc();
export const gpu = await findGpu();

/** A compiler without which a test should have skipped, or cannot run at all. */
export function needed(compiler: Compiler | undefined): Compiler {
  if (compiler === undefined) throw new Error("the tests need a C++ compiler, and the CUDA ones nvcc");
  return compiler;
}

/**
 * The kernels of a config. There are many geometries: where neither time nor a GPU allows all, one of each kind that the
 * templates tell apart, and of each dtype.
 */
export function compilationOf(name: ConfigName): Compilation {
  const { plans, ...rest } = compile(CONFIGS[name]);
  if (name === "default" || IS_LONG || gpu !== undefined) return { plans, ...rest };
  const kinds = {
    ...{ sentences: sentencesOf, layers: valuesOfAxes, kv_cache: storesOf },
    ...{ default: kindsOf, geometries: kindsOf },
  }[name];
  return { ...rest, plans: covering(plans, kinds) };
}

/** Few plans that have every kind among them: always the one with the most kinds that are still missing. */
function covering(plans: readonly KernelPlan[], kinds: (plan: KernelPlan) => string[]): KernelPlan[] {
  const missing = new Set(plans.flatMap(kinds));
  const chosen = new Set<KernelPlan>();
  const newKinds = (plan: KernelPlan) => new Set(kinds(plan).filter((kind) => missing.has(kind))).size;
  while (missing.size > 0) {
    const [best] = plans.map((plan) => ({ plan, count: newKinds(plan) })).sort((a, b) => b.count - a.count);
    if (best === undefined) break;
    chosen.add(best.plan);
    for (const kind of kinds(best.plan)) missing.delete(kind);
  }
  return plans.filter((plan) => chosen.has(plan));
}

/** Of a sentence that is at odds with the others in nothing but its stages, one kernel for each weight. */
const sentencesOf = ({ op, point }: KernelPlan) => [`${op} ${point.weight}`];

/** Each value of each axis: those of rotations with each way of pairing, those of norms with and without rounding. */
function valuesOfAxes({ op, point }: KernelPlan): string[] {
  const { headDim: _, rotaryDim, rope, dtype, ...others } = point;
  const pairing = rotaryDim === 0 ? "unrotated" : rope;
  const rounds = point.normRounding === "once" ? "" : "rounded";
  return Object.entries({ ...others, pairing }).map(([axis, value]) => {
    if (["norm", "weight", "weightDtype", "bias"].includes(axis)) return `${op} ${axis} ${value} ${rounds}`;
    if (axis === "ropeRounding" && point.norm === "none") return `${op} ${value} ${point.angles}`;
    const isRotation = ["rotaryAt", "angles", "positionAxes", "ropeRounding"].includes(axis);
    return `${op} ${axis} ${value} ${isRotation ? rope : ""} ${axis === "normRounding" ? dtype : ""}`;
  });
}

/** What is written, in which dtypes, with each way of pairing; every op, width of a vector, layout of a head and norm. */
function storesOf({ op, point, vectorElements, throughput }: KernelPlan): string[] {
  const { cache, out, value, rope, norm, normRounding } = point;
  return [
    [op],
    [cache, out],
    [cache, rope],
    ["v", value],
    ["vector", vectorElements],
    ["lanes", throughput.lanesPerHead],
    [norm, normRounding],
  ].map(String);
}

function kindsOf({
  point,
  pairing,
  fragments,
  lanesPerHead,
  fragmentsPerLane,
  vectorElements,
  throughput,
}: KernelPlan): string[] {
  const isPartial = pairing !== undefined && pairing.rotaryDim < point.headDim;
  const lanes = [fragmentsPerLane > 1, fragments < lanesPerHead * fragmentsPerLane];
  return [
    [point.rope, throughput.lanesPerHead < lanesPerHead, ...lanes],
    ["lanes", throughput.lanesPerHead < lanesPerHead ? throughput.lanesPerHead : "a power of two"],
    [point.rope, isPartial, vectorElements],
    [point.rope, point.dtype],
  ].map(String);
}

/** The folder that `open` takes as `path`. */
export function buildFolder(config: ConfigName): string {
  return join(FOLDER, config);
}

/** Builds a config's library, or finds it built. */
export async function buildFixture(config: ConfigName, target: Target): Promise<BuildResult> {
  const cxx = needed(await findCxx());
  return build({
    files: emit(compilationOf(config)),
    compiler: target === "cpu" ? cpuCompiler(cxx, cpuFeatures()) : cudaFixtureCompiler(cxx),
    buildFolder: buildFolder(config),
    cacheRoot: CACHE_ROOT,
    jobs: 2,
  });
}

function cudaFixtureCompiler(cxx: Compiler) {
  return cudaCompiler(needed(nvcc), cxx, gpu === undefined ? DEFAULT_ARCHS : [gpu.arch]);
}

/** Compiles what every CPU library has: the C interface and the devices. */
export async function compileSharedObjects(): Promise<void> {
  const files = emit(compile(CONFIGS.default)).filter(({ path }) => {
    const name = path.replace(/^cpu\/(.*)\.cpp$/, "$1");
    return name !== "dispatch" && parseKernelId(name) === undefined;
  });
  const compiler = cpuCompiler(needed(await findCxx()), cpuFeatures());
  const units = await compileObjects({ files, compiler, cacheRoot: CACHE_ROOT, jobs: 2 });
  rmSync(SHARED_OBJECTS, { recursive: true, force: true });
  for (const { entry } of units) {
    cpSync(entry.folder, join(SHARED_OBJECTS, relative(CACHE_ROOT, entry.folder)), { recursive: true });
  }
}

/** A cache that is the test's own: of CPU libraries it holds what `compileSharedObjects` made, and nothing else. */
export function freshCache(folder = temporaryFolder()): string {
  cpSync(SHARED_OBJECTS, folder, { recursive: true });
  return folder;
}
