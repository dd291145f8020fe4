/** Builds that are killed at any moment, and builds that meet: nothing half-published is ever loaded. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { cpuCompiler } from "../generator/build/target_compiler.js";
import { findCxx } from "../generator/build/toolchain.js";
import { sha256 } from "../generator/cache/cache.js";
import { compile, emit } from "../generator/pipeline.js";
import { randomNumbers } from "../generator/verify/random.js";
import { verifyLibrary } from "../generator/verify/verify.js";
import { cpuFeatures } from "../runtime/cpu_features.js";
import { NormropeError } from "../runtime/errors.js";
import { open } from "../runtime/open.js";
import { neoxId, neoxSpace, normrope, setEnv } from "./cli_helpers.js";
import { DIST } from "./cli_process.js";
import { freshCache, needed } from "./fixture.js";
import { IS_LONG, SEED, temporaryFolder, writeConfig } from "./helpers.js";

const [KILLS, KILLS_OF_PUBLISHING] = IS_LONG ? [50, 20] : [3, 3];
const LIBRARY = "libnormrope.so";
const FILES = [LIBRARY, "manifest.json", "libnormrope.a"];

/** A process in a group of its own, as a terminal or a supervisor starts it. */
const start = (args: readonly string[], cwd = temporaryFolder()) =>
  spawn(process.execPath, args, { cwd, detached: true, stdio: ["ignore", "pipe", "ignore"] });
const startBuild = (config: string, ...args: string[]) =>
  start([join(DIST, "generator", "cli.js"), "build", "--target", "cpu", "--config", config, ...args]);
const endOf = (command: ChildProcess) =>
  new Promise<number | null>((resolve) => command.once("exit", (code) => resolve(code)));
const wait = (milliseconds: number) => new Promise((wake) => setTimeout(wake, milliseconds));

async function killAfter(command: ChildProcess, milliseconds: number): Promise<void> {
  const ended = endOf(command);
  await wait(milliseconds);
  if (command.pid !== undefined && command.exitCode === null) process.kill(-command.pid, "SIGKILL");
  await ended;
}

/** Hashes of libraries whose kernels were verified. */
const verified = new Set<string>();

/** What `open` makes of a build folder as it is now: the kernels, verified, or the code of its refusal. */
async function opened(target: string): Promise<readonly string[] | string> {
  const copy = temporaryFolder(); // a process keeps what it once loaded from a path
  if (existsSync(target)) cpSync(target, join(copy, "cpu"), { recursive: true });
  try {
    using library = await open({ target: "cpu", path: copy });
    const { kernels, build } = library.manifest;
    if (!verified.has(build.librarySha256)) {
      expect((await verifyLibrary(library)).filter(({ pass }) => !pass)).toEqual([]);
      verified.add(build.librarySha256);
    }
    return kernels.map(({ id }) => id);
  } catch (error) {
    if (error instanceof NormropeError) return error.code;
    throw error;
  }
}

const sumOf = (path: string) => (existsSync(path) ? sha256(readFileSync(path)) : "none");

describe("SIGKILL", () => {
  it(`at any of ${KILLS} moments leaves what opens whole or is refused (seed ${SEED})`, {
    timeout: 300_000,
  }, async () => {
    const random = randomNumbers(SEED);
    const config = writeConfig(neoxSpace(16));
    const [folder, cache] = [dirname(config), freshCache()];
    const target = join(folder, "build", "cpu");
    setEnv("NORMROPE_CACHE_DIR", cache);
    const compiler = cpuCompiler(needed(await findCxx()), cpuFeatures());
    // What the command does once it has read the config, which takes longer than all the rest.
    const programs = [[16], [24], [16, 24]].map((dims) => {
      writeFileSync(config, neoxSpace(...dims));
      const request = { files: emit(compile(config)), compiler, jobs: 2, archive: true, cacheRoot: cache };
      const path = join(folder, `build_${dims.join("_")}.mjs`);
      const text = `import { build } from ${JSON.stringify(join(DIST, "generator", "build", "build.js"))};
        import { writeFileSet } from ${JSON.stringify(join(DIST, "generator", "emit", "fileset.js"))};
        const request = ${JSON.stringify({ ...request, buildFolder: join(folder, "build") })};
        writeFileSet(${JSON.stringify(join(folder, "generated"))}, request.files);
        await build(request);`;
      writeFileSync(path, text);
      return { path, ids: dims.map((dim) => neoxId(dim)) };
    });
    const wholes = new Map<string, readonly string[]>();
    let duration = 0;
    for (const { path, ids } of programs) {
      const begin = performance.now();
      expect(await endOf(start([path]))).toBe(0);
      duration = performance.now() - begin; // the last has a dispatch table to compile, and all to link
      wholes.set(sumOf(join(target, LIBRARY)), ids);
    }
    const objects = join(cache, "objects");
    const all = readdirSync(objects);

    for (let kill = 0; kill < KILLS; kill++) {
      const lost = all[Math.floor(random() * all.length)];
      if (lost !== undefined && readdirSync(objects).length === all.length) {
        rmSync(join(objects, lost), { recursive: true });
      }
      // Each in its own part of the time, so that no part is left out.
      const path = programs[kill % programs.length]?.path ?? "";
      await killAfter(start([path]), ((kill + random()) / KILLS) * 1.1 * duration);
      const outcome = await opened(target);
      const sum = sumOf(join(target, LIBRARY));
      expect([...wholes.keys()]).toContain(sum);
      expect([wholes.get(sum), "library-invalid"]).toContainEqual(outcome);
    }
    // Libraries made of the very objects that the killed builds left are those that were made before.
    const linked = readdirSync(objects, { recursive: true, encoding: "utf8" }).filter((path) =>
      /\.(so|a)$/.test(path),
    );
    for (const path of linked) rmSync(join(objects, dirname(path)), { recursive: true });
    for (const { path, ids } of programs) {
      expect(await endOf(start([path]))).toBe(0);
      expect(await opened(target)).toEqual(ids);
      expect(wholes.get(sumOf(join(target, LIBRARY)))).toEqual(ids);
    }
    expect(await endOf(startBuild(config))).toBe(0);
  });

  it("in the middle of publishing leaves only whole files, and no archive of another library", async () => {
    const folders = [16, 24].map((dim) => {
      const config = writeConfig(neoxSpace(dim));
      return { config, target: join(dirname(config), "build", "cpu") };
    });
    setEnv("NORMROPE_CACHE_DIR", freshCache());
    for (const { config } of folders)
      await normrope(["build", "--target", "cpu", "--static", "--config", config]);
    const sums = folders.map(({ target }) => FILES.map((name) => sumOf(join(target, name))));
    const target = join(temporaryFolder(), "build", "cpu");
    const program = `
      import { readFileSync } from "node:fs";
      import { publish } from ${JSON.stringify(join(DIST, "generator", "build", "publish.js"))};
      const sources = ${JSON.stringify(folders.map((folder) => folder.target))}.map((path) =>
        [JSON.parse(readFileSync(path + "/manifest.json", "utf8")), path + "/libnormrope.so", path + "/libnormrope.a"]);
      for (let i = 0; ; i = 1 - i) {
        publish(${JSON.stringify(target)}, ...sources[i]);
        process.stdout.write(".");
      }`;
    const random = randomNumbers(SEED);
    const states = new Set<string>();
    for (let kill = 0; kill < KILLS_OF_PUBLISHING; kill++) {
      const command = start(["--input-type=module", "-e", program]);
      await new Promise((resolve) => command.stdout?.once("data", resolve));
      command.stdout?.resume();
      await killAfter(command, 30 * random());
      const [library = "", manifest = "", archive = ""] = FILES.map((name) => sumOf(join(target, name)));
      const own = sums.findIndex(([sum]) => sum === library);
      expect([library, manifest]).toEqual([sums[own]?.[0], expect.toBeOneOf(sums.map(([, sum]) => sum))]);
      expect(["none", sums[own]?.[2]]).toContain(archive);
      states.add(
        [library, manifest, archive].map((sum) => sums.findIndex((list) => list.includes(sum))).join(),
      );
    }
    if (IS_LONG) expect(states.size).toBeGreaterThan(2); // some were killed between two files
    expect(["library-invalid", [neoxId(16)], [neoxId(24)]]).toContainEqual(await opened(target));
  });
});

describe("builds at once", () => {
  it("into one cache with a damaged entry all succeed", async () => {
    const cache = freshCache();
    setEnv("NORMROPE_CACHE_DIR", cache);
    const first = writeConfig(neoxSpace(16));
    await normrope(["build", "--target", "cpu", "--config", first]);
    const paths = readdirSync(join(cache, "objects"), { recursive: true, encoding: "utf8" });
    for (const path of paths.filter((name) => name.endsWith("unit.o")))
      truncateSync(join(cache, "objects", path), 9);
    const dims = IS_LONG ? [16, 24, 16, 24, 16, 24, 16, 24] : [16, 24];
    const configs = dims.map((dim) => writeConfig(neoxSpace(dim)));
    const ends = await Promise.all(configs.map((config) => endOf(startBuild(config, "--jobs", "2"))));
    expect(ends).toEqual(dims.map(() => 0));
    expect(readdirSync(join(cache, "staging"))).toEqual([]);
    for (const [i, config] of configs.entries()) {
      expect(await opened(join(dirname(config), "build", "cpu"))).toEqual([neoxId(dims[i] ?? 0)]);
    }
  });
});

it("a process that holds a library is told that it was rebuilt", async () => {
  setEnv("NORMROPE_CACHE_DIR", freshCache());
  const config = writeConfig(neoxSpace(16));
  const [build, path] = [["build", "--target", "cpu", "--config", config], join(dirname(config), "build")];
  await normrope(build);
  using first = await open({ target: "cpu", path });
  using again = await open({ target: "cpu", path });
  expect(again.manifest).toEqual(first.manifest);
  writeFileSync(config, neoxSpace(24));
  await normrope(build);
  await expect(open({ target: "cpu", path })).rejects.toMatchObject({
    code: "library-invalid",
    message: expect.stringMatching(/has loaded.*new process/),
  });
});
