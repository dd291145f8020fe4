/** The commands that build and verify, as data and as text; and what `doctor` finds. */
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { compilerFor } from "../generator/build/toolchain.js";
import { buildProject } from "../generator/commands/project.js";
import { compile, emit } from "../generator/pipeline.js";
import { collectingIo, neoxId, neoxSpace, normrope, setEnv, useSharedCache } from "./cli_helpers.js";
import { CACHE_ROOT, freshCache } from "./fixture.js";
import { temporaryFolder, writeConfig } from "./helpers.js";

useSharedCache();
const buildOf = (config: string) => join(dirname(config), "build");

describe("build and verify", () => {
  const build = (config: string, ...args: string[]) =>
    normrope(["build", "--target", "cpu", "--config", config, ...args]);
  const verify = (config: string, ...args: string[]) =>
    normrope(["verify", "--target", "cpu", "--config", config, ...args]);

  it("go through, as data", async () => {
    setEnv("NORMROPE_CACHE_DIR", freshCache());
    const config = writeConfig(neoxSpace(16));
    const built = await build(config, "--json", "--jobs", "2");
    expect(built.code).toBe(0);
    const library = join(buildOf(config), "cpu", "libnormrope.so");
    const result: unknown = JSON.parse(built.out);
    expect(result).toEqual({ target: "cpu", library, compiled: [neoxId(16)], cached: [] });
    expect(existsSync(library)).toBe(true);
    expect(built.err).toContain(neoxId(16));
    expect((await normrope(["check", "--config", config])).code).toBe(0);

    const again = await build(config, "--json");
    expect(JSON.parse(again.out)).toEqual({ target: "cpu", library, compiled: [], cached: [neoxId(16)] });
    expect(again.err).toBe("");

    const verified = await verify(config, "--json");
    expect(verified.code).toBe(0);
    const number: unknown = expect.any(Number);
    const device: unknown = expect.stringMatching(/./);
    expect(JSON.parse(verified.out)).toEqual({
      target: "cpu",
      device,
      kernels: [{ id: neoxId(16), cases: number, maxError: number, relError: number, pass: true }],
    });
  });

  it("go through, as text", async () => {
    const config = writeConfig(neoxSpace(16));
    const built = await build(config);
    expect(built.code).toBe(0);
    expect(built.out).toContain(join(buildOf(config), "cpu", "libnormrope.so"));
    const verified = await verify(config);
    expect(verified.code).toBe(0);
    expect(verified.out).toMatch(/^qk_norm_rope__bf16_d16_r16_neox +[1-9]\d* +0\.\d+ +1\.\d+e-3 +passes$/m);
    expect(verified.out).toMatch(/^1 of 1 kernel passes/m);
  });

  it("verify ends with 1 if a kernel is wrong", async () => {
    const config = writeConfig(neoxSpace(16, 24));
    const path = `cpu/${neoxId(24)}.cpp`;
    const files = emit(compile(config));
    const wrong = files.map((file) =>
      file.path === path ? { path, text: file.text.replaceAll("args.eps", "(args.eps + 0.1f)") } : file,
    );
    expect(wrong).not.toEqual(files);
    await buildProject(config, wrong, await compilerFor("cpu", undefined), collectingIo().io);

    const asData = await verify(config, "--json");
    expect(asData.code).toBe(1);
    expect(JSON.parse(asData.out)).toMatchObject({
      kernels: [
        { id: neoxId(16), pass: true },
        { id: neoxId(24), pass: false },
      ],
    });
    const asText = await verify(config);
    expect(asText.code).toBe(1);
    expect(asText.out).toMatch(/^qk_norm_rope__bf16_d24_r24_neox .* FAILS/m);
    expect(asText.out).toMatch(/^1 of 2 kernels pass/m);
  });
});

describe("doctor", () => {
  it("says what is missing, and what to do", async () => {
    setEnv("NORMROPE_NVCC", "none");
    const { code, out, err } = await normrope(["doctor"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^nvcc +nothing +no build --target cuda: install .*NORMROPE_NVCC/m);
    expect(out).toMatch(/^C\+\+ compiler +\S+: .* build --target cpu/m);
    expect(out).toContain(CACHE_ROOT);
  });

  it("--json has the same as data", async () => {
    setEnv("NORMROPE_NVCC", "none");
    const { code, out } = await normrope(["doctor", "--json"]);
    const text: unknown = expect.any(String);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(
      expect.arrayContaining([
        { what: "Node", found: process.version, allows: text },
        { what: "C++ compiler", found: text, allows: text },
        { what: "nvcc", found: null, allows: expect.stringContaining("NORMROPE_NVCC") },
        { what: "cache", found: CACHE_ROOT, allows: text },
      ]),
    );
  });

  it("promises nothing for CUDA without the C++ compiler that nvcc needs", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "nvcc"), "#!/bin/sh\necho release 13.0\n", { mode: 0o755 });
    const found = { NORMROPE_NVCC: join(folder, "nvcc"), PATH: "", CXX: "" };
    for (const [name, value] of Object.entries(found)) setEnv(name, value);
    const { out } = await normrope(["doctor"]);
    expect(out).toMatch(
      /^nvcc +.*nvcc, release 13\.0 +no build --target cuda: it needs the C\+\+ compiler too$/m,
    );
    expect(out).toMatch(/^GPU +nothing +target auto is cpu$/m);
  });

  it("works without any compiler or GPU", async () => {
    for (const [name, value] of Object.entries({ NORMROPE_NVCC: "none", PATH: "", CXX: "" })) {
      setEnv(name, value);
    }
    const { code, out } = await normrope(["doctor"]);
    expect(code).toBe(0);
    for (const what of ["C\\+\\+ compiler", "nvcc", "GPU"]) {
      expect(out).toMatch(new RegExp(`^${what} +nothing `, "m"));
    }
  });
});
