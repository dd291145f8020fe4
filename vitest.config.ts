import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Tests that compile, open libraries or start processes. All the others are `npm run test:quick`. */
const BUILDING = `
  abi bench_commands bits build building_under_fire builds_at_once cache_under_fire caches_in_one_buffer cli_build cli_cache
  cli_terminal compile demo diagnostics docs e4m3 emulated emulator examples far_offsets far_slots
  file_systems_under_fire fileset gpu jit jit_found kernels kill machine_code memory new_axis new_stage nvcc op open overlap overlap_caches package
  position_axes prepared_call python python_agrees python_points random_configs report report_page rope_table rounding rounding_contracts several_ops support threads wheel
  bad_input/abi bad_input/cache_abi bad_input/cache_data bad_input/cache_runtime bad_input/cli bad_input/layers bad_input/files bad_input/library bad_input/manifest bad_input/python bad_input/runtime
  bad_input/runtime_values
`
  .trim()
  .split(/\s+/)
  .map((name) => `test/${name}.test.ts`);

export default defineConfig({
  resolve: {
    alias: { "normrope/dsl": path("./dsl/index.ts"), "normrope/runtime": path("./runtime/index.ts") },
  },
  test: {
    // ts-morph takes a second to load: files of one worker share it, and all other modules.
    isolate: false,
    // A busy machine is no failure.
    testTimeout: 60_000,
    // Most of the time goes to compilers and other processes, which one worker would wait for.
    maxWorkers: "100%",
    projects: [
      {
        extends: true,
        test: {
          name: "quick",
          include: ["test/**/*.test.ts"],
          exclude: BUILDING,
          // No compiler is found: a test that needs one belongs to the others.
          env: { CXX: "none", NORMROPE_NVCC: "none" },
        },
      },
      {
        extends: true,
        test: {
          name: "building",
          include: BUILDING,
          globalSetup: "test/before_building.ts",
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
