/** What the tests of builds under fire share: the command as a process of its own, compilers that misbehave, a trap for shells. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { findCxx } from "../generator/build/toolchain.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { setEnv } from "./cli_helpers.js";
import { FOLDER, needed } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

const PACKAGE = join(FOLDER, "package");
/** The sources of now as JavaScript, which starts sooner than through tsx. */
export const DIST = join(PACKAGE, "dist");

/** Writes `DIST` and what it reads. */
export function writePackage(): void {
  rmSync(PACKAGE, { recursive: true, force: true });
  for (const name of ["package.json", "templates", "dsl", "bench"]) {
    cpSync(join(PACKAGE_ROOT, name), join(PACKAGE, name), { recursive: true });
  }
  symlinkSync(join(PACKAGE_ROOT, "node_modules"), join(PACKAGE, "node_modules"));
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  for (const folder of ["dsl", "generator", "runtime"]) {
    const paths = readdirSync(join(PACKAGE_ROOT, folder), { recursive: true, encoding: "utf8" });
    for (const path of paths.filter((name) => name.endsWith(".ts"))) {
      const text = readFileSync(join(PACKAGE_ROOT, folder, path), "utf8");
      const target = join(DIST, folder, path.replace(/\.ts$/, ".js"));
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, ts.transpileModule(text, { compilerOptions }).outputText);
    }
  }
}

const cxx = await findCxx();

/** The real C++ compiler, but for what the shell commands in `cases` do where the arguments match. */
export function compilerThat(...cases: readonly [pattern: string, commands: string][]): string {
  const path = join(temporaryFolder(), "g++");
  const arms = cases.map(([pattern, commands]) => `  ${pattern}) ${commands} ;;\n`).join("");
  const script = `#!/bin/sh\ncase "$*" in\n${arms}esac\nexec '${needed(cxx).path}' "$@"\n`;
  writeFileSync(path, script, { mode: 0o755 });
  return path;
}

/** Text that runs a program where a shell reads it, and whether one did until now. */
export function shellTrap(): { readonly bait: string; readonly sprung: () => boolean } {
  const folder = temporaryFolder();
  const evidence = join(folder, "evidence");
  writeFileSync(join(folder, "trap"), `#!/bin/sh\ntouch '${evidence}'\n`, { mode: 0o755 });
  setEnv("PATH", `${folder}:${process.env.PATH}`);
  return { bait: "$(trap)`trap`;trap;\n'trap\"&trap # |trap", sprung: () => existsSync(evidence) };
}

/** Whether a process is there and no zombie, which only waits for its end to be noticed. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Waits for what is to become true soon, and says whether it did. */
export async function soon(condition: () => boolean, milliseconds = 30_000): Promise<boolean> {
  const end = performance.now() + milliseconds;
  while (!condition() && performance.now() < end) await new Promise((wake) => setTimeout(wake, 10));
  return condition();
}
