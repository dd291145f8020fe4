/** A copy of the package, changed and compiled as one would who forks it. */
import { cpSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { collectingIo } from "./cli_helpers.js";

const COPIED = [
  ...[
    "dsl",
    "generator",
    "runtime",
    "templates",
    "python/normrope",
    "bench",
    "compile.ts",
    "normrope.config.ts",
  ],
  ...["package.json", "tsconfig.json", "tsconfig.build.json"],
];

export interface PackageCopy {
  /** Runs a command of the copy, in this process. */
  readonly normrope: (...args: string[]) => Promise<{ code: number; out: string; err: string }>;
  readonly runtime: typeof import("../runtime/index.js");
}

/**
 * Copies the package to `copy`, changes it and compiles it.
 *
 * @param config the config that commands of the copy read
 */
export async function packageCopy(copy: string, change: () => void, config: string): Promise<PackageCopy> {
  for (const name of COPIED) cpSync(join(PACKAGE_ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(PACKAGE_ROOT, "node_modules"), join(copy, "node_modules"));
  change();
  await execa("npm", ["run", "compile"], { cwd: copy });
  const { main } = await import(join(copy, "dist", "generator", "cli.js"));
  return {
    runtime: await import(join(copy, "dist", "runtime", "index.js")),
    async normrope(...args) {
      const { io, out, err } = collectingIo();
      const code = await main([...args, "--config", config], io);
      return { code, out: out(), err: err() };
    },
  };
}
