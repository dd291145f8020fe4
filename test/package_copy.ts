/** A copy of the package, changed and compiled as one would who forks it. */
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import type { KernelResult } from "../generator/verify/verify.js";
import { collectingIo, textsIn, useSharedCache } from "./cli_helpers.js";
import { buildEmulated } from "./emulated.js";

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
  /** The folder of copy and project. */
  readonly root: string;
  readonly copy: string;
  readonly project: string;
  /** The project's, which commands of the copy read. */
  readonly config: string;
  /** Runs a command of the copy, in this process. */
  readonly normrope: (...args: string[]) => Promise<{ code: number; out: string; err: string }>;
  readonly runtime: typeof import("../runtime/index.js");
  /** Builds what the copy emitted into the project to run on the emulator, and verifies it. */
  readonly verifyEmulated: () => Promise<KernelResult[]>;
}

/** Copies the package into a new folder, which is removed behind the tests of the file, changes it and compiles it. */
export async function packageCopy(change: (copy: string) => void): Promise<PackageCopy> {
  const root = mkdtempSync(join(tmpdir(), "normrope-copy-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  useSharedCache();
  const [copy, project] = [join(root, "package"), join(root, "project")];
  const config = join(project, "normrope.config.ts");
  for (const name of COPIED) cpSync(join(PACKAGE_ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(PACKAGE_ROOT, "node_modules"), join(copy, "node_modules"));
  change(copy);
  await execa("npm", ["run", "compile"], { cwd: copy });
  const compiled = (path: string) => import(join(copy, "dist", path));
  const { main } = await compiled("generator/cli.js");
  const runtime = await compiled("runtime/index.js");
  return {
    ...{ root, copy, project, config, runtime },
    async normrope(...args) {
      const { io, out, err } = collectingIo();
      const code = await main([...args, "--config", config], io);
      return { code, out: out(), err: err() };
    },
    async verifyEmulated() {
      const emitted = Object.entries(textsIn(join(project, "generated")));
      const files = emitted.map(([path, text]) => ({ path, text }));
      const { build } = await compiled("generator/build/build.js");
      const { verifyLibrary } = await compiled("generator/verify/verify.js");
      const { library: path } = await buildEmulated(files, join(root, "emulated"), build);
      using library = await runtime.open({ target: "cuda", path });
      return await verifyLibrary(library);
    },
  };
}
