/** Compiling on first use: one library a point in the cache, made once, found by every later process, from real compilers. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { load } from "../generator/load/index.js";
import { OP_FILES, readShippedOp } from "../generator/op_file.js";
import { verifyLibrary } from "../generator/verify/verify.js";
import { open } from "../runtime/open.js";
import { neoxId, normrope } from "./cli_helpers.js";
import { compilerThat, DIST, soon } from "./cli_process.js";
import { CONFIGS, freshCache, nvcc } from "./fixture.js";
import { IS_LONG, opConfig, temporaryFolder, writeConfig } from "./helpers.js";
import { countingCompiler, entriesOf, filledCache, staged, start, use } from "./jit_process.js";

describe("a point that no library holds", () => {
  it("is compiled once, exactly that one, and found by every later process", async () => {
    const cache = freshCache();
    const { path: CXX, runs } = countingCompiler();
    const first = await use(cache, { CXX });
    expect(first).toMatchObject({ id: neoxId(16) });
    const made = runs();
    expect(made).toBeGreaterThan(0);
    expect(readdirSync(join(cache, "jit")).sort()).toEqual(["none", neoxId(16)]);
    expect(await use(cache, { CXX })).toEqual(first);
    expect(runs()).toBe(made);
    expect(staged(cache)).toEqual([]);

    const [entry = ""] = entriesOf(cache, neoxId(16));
    using library = await open({ path: join(entry, "libnormrope.so") });
    expect(library.manifest.kernels.map(({ id }) => id)).toEqual([neoxId(16)]);
    expect((await verifyLibrary(library)).map(({ id, pass }) => [id, pass])).toEqual([[neoxId(16), true]]);
  });

  it("is compiled anew by another version of the compiler", async () => {
    const cache = freshCache();
    const version = join(temporaryFolder(), "version");
    const CXX = compilerThat(["--version", `exec cat '${version}'`]);
    for (const text of ["1.0", "2.0", "1.0"]) {
      writeFileSync(version, text);
      await use(cache, { CXX });
    }
    expect(entriesOf(cache, neoxId(16))).toHaveLength(2);
  });

  it("is asked for by several processes at once, and all have it", async () => {
    const cache = freshCache();
    const all = await Promise.all(Array.from({ length: IS_LONG ? 8 : 3 }, () => use(cache)));
    const [first] = all;
    expect(first?.id).toBe(neoxId(16));
    expect(all).toEqual(all.map(() => first));
    expect(entriesOf(cache, neoxId(16))).toHaveLength(1);
    expect(staged(cache)).toEqual([]);
  });

  it("is made by the next process if the first was killed", async () => {
    const cache = freshCache();
    const marker = join(temporaryFolder(), "compiling");
    const CXX = compilerThat(["--version", "exec echo 1.0"], ["*neox.cpp*", `touch '${marker}'; sleep 60`]);
    const child = start(cache, { CXX });
    expect(await soon(() => existsSync(marker))).toBe(true);
    process.kill(-(child.pid ?? 0), "SIGKILL");
    expect(await use(cache)).toMatchObject({ id: neoxId(16) });
  });

  it("is made anew where what was made is damaged", async () => {
    const { cache, said: first } = await filledCache();
    for (const file of ["libnormrope.so", "manifest.json", "seal.json"]) {
      const [entry = ""] = entriesOf(cache, neoxId(16));
      truncateSync(join(entry, file), 100);
      expect(await use(cache)).toEqual(first);
    }
  });

  it("is not published where it cannot be loaded", async () => {
    const cache = freshCache();
    const link = 'for last do :; done; while [ "$1" != -o ]; do shift; done; exec echo no library >"$2"';
    const CXX = compilerThat(["*-shared*", link]);
    expect(await use(cache, { CXX })).toMatchObject({ code: "library-invalid" });
    expect(entriesOf(cache, "none")).toEqual([]);
    expect(staged(cache)).toEqual([]);
  });

  it("reports the compiler's error if it does not compile, and is tried again on the next request", async () => {
    const cache = freshCache();
    const CXX = compilerThat(["--version", ":"], ["*d16*", "echo out of luck; exit 1"]);
    const failed = await use(cache, { CXX });
    expect(failed).toMatchObject({ code: "compile-failed" });
    expect(failed.message).toContain("out of luck");
    expect(await use(cache)).toMatchObject({ id: neoxId(16) });
  });

  it.skipIf(nvcc === undefined)("is compiled for CUDA, also where there is no GPU (needs nvcc)", async () => {
    const cache = freshCache();
    expect(await use(cache, {}, { target: "cuda" })).toMatchObject({ id: neoxId(16) });
    expect(await use(cache, { NORMROPE_JIT: "0" }, { target: "cuda" })).toMatchObject({ id: neoxId(16) });
  });

  it("follows the op of a library that was built with one of its own", async () => {
    const own = { name: '"qk_norm_rope"', headDim: "multipleOf(16, { min: 16, max: 64 })" };
    const config = writeConfig(opConfig(own));
    const [cache, cwd] = [freshCache(), dirname(config)];
    expect((await normrope(["build", "--target", "cpu", "--config", config])).code).toBe(0);
    expect(await use(cache, {}, { cwd })).toEqual(await use(cache));
    expect(entriesOf(cache, neoxId(16))).toHaveLength(2);
    const outside = await use(cache, {}, { cwd, headDim: 24 });
    expect(outside.message).toContain("headDim is 24, and must be a multiple of 16");
  });
});

describe("what is built already", () => {
  it("is used, and only what it lacks is compiled", async () => {
    const config = writeConfig(
      'import { defineSpace, qkNormRope } from "normrope/dsl";\nexport default defineSpace(qkNormRope, { headDim: [24], rope: ["neox"], dtype: ["bf16"] });\n',
    );
    expect((await normrope(["build", "--target", "cpu", "--config", config])).code).toBe(0);
    const [cache, cwd] = [freshCache(), dirname(config)];
    expect(await use(cache, {}, { headDim: 24, cwd })).toMatchObject({ id: neoxId(24) });
    expect(existsSync(join(cache, "jit"))).toBe(false);
    expect(await use(cache, {}, { headDim: 16, cwd })).toMatchObject({ id: neoxId(16) });
    expect(readdirSync(join(cache, "jit"))).toEqual([neoxId(16)]);
  });

  it("must exist where `path` says", async () => {
    const options = { path: "elsewhere" };
    expect(await use(freshCache(), {}, { options })).toMatchObject({ code: "library-not-found" });
  });
});

describe("in one process", () => {
  it("a point is compiled once for all that ask at the same time, and tried again after a failure", async () => {
    const cache = freshCache();
    const program = `
      const { open } = await import(${JSON.stringify(join(DIST, "runtime", "index.js"))});
      const library = await open({ jit: true, target: "cpu" });
      const point = { headDim: 16, rope: "neox", dtype: "bf16" };
      const codes = await Promise.all([1, 2].map(() => library.kernel(point).catch(({ code }) => code)));
      process.env.CXX = process.argv[1];
      const kernels = await Promise.all([1, 2, 3].map(() => library.kernel(point)));
      const impossible = await library.kernel({ ...point, headDim: 17 }).catch(({ message }) => message);
      const support = [16, 40, 17].map((headDim) => library.supports({ ...point, headDim }).isSupported);
      console.log(JSON.stringify([codes, new Set(kernels).size, impossible, support]));
    `;
    const bad = compilerThat(["--version", ":"], ["*d16*", "exit 1"]);
    const { path, runs } = countingCompiler();
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program, path], {
      cwd: temporaryFolder(),
      env: { ...process.env, NORMROPE_CACHE_DIR: cache, CXX: bad },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout) chunks.push(chunk);
    const [codes, kernels, impossible, support] = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    expect(codes).toEqual(["compile-failed", "compile-failed"]);
    expect(kernels).toBe(1);
    expect(impossible).toContain("None can be made: headDim is 17");
    expect(support).toEqual([true, true, false]);
    // Abi and devices, which the base has too, are not compiled again: kernel, dispatch, and the link.
    expect(runs()).toBeLessThanOrEqual(5);
  });
});

test("the op that ships is the one that its source says", () => {
  const [space] = load(CONFIGS.default).spaces;
  for (const file of OP_FILES) expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(space?.op);
  expect(readShippedOp()).toEqual(space?.op);
});
