/** What the tests of builds share: the compilers of this machine, file sets, and projects to build in. */
import { join } from "node:path";
import { type BuildRequest, build } from "../generator/build/build.js";
import { cpuCompiler, cudaCompiler } from "../generator/build/target_compiler.js";
import { findCxx, findNvcc } from "../generator/build/toolchain.js";
import type { FileSet } from "../generator/ir.js";
import { emit } from "../generator/pipeline.js";
import { cpuFeatures } from "../runtime/cpu_features.js";
import { neoxSpace } from "./cli_helpers.js";
import { freshCache, needed } from "./fixture.js";
import { compileText, temporaryFolder } from "./helpers.js";

export const [cxx, nvcc] = [await findCxx(), await findNvcc()];
export const FEATURES = cpuFeatures();
export const JOBS = 2;

export const cpu = () => cpuCompiler(needed(cxx), FEATURES);
export const cuda = (...archs: string[]) => cudaCompiler(needed(nvcc), needed(cxx), archs);
export const filesOf = (...headDims: number[]): FileSet => emit(compileText(neoxSpace(...headDims)));

/** A project's builds: one cache, one build folder. */
export function project(folder = temporaryFolder()) {
  const [cacheRoot, buildFolder] = [freshCache(), join(folder, "build")];
  const run = (files: FileSet, changed: Partial<BuildRequest> = {}) =>
    build({ files, compiler: cpu(), buildFolder, cacheRoot, jobs: JOBS, ...changed });
  return { cacheRoot, buildFolder, run };
}
