/** The Python package: its own tests, module by module, on libraries that are built here; and what no library holds. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, it } from "vitest";
import { compilerThat, DIST } from "./cli_process.js";
import { freshCache, nvcc } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";
import { BUILDS, buildFor, PYTHON_FOLDER, python, pythonEnvironment } from "./python.js";

const TESTS = join(PYTHON_FOLDER, "tests");

/** What a test module needs besides Python, by how its name begins. */
const NEEDS: readonly (readonly [prefix: string, missing: readonly string[]])[] = [
  ["test_torch_cpu", python?.hasTorch ? [] : ["torch 2.4 or newer"]],
  ["test_torch_cuda", python?.hasGpu && nvcc !== undefined ? [] : ["torch", "a GPU", "nvcc"]],
  ["test_peers", python?.hasGpu && nvcc !== undefined ? [] : ["torch", "a GPU", "nvcc"]],
];

const MODULES = readdirSync(TESTS)
  .filter((name) => /^test_.*\.py$/.test(name))
  .map((name) => name.replace(/\.py$/, ""));

function missingFor(module: string): readonly string[] {
  if (python === undefined) return ["python3, 3.10 or newer"];
  return NEEDS.find(([prefix]) => module.startsWith(prefix))?.[1] ?? [];
}

describe("the Python package", () => {
  beforeAll(async () => {
    if (python === undefined) return;
    await buildFor("tests", "cpu");
    await buildFor("single", "cpu");
    await buildFor("sentences", "cpu");
    await buildFor("axes", "cpu");
    await buildFor("caches", "cpu");
    await buildFor("dropins", "cpu");
    if (!python.hasGpu || nvcc === undefined) return;
    await buildFor("tests", "cuda");
    await buildFor("sentences", "cuda");
    await buildFor("axes", "cuda");
    await buildFor("caches", "cuda");
    await buildFor("dropins", "cuda");
  });

  describe.each(MODULES)("%s", (module) => {
    const missing = missingFor(module);
    const reason = missing.length === 0 ? "" : ` (needs ${missing.join(" and ")})`;
    it.skipIf(missing.length > 0)(`passes${reason}`, async () => {
      const env = { ...pythonEnvironment, NORMROPE_TEST_BUILD: BUILDS };
      const args = ["-W", "ignore", "-m", "unittest", "-v", module];
      const { all, exitCode } = await execa(python?.path ?? "", args, {
        ...{ cwd: TESTS, env, all: true, reject: false },
      });
      expect(exitCode, all).toBe(0);
      expect(all).toMatch(/^Ran [1-9]\d* tests?/m);
    });
  });
});

/** A call of a kernel that no library holds, on zeros; prints what became of them, or the error. */
const FIRST_USE = `
from array import array
import normrope
heads, weight, positions = array("H", [0x3F80]) * 120, array("H", [0x3F80]) * 40, array("q", [0])
try:
    normrope.fused_qk_norm_rope(heads, 1, 1, 1, 40, 0.0, weight, weight, 1e4, True, positions, 1, 0, 0, 1, dtype="bf16")
    print(sorted(set(heads)))
except normrope.NormropeError as error:
    print(error.code, error)
`;

describe.skipIf(python === undefined)("a kernel that is nowhere", () => {
  const run = async (cache: string, env: NodeJS.ProcessEnv) => {
    const NORMROPE_COMMAND = `${process.execPath} ${join(DIST, "generator", "cli.js")}`;
    const { stdout } = await execa(python?.path ?? "", ["-c", FIRST_USE], {
      cwd: temporaryFolder(),
      env: { ...pythonEnvironment, NORMROPE_CACHE_DIR: cache, NORMROPE_COMMAND, ...env },
    });
    return stdout;
  };

  it("is compiled by the command, and found again without it", async () => {
    const cache = freshCache();
    expect(await run(cache, {})).toBe("[16256]");
    expect(await run(cache, { NORMROPE_COMMAND: "/nonexistent" })).toBe("[16256]");
  });

  it("that does not compile is the compiler's error", async () => {
    const said = await run(freshCache(), { CXX: compilerThat(["*d40*", "echo out of luck; exit 1"]) });
    expect(said).toMatch(/^compile-failed .*out of luck/s);
  });

  it("is not compiled without a compiler, or with NORMROPE_JIT=0", async () => {
    const cache = freshCache();
    expect(await run(cache, { CXX: "/nonexistent/g++" })).toMatch(
      /^kernel-not-found .*CXX is \/nonexistent/s,
    );
    expect(await run(cache, { NORMROPE_JIT: "0" })).toContain(
      '{ headDim: [40], rope: ["neox"], dtype: ["bf16"] }',
    );
  });
});
