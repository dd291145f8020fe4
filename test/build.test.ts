/** Builds with the real compilers: what is compiled, what is reused, and what is published. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { LIBRARY_NAME, type Target } from "../dsl/manifest.js";
import type { BuildRequest, BuildResult } from "../generator/build/build.js";
import { readBuiltManifest } from "../generator/build/publish.js";
import { cpuCompiler } from "../generator/build/target_compiler.js";
import { sha256 } from "../generator/cache/cache.js";
import { UserError } from "../generator/diagnostics.js";
import type { FileSet } from "../generator/ir.js";
import { open } from "../runtime/open.js";
import { cpu, cuda, cxx, FEATURES, filesOf, nvcc, project } from "./building.js";
import { neoxId, neoxSpace, normrope, setEnv } from "./cli_helpers.js";
import { freshCache, needed } from "./fixture.js";
import { temporaryFolder, writeConfig } from "./helpers.js";

const nvccMissing = nvcc === undefined ? " (skipped: needs nvcc, and none was found)" : "";
const hasNm = spawnSync("nm", ["--version"]).status === 0;

/** What builds share that are not about the cache; removed after the last test. */
const shared = mkdtempSync(join(tmpdir(), "normrope-build-"));
afterAll(() => rmSync(shared, { recursive: true, force: true }));
const sharedCache = freshCache(join(shared, "cache"));

const ids = (...headDims: number[]) => headDims.map((headDim) => neoxId(headDim));
const pointOf = (headDim: number) => ({ headDim, rope: "neox", dtype: "bf16" }) as const;
const published = ({ library }: BuildResult) =>
  [library, join(library, "..", "manifest.json")].map((path) => {
    const { ino, mtimeNs, size } = statSync(path, { bigint: true });
    return [path, ino, mtimeNs, size];
  });

/** Text put at the end of an emitted file. */
function withLine(files: FileSet, path: string, line: string): FileSet {
  expect(files.map((file) => file.path)).toContain(path);
  return files.map((file) => (file.path === path ? { path, text: `${file.text}${line}\n` } : file));
}

describe("a second build", () => {
  it("compiles nothing, and leaves library and manifest untouched", async () => {
    const { run, cacheRoot } = project();
    const first = await run(filesOf(16));
    expect([first.compiled, first.cached]).toEqual([ids(16), []]);
    const before = published(first);
    const second = await run(filesOf(16));
    expect([second.compiled, second.cached]).toEqual([[], ids(16)]);
    expect(published(second)).toEqual(before);
    expect(readdirSync(join(cacheRoot, "staging"))).toEqual([]);
  });

  it("compiles only the kernels that a value adds, and none if one is removed", async () => {
    const { run, buildFolder } = project();
    await run(filesOf(16));
    const grown = await run(filesOf(16, 24));
    expect([grown.compiled, grown.cached]).toEqual([ids(24), ids(16)]);
    const shrunk = await run(filesOf(24));
    expect([shrunk.compiled, shrunk.cached]).toEqual([[], ids(24)]);
    using library = await open({ target: "cpu", path: buildFolder });
    expect((await library.kernel(pointOf(24))).id).toBe(neoxId(24));
    await expect(library.kernel(pointOf(16))).rejects.toMatchObject({ code: "kernel-not-found" });
  });

  it.each<[string, string, string[]]>([
    ["its own text", `cpu/${neoxId(16)}.cpp`, ids(16)],
    ["the header that all include", "cpu/simd.hpp", ids(16, 24)],
    ["a header that no kernel includes", "common/abi.hpp", []],
    ["a source beside the kernels", "cpu/dispatch.cpp", []],
    ["a file of the other target", `cuda/${neoxId(16)}.cu`, []],
  ])("compiles the kernels that a change reaches: %s", async (_, path, compiled) => {
    const { run } = project();
    await run(filesOf(16, 24), { cacheRoot: sharedCache });
    const changed = withLine(filesOf(16, 24), path, `// a change to ${path}`);
    expect((await run(changed, { cacheRoot: sharedCache })).compiled).toEqual(compiled);
  });

  it.skipIf(FEATURES.length === 0)(
    "reuses nothing for other CPU features (needs a CPU with some)",
    async () => {
      const { run } = project();
      const plain = await run(filesOf(16), { compiler: cpuCompiler(needed(cxx), []) });
      const tuned = await run(filesOf(16));
      expect([plain.compiled, tuned.compiled]).toEqual([ids(16), ids(16)]);
      expect([plain, tuned].map(({ manifest }) => manifest.build.cpuFeatures)).toEqual([[], FEATURES]);
      expect(plain.manifest.build.librarySha256).not.toBe(tuned.manifest.build.librarySha256);
    },
  );

  it("reuses nothing of another compiler", async () => {
    const { run } = project();
    await run(filesOf(16));
    const { compiled } = await run(filesOf(16), { compiler: { ...cpu(), identity: "another version" } });
    expect(compiled).toEqual(ids(16));
  });
});

describe("a compiler that fails", () => {
  /** The real compiler, but for what the shell commands in `cases` do to matching arguments. */
  function wrapper(...cases: [pattern: string, commands: string][]): string {
    const path = join(temporaryFolder(), "g++");
    const arms = cases.map(([pattern, commands]) => `  ${pattern}) ${commands} ;;\n`).join("");
    const script = `#!/bin/sh\ncase "$*" in\n${arms}esac\nexec '${needed(cxx).path}' "$@"\n`;
    writeFileSync(path, script, { mode: 0o755 });
    return path;
  }

  async function failureOf(run: Promise<unknown>): Promise<UserError> {
    const error: unknown = await run.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(UserError);
    if (!(error instanceof UserError)) throw error;
    return error;
  }

  const OUTPUT = ["the first line", ...Array.from({ length: 200 }, (_, i) => `line ${i}`), "the last line"];
  const talk = `printf '%s\\n' ${OUTPUT.map((line) => `'${line}'`).join(" ")}`;

  it("is reported whole; nothing is published, and what was compiled is kept", async () => {
    const { run, buildFolder, cacheRoot } = project();
    const path = wrapper([`*-c*_d24_*`, `${talk}; echo 'on stderr' >&2; exit 3`]);
    const error = await failureOf(run(filesOf(16, 24), { compiler: { ...cpu(), path } }));
    expect(error.diagnostics.map(({ code }) => code)).toEqual(["compile-failed"]);
    for (const part of [neoxId(24), path, "exit status 3", "-O3", `-c cpu/${neoxId(24)}.cpp`, "on stderr"]) {
      expect(error.message).toContain(part);
    }
    expect(error.message).toContain(OUTPUT.join("\n"));
    expect(existsSync(join(buildFolder, "cpu"))).toBe(false);
    expect(readdirSync(join(cacheRoot, "staging"))).toEqual([]);

    const mended = await run(filesOf(16, 24));
    expect([mended.compiled, mended.cached]).toEqual([ids(24), ids(16)]);
    using library = await open({ target: "cpu", path: buildFolder });
    expect(library.manifest.kernels.map(({ id }) => id)).toEqual(ids(16, 24));
  });

  it.each<[string, [string, string], string]>([
    ["on a kernel", ["*-c*_d24_*", "echo no >&2; exit 1"], neoxId(24)],
    ["on the linking", ["*-shared*", "echo no >&2; exit 1"], "libnormrope.so"],
  ])("%s leaves the library that was there", async (_, failure, name) => {
    const { run, buildFolder } = project();
    const first = await run(filesOf(16));
    const before = published(first);
    const path = wrapper(failure);
    const error = await failureOf(run(filesOf(16, 24), { compiler: { ...cpu(), path } }));
    expect(error.diagnostics.map(({ code }) => code)).toEqual(["compile-failed"]);
    expect(error.message).toContain(name);
    expect(published(first)).toEqual(before);
    using library = await open({ target: "cpu", path: buildFolder });
    expect(library.manifest.kernels.map(({ id }) => id)).toEqual(ids(16));
  });

  it("on several kernels is reported for each", async () => {
    const path = wrapper(
      ["*-c*_d24_*", "echo 'no to 24' >&2; exit 1"],
      ["*-c*_d40_*", "echo 'no to 40' >&2; exit 1"],
    );
    const error = await failureOf(project().run(filesOf(16, 24, 40), { compiler: { ...cpu(), path } }));
    expect(error.diagnostics.map(({ code }) => code)).toEqual(["compile-failed", "compile-failed"]);
    for (const part of [...ids(24, 40), "no to 24", "no to 40"]) expect(error.message).toContain(part);
    expect(error.message).not.toContain(neoxId(16));
  });

  it("because it is killed is reported with the signal", async () => {
    const path = wrapper(["*-c*_d16_*", "kill -9 $$"]);
    const error = await failureOf(project().run(filesOf(16), { compiler: { ...cpu(), path } }));
    expect(error.message).toMatch(/compile-failed.*qk_norm_rope__bf16_d16_r16_neox.*SIGKILL/);
  });

  it("because it does not exist is reported with its path", async () => {
    const path = join(temporaryFolder(), "no-compiler");
    const error = await failureOf(project().run(filesOf(16), { compiler: { ...cpu(), path } }));
    expect(error.diagnostics.map(({ code }) => code)).toContain("compile-failed");
    expect(error.message).toContain(path);
    expect(error.message).toContain("ENOENT");
  });

  it("because the source is wrong says what the compiler says", async () => {
    const wrong = withLine(filesOf(16), `cpu/${neoxId(16)}.cpp`, '#error "made to fail"');
    const error = await failureOf(project().run(wrong));
    expect(error.message).toMatch(/compile-failed[\s\S]*d16_r16_neox\.cpp:\d+[\s\S]*made to fail/);
  });
});

const targets: readonly [Target, () => BuildRequest["compiler"], boolean][] = [
  ["cpu", cpu, true],
  ["cuda", () => cuda("sm_90"), nvcc !== undefined],
];

describe.each(targets)("a build for %s", (target, compiler, canBuild) => {
  const skipped = target === "cuda" ? nvccMissing : "";

  it.skipIf(!canBuild)(`works in folders with any name${skipped}`, async () => {
    const folder = join(temporaryFolder(), `it's "one" of\t$HOME; müller 漢字 %20 #1`);
    const { run, buildFolder } = project(folder);
    const result = await run(filesOf(16), { compiler: compiler() });
    expect(result.compiled).toEqual(ids(16));
    using library = await open({ target, path: buildFolder });
    expect(library.manifest).toEqual(result.manifest);
    expect(readBuiltManifest(buildFolder, target)).toEqual(result.manifest);
    expect((await library.kernel(pointOf(16))).id).toBe(neoxId(16));
  });

  it.skipIf(!canBuild || !hasNm)(
    `exports what normrope.h declares, and nothing else (needs nm)${skipped}`,
    async () => {
      const files = filesOf(16);
      const request = { compiler: compiler(), cacheRoot: sharedCache };
      const { library } = await project().run(files, request);
      const symbols = execFileSync("nm", ["-D", "--defined-only", library], { encoding: "utf8" });
      const header = files.find(({ path }) => path === "include/normrope.h")?.text ?? "";
      const declared = [...header.matchAll(/^[\w ]+[ *](normrope_\w+)\(/gm)].map(([, name]) => name);
      expect(declared).toContain("normrope_run");
      expect(
        symbols
          .trim()
          .split("\n")
          .map((line) => line.split(" ").at(-1))
          .sort(),
      ).toEqual(declared.sort());
    },
  );
});

describe("an archive", () => {
  it("is made on request, and removed by a build without the request", async () => {
    const { run, buildFolder } = project();
    const request = { cacheRoot: sharedCache };
    const listing = () => readdirSync(join(buildFolder, "cpu")).sort();
    const { archive } = await run(filesOf(16), { ...request, archive: true });
    expect(archive).toBe(join(buildFolder, "cpu", "libnormrope.a"));
    expect(listing()).toEqual(["libnormrope.a", "libnormrope.so", "manifest.json"]);
    const first = readFileSync(archive ?? "");
    const members = execFileSync("ar", ["t", archive ?? ""], { encoding: "utf8" })
      .trim()
      .split("\n");
    expect(members.sort()).toEqual([
      "abi.o",
      "data.o",
      "devices.o",
      "dispatch.o",
      `${neoxId(16)}.o`,
      "threads.o",
      "validate.o",
    ]);

    expect((await run(filesOf(16), request)).archive).toBeUndefined();
    expect(listing()).toEqual(["libnormrope.so", "manifest.json"]);
    const again = await project().run(filesOf(16), { archive: true });
    expect(sha256(readFileSync(again.archive ?? ""))).toBe(sha256(first));
  });
});

it("a compiler sees no variable that the key of an object does not cover", async () => {
  setEnv("NORMROPE_CACHE_DIR", temporaryFolder());
  setEnv("GCC_EXEC_PREFIX", "/nowhere/");
  setEnv("NVCC_APPEND_FLAGS", "--no-such-flag");
  setEnv("COMPILER_PATH", "/nowhere/");
  setEnv("LD_RUN_PATH", "/nowhere/to/run");
  const config = writeConfig(neoxSpace(16));
  const { code, err } = await normrope(["build", "--target", "cpu", "--config", config]);
  expect([code, err]).toEqual([0, expect.not.stringContaining("error")]);
  const library = readFileSync(join(dirname(config), "build", "cpu", LIBRARY_NAME), "latin1");
  expect(library).not.toContain("/nowhere");
});
