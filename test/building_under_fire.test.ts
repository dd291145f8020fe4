/** Compilers that fail, hang, are killed or never stop printing; and texts that are to be read, never run. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Target } from "../dsl/manifest.js";
import { findCxx, findNvcc } from "../generator/build/toolchain.js";
import { neoxId, neoxSpace, normrope, setEnv } from "./cli_helpers.js";
import { compilerThat, DIST, isAlive, shellTrap, soon } from "./cli_process.js";
import { freshCache, needed } from "./fixture.js";
import { opConfig, temporaryFolder, writeConfig } from "./helpers.js";

const [cxx, nvcc] = [await findCxx(), await findNvcc()];
const nvccMissing = nvcc === undefined ? " (skipped: needs nvcc, and none was found)" : "";

/** A project with a cache of its own. */
function project(config = writeConfig(neoxSpace(16))) {
  const cache = freshCache();
  setEnv("NORMROPE_CACHE_DIR", cache);
  return {
    config,
    cache,
    build: (...args: string[]) => normrope(["build", "--target", "cpu", "--config", config, ...args]),
    staged: () => readdirSync(join(cache, "staging")),
  };
}

/** Commands that start a child which holds the compiler's output open, and the child's id. */
function lastingChild() {
  const file = join(temporaryFolder(), "pid");
  const pid = () => Number(existsSync(file) ? readFileSync(file, "utf8") : 0);
  return { start: `sleep 300 & echo $! > '${file}'`, pid };
}

describe("a compiler with a child", () => {
  const real = `'${needed(cxx).path}' "$@"`;
  it.each<[string, string, number, RegExp]>([
    [
      "hangs",
      "wait",
      1,
      /^error \[compile-timeout\]: \S+: the compiler was stopped after 3 s\n[\s\S]*--timeout/m,
    ],
    ["fails", "exit 3", 1, /^error \[compile-failed\]: .*exit status 3/m],
    [
      "is killed",
      "kill -9 $$",
      1,
      /^error \[compile-failed\]: .*signal SIGKILL[\s\S]*fix: .*memory.*--jobs 1/m,
    ],
    ["succeeds and forgets it", `${real}; exit $?`, 0, /cpu qk_norm_rope__bf16_d16_r16_neox \d/],
  ])("that %s leaves nothing running or staged", async (_, end, code, message) => {
    const { build, staged } = project();
    const child = lastingChild();
    setEnv("CXX", compilerThat(["*-c*_d16_*", `${child.start}; ${end}`]));
    const result = await build("--timeout", end === "wait" ? "3" : "60");
    expect(result.err).toMatch(message);
    expect(result.code).toBe(code);
    expect(child.pid()).toBeGreaterThan(0);
    expect(await soon(() => !isAlive(child.pid()))).toBe(true);
    expect(staged()).toEqual([]);
    setEnv("CXX", needed(cxx).path);
    expect((await build()).code).toBe(0);
  });

  it.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "is ended with it, and unstaged, where normrope gets a %s",
    async (signal) => {
      const { config, staged } = project();
      const child = lastingChild();
      setEnv("CXX", compilerThat(["*-c*_d16_*", `${child.start}; wait`]));
      const args = [join(DIST, "generator", "cli.js"), "build", "--target", "cpu", "--config", config];
      const command = spawn(process.execPath, args, { stdio: "ignore" });
      onTestFinished(() => {
        command.kill();
      });
      const ended = new Promise((resolve) => command.once("exit", (_, by) => resolve(by)));
      expect(await soon(() => child.pid() > 0)).toBe(true);
      command.kill(signal);
      expect(await ended).toBe(signal);
      expect(await soon(() => !isAlive(child.pid()))).toBe(true);
      expect(staged()).toEqual([]);
    },
  );
});

describe("a compiler", () => {
  it("that always hangs is waited for once, not for each file", async () => {
    const folder = temporaryFolder();
    const [path, runs] = [join(folder, "nvcc"), join(folder, "runs")];
    const hangs = `[ "$1" = --version ] && exec echo release 13.0\necho >>${runs}\nsleep 300`;
    writeFileSync(path, `#!/bin/sh\n${hangs}\n`, { mode: 0o755 });
    setEnv("NORMROPE_NVCC", path);
    const { config } = project();
    const args = ["build", "--target", "cuda", "--arch", "sm_90", "--jobs", "1", "--timeout", "1"];
    const { code, err } = await normrope([...args, "--config", config]);
    expect(err.match(/error \[\S+\]/g)).toEqual(["error [compile-timeout]"]);
    expect(code).toBe(1);
    expect(readFileSync(runs, "utf8")).toBe("\n");
  });

  it("that never stops printing takes no memory, and is shown by its two ends", async () => {
    const { build } = project();
    setEnv("CXX", compilerThat(["*-c*_d16_*", "echo the first line; exec yes 'a line of many'"]));
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }, 20);
    const { err } = await build("--timeout", "2").finally(() => clearInterval(watch));
    const left = Number(/^\[\.\.\. (\d+) bytes are left out here \.\.\.\]$/m.exec(err)?.[1]);
    expect(left).toBeGreaterThan(10_000_000); // it was cut, and not for want of time
    expect(most).toBeLessThan(Math.max(100_000_000, left / 2)); // what is not collected yet, with it
    expect(err.length).toBeLessThan(300_000);
    expect(err).toMatch(/\nthe first line\na line of many\n/);
    // The kill may have cut the last line.
    expect(err).toMatch(/\na line of many\n(a[a-z ]*\n)? {2}fix: /);
  });

  it("that prints megabytes and fails loses only the output that the error says was left out", async () => {
    const { build } = project();
    const numbers = Array.from({ length: 400_000 }, (_, i) => i + 1);
    setEnv("CXX", compilerThat(["*-c*_d16_*", "seq 1 400000; exit 1"]));
    const { err } = await build();
    const [, head = "", left, tail = ""] =
      /\n(1\n2\n[\s\S]*)\n\[\.\.\. (\d+) bytes .*\]\n([\s\S]*?\n400000\n)/.exec(err) ?? [];
    expect(Number(left)).toBe(numbers.join("\n").length + 1 - head.length - tail.length);
    expect(tail.length).toBeGreaterThan(100_000);
    expect(numbers.join("\n")).toContain(tail.trimEnd());
    setEnv("CXX", compilerThat(["*-c*_d16_*", "seq 1 40000; exit 1"]));
    expect((await build()).err).toContain(`\n${numbers.slice(0, 40_000).join("\n")}\n`);
  });

  it("that runs out of disk space is reported, with where to make room", async () => {
    const { build } = project();
    setEnv("CXX", compilerThat(["*-c*_d16_*", "echo 'as: unit.o: No space left on device'; exit 1"]));
    const { err } = await build();
    expect(err).toMatch(/fix: make room .*NORMROPE_CACHE_DIR/);
  });

  it.each(["0", "-1", "1e9", "soon"])("is not given --timeout %s", async (seconds) => {
    const { code, err } = await project().build(`--timeout=${seconds}`);
    expect(err).toMatch(/error \[bad-option\]: --timeout is/);
    expect(code).toBe(1);
  });
});

describe("a config is read, never run:", () => {
  it.each(["build", "list", "emit", "check"])("%s", async (command) => {
    const evidence = join(temporaryFolder(), "evidence");
    const act = `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(evidence)}, "");\n`;
    const imported = `${act}export const dims = [16] as const;\n`;
    const text = `${act}import { dims } from "./dims.js";\nimport { defineSpace, qkNormRope } from "normrope/dsl";
export default defineSpace(qkNormRope, { headDim: dims, rope: ["neox"], dtype: ["bf16"] });\n`;
    const { config } = project(writeConfig(text, { "dims.ts": imported }));
    const { err } = await normrope([command, "--config", config]);
    expect(err).not.toContain("bug");
    expect(existsSync(evidence)).toBe(false);
  });
});

describe("no shell reads", () => {
  const names = async (target: Target) => {
    const { bait, sprung } = shellTrap();
    const folder = join(temporaryFolder(), bait);
    for (const name of ["project", "cache", "tmp"])
      mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
    const config = join(folder, "project", `${bait}.ts`);
    writeFileSync(config, neoxSpace(16));
    setEnv("NORMROPE_CACHE_DIR", join(folder, "cache"));
    setEnv("TMPDIR", join(folder, "tmp"));
    const { code, err } = await normrope(["build", "--target", target, "--static", "--config", config]);
    expect([code, sprung()], err).toEqual([0, false]);
    expect(readdirSync(join(folder, "project", "build", target))).toContain("libnormrope.so");
    expect(readdirSync(join(folder, "tmp"))).toEqual([]);
  };
  it("the names of folders, to build for cpu", () => names("cpu"));
  it.skipIf(nvcc === undefined)(`the names of folders, to build for cuda${nvccMissing}`, () => names("cuda"));

  it("the name of the C++ compiler", async () => {
    const { bait, sprung } = shellTrap();
    const path = join(temporaryFolder(), bait);
    symlinkSync(needed(cxx).path, path);
    setEnv("CXX", path);
    const { build } = project();
    const { code, err } = await build();
    expect([code, sprung()], err).toEqual([0, false]);
  });

  it.skipIf(nvcc === undefined)(`a compiler's name that nvcc would give to one${nvccMissing}`, async () => {
    const { bait, sprung } = shellTrap();
    const path = join(temporaryFolder(), bait);
    symlinkSync(needed(cxx).path, path);
    setEnv("CXX", path);
    const { config } = project();
    const { code, err } = await normrope([
      "build",
      "--target",
      "cuda",
      "--arch",
      "sm_90",
      "--config",
      config,
    ]);
    expect(err).toMatch(/error \[no-compiler\]: nvcc hands .* to a shell.*[\s\S]*fix: .*symbolic link/);
    expect([code, sprung()]).toEqual([1, false]);
  });

  it("an option, an op's name or a config's", async () => {
    const { bait, sprung } = shellTrap();
    const { config } = project();
    const attempts = [
      ["build", "--target", "cuda", "--arch", `sm_90${bait}`, "--config", config],
      ["build", "--target", "cpu", "--config", bait],
      ["build", "--target", "cpu", "--config", writeConfig(opConfig({ name: JSON.stringify(bait) }))],
      ["add", "headDim", bait, "--config", config],
      ["explain", bait, "--config", config],
      ["bench", "--target", "cpu", "--commit", bait, "--out", bait, "--config", join(bait, neoxId(16))],
    ];
    for (const args of attempts) expect((await normrope(args)).code, args.join(" ")).toBe(1);
    expect(sprung()).toBe(false);
  });
});
