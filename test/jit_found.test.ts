/** Compiled kernels found again: where nothing is to be compiled or nothing can, in other caches, in odd surroundings. */
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { provideLibrary } from "../generator/jit/jit.js";
import { loadLibrary } from "../runtime/library.js";
import { neoxId, setEnv } from "./cli_helpers.js";
import { compilerThat } from "./cli_process.js";
import { freshCache, nvcc } from "./fixture.js";
import { DEFAULTS, temporaryFolder } from "./helpers.js";
import { entriesOf, filledCache, PROGRAM, rewrite, shelf, use } from "./jit_process.js";

describe("NORMROPE_JIT=0", () => {
  it("makes a miss an error that names the line for the config", async () => {
    const { cache } = await filledCache();
    const missed = await use(cache, { NORMROPE_JIT: "0" }, { headDim: 40 });
    expect(missed.code).toBe("kernel-not-found");
    expect(missed.message).toContain('{ headDim: [40], rope: ["neox"], dtype: ["bf16"] }');
    expect(missed.message).toContain("NORMROPE_JIT is 0");
    expect(existsSync(shelf(cache, neoxId(40)))).toBe(false);
  });

  it("finds what is in the cache", async () => {
    const { cache, said: first } = await filledCache();
    expect(await use(cache, { NORMROPE_JIT: "0" })).toEqual(first);
  });

  it("refuses to open without a library or a cache", async () => {
    const said = await use(freshCache(), { NORMROPE_JIT: "0" });
    expect(said.code).toBe("library-not-found");
    expect(said.message).toContain("normrope build --target cpu");
  });
});

describe("without a compiler", () => {
  const none = { CXX: "/nonexistent/g++" };

  it("a cache that was filled before serves, also one that is read-only, and is not written to", async () => {
    const { cache: seeds, said: first } = await filledCache();
    const contents = () => readdirSync(seeds, { recursive: true }).sort();
    const before = contents();
    chmodSync(seeds, 0o555);
    const cache = freshCache();
    const env = { NORMROPE_CACHE_READONLY: `/nonexistent:${seeds}` };
    expect(await use(cache, { ...none, ...env })).toEqual(first);
    expect(await use(cache, env)).toEqual(first);
    expect(contents()).toEqual(before);
    expect(readdirSync(cache)).not.toContain("jit");
    chmodSync(seeds, 0o755);
  });

  it("what another version made is not taken, nor what this machine cannot run", async () => {
    const { cache } = await filledCache();
    const [entry = ""] = entriesOf(cache, neoxId(16));
    const text = readFileSync(join(entry, "manifest.json"), "utf8");
    const changes = [
      text.replace(/"compiler": "normrope [^"]*"/, '"compiler": "normrope 0.0.1"'),
      text.replace(/"cpuFeatures": \[/, '"cpuFeatures": ["none-such",').replace(/,\s*\]/, "]"),
      text.replace(/"cpuArch": "[^"]*"/, '"cpuArch": "z80"'),
    ];
    for (const changed of changes) {
      expect(changed).not.toBe(text);
      rewrite(entry, () => changed);
      expect(await use(cache, none)).toMatchObject({ code: "kernel-not-found" });
    }
  });

  it("a miss says which compiler is missing, and the line for the config", async () => {
    const { cache } = await filledCache();
    const missed = await use(cache, none, { headDim: 40 });
    expect(missed.code).toBe("kernel-not-found");
    expect(missed.message).toContain("CXX is /nonexistent/g++");
    expect(missed.message).toContain("headDim: [40]");
  });
});

it.skipIf(nvcc === undefined)(
  "without a compiler a device gets what it can run, its own before others (needs nvcc)",
  async () => {
    const cache = freshCache();
    setEnv("NORMROPE_CACHE_DIR", cache);
    const point = { headDim: 16, rotaryDim: 16, rope: "neox", dtype: "bf16", ...DEFAULTS } as const;
    const provide = (...archs: string[]) =>
      provideLibrary({ point, target: "cuda", archs, load: loadLibrary });
    for (const archs of [["sm_80", "sm_100"], ["sm_80"], ["sm_90"]]) await provide(...archs);
    setEnv("NORMROPE_JIT", "0");
    const archsFor = async (device: string) => {
      const found = await provide(device);
      return "reason" in found ? found.reason : loadLibrary(found.library).manifest.build.archs;
    };
    expect(await archsFor("sm_80")).toContain("sm_80");
    expect(await archsFor("sm_90")).toEqual(["sm_90"]);
    expect(await archsFor("sm_86")).toContain("sm_80");
    expect(await archsFor("sm_120")).toContainEqual(expect.stringMatching(/^sm_/)); // from PTX
    for (const entry of entriesOf(cache, neoxId(16))) {
      if (loadLibrary(join(entry, "libnormrope.so")).manifest.build.archs.length < 2)
        rmSync(entry, { recursive: true });
    }
    expect(await archsFor("sm_90")).toBe("NORMROPE_JIT is 0"); // neither of its generation, nor PTX of an older one
  },
);

describe("a cache that cannot be searched", () => {
  const missed = (env: NodeJS.ProcessEnv, cache = freshCache()) => use(cache, { NORMROPE_JIT: "0", ...env });

  it("because others may write to it is named, with the owner, and passed over", async () => {
    const { cache: seeds, said: first } = await filledCache();
    chmodSync(shelf(seeds, neoxId(16)), 0o777);
    const cache = freshCache();
    await use(cache, {}, { headDim: 24 }); // so that there is something to open
    const said = await missed({ NORMROPE_CACHE_READONLY: seeds }, cache);
    expect(said).toMatchObject({ code: "kernel-not-found" });
    expect(said.message).toContain("others may write to it");
    expect(await use(cache, { NORMROPE_CACHE_READONLY: seeds })).toEqual(first); // compiled
  });

  it("because it is not there is named", async () => {
    const said = await missed({ NORMROPE_CACHE_READONLY: "/nonexistent/seeds" });
    expect(said.message).toContain("names /nonexistent/seeds, which is missing or cannot be read");
  });

  it("because it holds what is no entry is searched beside that", async () => {
    const { cache, said: first } = await filledCache();
    const [entry = ""] = entriesOf(cache, neoxId(16));
    const older = join(dirname(entry), "0".repeat(64));
    cpSync(entry, older, { recursive: true });
    rewrite(older, (text) => text.replace('"abi": 1', '"abi": 0'));
    writeFileSync(join(dirname(entry), ".DS_Store"), "");
    expect(await use(cache, { NORMROPE_JIT: "0" })).toEqual(first);
    rmSync(shelf(cache, neoxId(16)), { recursive: true });
    writeFileSync(shelf(cache, neoxId(16)), "");
    expect(await missed({}, cache)).toMatchObject({ code: "kernel-not-found" });
  });
});

describe("odd surroundings", () => {
  it("a deleted working folder is no obstacle", async () => {
    const cwd = temporaryFolder();
    const args = [
      "--input-type=module",
      "--eval",
      `process.chdir(${JSON.stringify(cwd)});
      (await import("node:fs")).rmdirSync(${JSON.stringify(cwd)});${PROGRAM}`,
      '[16, "cpu", {}]',
    ];
    const env = { ...process.env, NORMROPE_CACHE_DIR: (await filledCache()).cache };
    const { stdout } = await execa(process.execPath, args, { env });
    expect(JSON.parse(stdout)).toMatchObject({ id: neoxId(16) });
  });

  it("a compiler is found by a relative path", async () => {
    const cwd = dirname(compilerThat());
    expect(await use(freshCache(), { CXX: "./g++" }, { cwd })).toMatchObject({ id: neoxId(16) });
  });

  it("NORMROPE_JIT is 0 or 1", async () => {
    const said = await use(freshCache(), { NORMROPE_JIT: "false" });
    expect(said).toMatchObject({ code: "invalid-argument" });
    expect(said.message).toContain('NORMROPE_JIT is "false"');
    expect(await use((await filledCache()).cache, { NORMROPE_JIT: "1" })).toMatchObject({ id: neoxId(16) });
  });

  it("a rotaryDim of null is one that is left out", async () => {
    const point = { headDim: 16, rotaryDim: null, rope: "neox", dtype: "bf16" };
    const said = await use((await filledCache()).cache, {}, { point });
    expect(said).toMatchObject({ id: neoxId(16) });
  });
});
