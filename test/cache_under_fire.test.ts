/** Caches that cannot be used or trusted: of another user, open to others, damaged, or none at all. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { neoxSpace, normrope, setEnv, useSharedCache } from "./cli_helpers.js";
import { DIST } from "./cli_process.js";
import { freshCache } from "./fixture.js";
import { IS_LONG, writeConfig } from "./helpers.js";

const cli = join(DIST, "generator", "cli.js");
useSharedCache();

const buildCpu = (config: string, ...args: string[]) =>
  normrope(["build", "--target", "cpu", "--config", config, ...args]);
const verifyCpu = (config: string) => normrope(["verify", "--target", "cpu", "--config", config]);

/** A project with a cache, which is not there yet. */
function project() {
  const config = writeConfig(neoxSpace(16));
  const [folder, cache] = [dirname(config), join(dirname(config), "cache")];
  setEnv("NORMROPE_CACHE_DIR", cache);
  return { config, folder, cache, target: join(folder, "build", "cpu") };
}

const uid = process.getuid?.();
const isRoot = uid === 0;
const notRoot = isRoot ? "" : " (skipped: only root can give a folder away)";

describe("a cache", () => {
  const refused = async (config: string, ...parts: (string | RegExp)[]) => {
    const { code, err } = await buildCpu(config);
    expect(err).toMatch(/^error \[cache-unusable\]/m);
    expect(err).toMatch(/^ {2}fix: .*NORMROPE_CACHE_DIR/m);
    for (const part of parts) expect(err).toMatch(part);
    expect(code).toBe(1);
  };
  const diagnosed = async () => {
    const { out } = await normrope(["doctor"]);
    expect(out).toMatch(
      new RegExp(`^cache +${process.env.NORMROPE_CACHE_DIR} +no build: .*NORMROPE_CACHE_DIR`, "m"),
    );
  };

  it("below a file is refused, and named", async () => {
    const { config, folder } = project();
    setEnv("NORMROPE_CACHE_DIR", join(config, "cache"));
    await refused(config, /is no folder/, config);
    await diagnosed();
    expect(readdirSync(folder)).not.toContain("cache");
  });

  it("below /proc is refused at once, and named", async () => {
    const { config } = project();
    setEnv("NORMROPE_CACHE_DIR", "/proc/normrope/cache");
    await refused(config, /cannot be made/, "/proc/normrope");
    await diagnosed();
  });

  it.each<[string, number, (cache: string) => string]>([
    ["that a group may write to", 0o770, (cache) => cache],
    ["that all may write to", 0o707, (cache) => cache],
    ["whose objects all may write to", 0o777, (cache) => join(cache, "objects")],
    ["whose stagings all may write to", 0o777, (cache) => join(cache, "staging")],
    ["in a folder where all may put another", 0o777, dirname],
  ])("%s is not trusted", async (_, mode, folderOf) => {
    const { config, cache } = project();
    mkdirSync(folderOf(cache), { recursive: true, mode: 0o700 });
    chmodSync(folderOf(cache), mode);
    await refused(
      config,
      `${folderOf(cache)} belongs to uid ${uid} with mode ${mode.toString(8)},`,
      "chmod go-w",
    );
    await diagnosed();
    chmodSync(folderOf(cache), 0o700);
    freshCache(cache);
    expect((await buildCpu(config)).code).toBe(0);
  });

  it("with an entry or a file that all may write to is not trusted", async () => {
    const { config, cache } = project();
    freshCache(cache);
    await buildCpu(config);
    const paths = readdirSync(join(cache, "objects"), { recursive: true, encoding: "utf8" });
    const seal = join(cache, "objects", paths.find((path) => path.endsWith("seal.json")) ?? "");
    for (const path of [seal, join(seal, "..", "unit.o"), dirname(seal), join(seal, "../..")].filter(
      existsSync,
    )) {
      chmodSync(path, 0o777);
      await refused(config, `${path} belongs to`);
      chmodSync(path, 0o700);
    }
    expect((await buildCpu(config)).code).toBe(0);
  });

  it("in a folder like /tmp, where nobody can put another, is trusted", async () => {
    const { config, folder, cache } = project();
    freshCache(cache);
    chmodSync(folder, 0o1777);
    expect((await buildCpu(config)).code).toBe(0);
  });

  it.each<[number, number]>([
    [0o700, 0],
    [0o777, 1],
  ])("by a link is judged by what that leads to: %o", async (mode, code) => {
    const { config, folder, cache } = project();
    chmodSync(freshCache(join(folder, "real")), mode);
    symlinkSync(join(folder, "real"), cache);
    expect((await buildCpu(config)).code).toBe(code);
  });

  it.skipIf(!isRoot)(`of another user is not trusted${notRoot}`, async () => {
    const { config, cache } = project();
    mkdirSync(cache, { mode: 0o700 });
    chownSync(cache, 65_534, 65_534);
    await refused(config, `${cache} belongs to uid 65534 with mode 700, and this is uid 0`);
    await diagnosed();
  });

  it.skipIf(isRoot)(
    `that may not be written to is named${isRoot ? " (skipped: root may)" : ""}`,
    async () => {
      const { config, cache } = project();
      mkdirSync(cache, { mode: 0o500 });
      await refused(config, `${cache} belongs to uid ${uid} with mode 500`);
      await diagnosed();
    },
  );

  it("with a relative path is found by the linker, too", () => {
    const { config, folder, cache } = project();
    freshCache(cache);
    const env = { ...process.env, NORMROPE_CACHE_DIR: "cache" };
    const args = [cli, "build", "--target", "cpu", "--config", config];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: folder, env, encoding: "utf8" });
    expect(status, stderr).toBe(0);
  });

  it("with truncated, empty, foreign or missing objects is mended", async () => {
    const { config, cache, target } = project();
    await buildCpu(config);
    const library = readFileSync(join(target, "libnormrope.so"));
    const files = readdirSync(join(cache, "objects"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(o|so)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.length).toBe(8);
    const damages: ((path: string) => void)[] = [
      (path) => truncateSync(path, statSync(path).size / 2),
      (path) => truncateSync(path),
      (path) => writeFileSync(path, readFileSync(cli)),
      (path) => rmSync(path),
    ];
    // Each file in one of these ways, and in the long run in every one of them.
    for (let round = 0; round < (IS_LONG ? damages.length : 1); round++) {
      files.forEach((file, i) => {
        damages[(i + round) % damages.length]?.(file);
      });
      rmSync(join(target, ".."), { recursive: true });
      expect((await buildCpu(config)).out).toContain("1 kernel compiled");
      expect(readFileSync(join(target, "libnormrope.so")).equals(library)).toBe(true);
    }
    expect((await verifyCpu(config)).code).toBe(0);
  });

  it("and a build folder are cleared of what killed builds left, a day later", async () => {
    const { config, cache, target } = project();
    const staging = (digit: string) => join(cache, "staging", digit.repeat(24));
    const staged = (digit: string) => join(target, `libnormrope.so.${digit.repeat(12)}.tmp`);
    const [old, live, mine] = [
      [staging("a"), staged("a")],
      [staging("b"), staged("b")],
      [join(target, "my.tmp")],
    ];
    for (const path of [...old, ...live, ...mine]) {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      writeFileSync(join(path, "unit.o"), "half");
    }
    const hoursAgo = (hours: number) => Date.now() / 1000 - 3600 * hours;
    for (const path of [...old, ...mine]) utimesSync(path, hoursAgo(25), hoursAgo(25));
    for (const path of live) utimesSync(path, hoursAgo(13), hoursAgo(13));
    expect((await buildCpu(config)).code).toBe(0);
    expect([...old, ...live, ...mine].filter((path) => existsSync(path))).toEqual([...live, ...mine]);
  });
});

it("chart ends at once where --out is below /proc", async () => {
  const record = join(import.meta.dirname, "..", "bench", "results", "h100-2026-11-23.json");
  const { code, err } = await normrope(["chart", record, "--out", "/proc/normrope/charts"]);
  expect(err).toMatch(/error \[bad-option\]: .*\/proc\/normrope/);
  expect(code).toBe(1);
});
