/**
 * Random ops and points of them, random calls of their kernels: on the CPU and on the emulator, against the oracle.
 *
 * 60 calls, in `npm run test:long` 5,000.
 */
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ManifestKernel } from "../dsl/manifest.js";
import { build } from "../generator/build/build.js";
import { cpuCompiler } from "../generator/build/target_compiler.js";
import { findCxx } from "../generator/build/toolchain.js";
import { compile, emit } from "../generator/pipeline.js";
import { runBatch } from "../generator/verify/batch.js";
import { cpuFeatures } from "../runtime/cpu_features.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { kernelOf } from "./any_call.js";
import { buildEmulated } from "./emulated.js";
import { CACHE_ROOT, needed } from "./fixture.js";
import { IS_LONG, SEED, temporaryFolder, writeConfig } from "./helpers.js";
import { randomBatch } from "./random_batch.js";
import { configOf, randomKernel } from "./random_op.js";

const CASES = IS_LONG ? 5000 : 60;
const CALLS_PER_KERNEL = IS_LONG ? 20 : 10;
const KERNELS_PER_LIBRARY = 25;

const kernels = fc.sample(
  fc.uniqueArray(randomKernel, {
    minLength: Math.ceil(CASES / CALLS_PER_KERNEL),
    maxLength: Math.ceil(CASES / CALLS_PER_KERNEL),
    selector: (kernel) => JSON.stringify(kernel),
  }),
  { seed: SEED, numRuns: 1 },
)[0];
if (kernels === undefined) throw new Error("fast-check gave no sample");
console.log(`random configs: ${CASES} calls of ${kernels.length} kernels, NORMROPE_SEED=${SEED}`);

const groups = Array.from({ length: Math.ceil(kernels.length / KERNELS_PER_LIBRARY) }, (_, i) =>
  kernels.slice(i * KERNELS_PER_LIBRARY, (i + 1) * KERNELS_PER_LIBRARY),
);

describe("random configs", () => {
  test.each(groups.map((group, i) => ({ group, name: `${i + 1} of ${groups.length}` })))(
    "group $name: kernels of CPU and emulator agree with the oracle, and leave all else alone",
    { timeout: 900_000 },
    async ({ group }) => {
      const files = emit(compile(writeConfig(configOf(group))));
      const folder = temporaryFolder();
      const compiler = cpuCompiler(needed(await findCxx()), cpuFeatures());
      const cpu = { files, compiler, buildFolder: join(folder, "cpu"), cacheRoot: CACHE_ROOT, jobs: 2 };
      using onCpu = await open({ target: "cpu", path: (await build(cpu)).library });
      using emulated = await open({
        target: "cuda",
        path: (await buildEmulated(files, join(folder, "emulated"))).library,
      });
      for (const entry of onCpu.manifest.kernels) {
        await checkKernel(onCpu, entry);
        await checkKernel(emulated, entry);
      }
      expect(onCpu.manifest.kernels).toHaveLength(group.length);
    },
  );
});

async function checkKernel(library: Library, entry: ManifestKernel): Promise<void> {
  const kernel = await kernelOf(library, entry);
  fc.assert(
    fc.property(randomBatch(entry), fc.integer({ min: 1, max: 1e6 }), (batch, dataSeed) => {
      const { accuracy, touched } = runBatch(library, kernel, entry, batch, dataSeed);
      expect(accuracy.maxError, `${kernel.id} on ${library.target}`).toBeLessThanOrEqual(1);
      expect(touched, `${kernel.id} on ${library.target}`).toBeUndefined();
    }),
    { seed: SEED, numRuns: CALLS_PER_KERNEL },
  );
}
