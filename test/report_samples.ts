/** What the tests of the report share: reports of libraries that no compiler made. */

import { type BuiltManifest, manifestSchema } from "../dsl/manifest.js";
import { compile, emit } from "../generator/pipeline.js";
import type { Report } from "../generator/report/view.js";
import type { KernelResult } from "../generator/verify/verify.js";
import type { DeviceInfo } from "../runtime/open_library.js";
import { benchRecord } from "./bench_sample.js";
import { CONFIG_FILES } from "./helpers.js";

const SPILLS = { stackBytes: 8, spillStoreBytes: 8, spillLoadBytes: 12 };
const NO_SPILLS = { stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 };

/** A CUDA library for two architectures, of the kernels of a config. */
export function cudaManifest(config = CONFIG_FILES[0] ?? ""): BuiltManifest {
  const text = emit(compile(config)).find(({ path }) => path === "manifest.json")?.text ?? "";
  const manifest = manifestSchema.parse(JSON.parse(text));
  const archs = ["sm_90", "sm_100"];
  const found = (arch: string) => ({ arch, registers: 47, ...(arch === "sm_90" ? SPILLS : NO_SPILLS) });
  return {
    ...manifest,
    build: {
      ...{ target: "cuda", toolchain: "nvcc\nrelease 13.0, V13.0.88", flags: [], archs, cpuFeatures: [] },
      ...{ cpuArch: "x64", librarySha256: "0123456789abcdef".repeat(4) },
      resources: Object.fromEntries(manifest.kernels.map(({ id }) => [id, archs.map(found)])),
    },
  };
}

export const DEVICE: DeviceInfo = {
  ...{ name: "NVIDIA H100", arch: "sm_90", multiprocessors: 132, l2Bytes: 0, memoryBytes: 2 ** 36 },
};

/** Reports of every kind: verified with a failure, or not; of either target; with a record and without. */
export function sampleReports(): readonly [Report, Report] {
  const cuda = cudaManifest();
  const results = cuda.kernels.map(({ id }, i): KernelResult => {
    const failures = i === 0 ? ["packed: error 3 times what is allowed"] : [];
    return { id, cases: 9, maxError: 0.98, relError: 1.65e-3, pass: i > 0, failures };
  });
  const library = { libraryPath: "build/cuda/libnormrope.so", libraryBytes: 1_078_552 };
  const build = { ...cuda.build, target: "cpu" as const, archs: [], cpuFeatures: ["avx2"], resources: {} };
  return [
    {
      manifest: cuda,
      ...library,
      devices: [DEVICE],
      verification: { kind: "done", results },
      bench: benchRecord(),
    },
    {
      manifest: { ...cuda, build },
      libraryPath: "build/cpu/libnormrope.so",
      libraryBytes: 56_808,
      devices: [],
      verification: { kind: "left-out", why: "the device is elsewhere" },
      bench: undefined,
    },
  ];
}
