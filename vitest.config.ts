import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: {
    alias: { "normrope/dsl": path("./dsl/index.ts"), "normrope/runtime": path("./runtime/index.ts") },
  },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Most of the time goes to compilers and other processes, which one worker would wait for.
    maxWorkers: "100%",
  },
});
