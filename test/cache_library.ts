/** Small libraries of the shipped op for tests that need kernels of their own: built by each test file into a folder of its own. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Target } from "../dsl/manifest.js";
import { build } from "../generator/build/build.js";
import { compile, emit } from "../generator/pipeline.js";
import { cpu, JOBS } from "./building.js";
import { buildEmulated } from "./emulated.js";
import { CACHE_ROOT, FOLDER } from "./fixture.js";
import { spaceOf } from "./helpers.js";

/** Builds the entries of a config, or finds them built, and gives the path of the library: on the CPU, or on the emulator. */
export async function cacheLibrary(name: string, entries: string, target: Target = "cpu"): Promise<string> {
  const folder = join(FOLDER, name);
  mkdirSync(folder, { recursive: true });
  const config = join(folder, "normrope.config.ts");
  writeFileSync(config, spaceOf(entries));
  const files = emit(compile(config));
  if (target === "cuda") return (await buildEmulated(files, `${folder}-emulated`)).library;
  const request = { files, compiler: cpu(), buildFolder: folder, cacheRoot: CACHE_ROOT, jobs: JOBS };
  return (await build(request)).library;
}
