/** Diagnostics of compilers, builds and records, and how all are sorted and printed. Those of configs are in bad_input. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseBenchRecord } from "../generator/bench/record.js";
import { build } from "../generator/build/build.js";
import { cpuCompiler, cudaCompiler, type TargetCompiler } from "../generator/build/target_compiler.js";
import { findCxx, findNvcc } from "../generator/build/toolchain.js";
import {
  DIAGNOSTIC_CODES,
  type Diagnostic,
  type DiagnosticCode,
  formatDiagnostic,
  internalError,
  UserError,
} from "../generator/diagnostics.js";
import type { FileSet } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { benchRecord } from "./bench_sample.js";
import { CONFIG_FILES, diagnosticsOf, temporaryFolder } from "./helpers.js";

describe("a compiler", () => {
  const compiler = { path: "/opt/bin/compiler", version: "1" };

  it.each(["sm_75", "sm_9", "90", "compute_90", "sm_90;", ""])("bad-option: --arch %j", (arch) => {
    const [found] = diagnosticsOf(() => cudaCompiler(compiler, compiler, ["sm_90", arch]));
    expect(found?.code).toBe("bad-option");
    expect(found?.message).toContain(JSON.stringify(arch));
  });

  it.each(["nvcc", "."])("no-compiler: NORMROPE_NVCC=%s, which does not run", async (name) => {
    const path = join(temporaryFolder(), name);
    const error = await findNvcc({ NORMROPE_NVCC: path }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ diagnostics: [{ code: "no-compiler" }] });
    expect(String(error)).toContain(path);
  });
});

describe("a build", async () => {
  const [cxx, nvcc] = [await findCxx(), await findNvcc()];
  const { ops, plans } = compile(CONFIG_FILES[0] ?? "");
  const id = plans[0]?.id ?? "";
  const none = { path: "", version: "" };
  const manifest = emit({ ops, plans: plans.slice(0, 1), rejections: [] }).filter(
    ({ path }) => path === "manifest.json",
  );
  const exports = { path: "common/exports.map", text: "{ global: *; };\n" };

  const buildOne = (target: TargetCompiler, sources: FileSet) => {
    const folder = temporaryFolder();
    const files = [...manifest, exports, ...sources];
    return build({ files, compiler: target, buildFolder: join(folder, "build"), cacheRoot: folder, jobs: 2 });
  };

  it.skipIf(cxx === undefined)("compile-failed: of two files that the compiler rejects", async () => {
    const sources = [
      { path: `cpu/${id}.cpp`, text: 'extern "C" int broken(void) { return undeclared_name; }\n' },
      { path: "cpu/dispatch.cpp", text: "#error no dispatch\n" },
    ];
    const compiler = cpuCompiler(cxx ?? none, []);
    const error = await buildOne(compiler, sources).catch((thrown: unknown) => thrown);
    if (!(error instanceof UserError)) throw error;
    expect(error.diagnostics.map(({ code }) => code)).toEqual(["compile-failed", "compile-failed"]);
    for (const part of [id, cxx?.path, `cpu/${id}.cpp`, "undeclared_name", "#error no dispatch"]) {
      expect(error.message).toContain(part);
    }
  });

  it.skipIf(cxx === undefined || nvcc === undefined)("register-spill: of a kernel that spills", async () => {
    const text = `extern "C" __global__ void ${id}(float *x) {
  float v[64];
  for (int i = 0; i < 64; ++i) v[i] = x[i];
  __syncthreads();
  for (int i = 0; i < 64; ++i) x[i] = v[63 - i] * x[100 + i];
}\n`;
    const compiler = cudaCompiler(nvcc ?? none, cxx ?? none, ["sm_90"]);
    const compileArgs = [...compiler.compileArgs, "-maxrregcount=24"];
    const { warnings } = await buildOne({ ...compiler, compileArgs }, [{ path: `cuda/${id}.cu`, text }]);
    expect(warnings).toMatchObject([{ code: "register-spill" }]);
    expect(warnings[0]?.message).toMatch(
      new RegExp(`^${id} spills [1-9]\\d* bytes on sm_90, with \\d+ bytes of stack$`),
    );
  });
});

describe("a benchmark record", () => {
  it.each<[string, string, string]>([
    ["that is no JSON", "{", "bench.json is not JSON"],
    ["that is a list", "[]", "the whole: "],
    ["without a device", JSON.stringify({ ...benchRecord(), device: undefined }), ": device: "],
    [
      "with a time of 0",
      JSON.stringify({ ...benchRecord(), rows: [{ ...benchRecord().rows[0], us: 0 }] }),
      ": rows.0.us: ",
    ],
  ])("bad-record: %s", (_, text, shows) => {
    const [found] = diagnosticsOf(() => parseBenchRecord(text, "bench.json"));
    expect(found?.code).toBe("bad-record");
    expect(found?.message).toContain(shows);
    expect(found?.fix).toContain("normrope bench");
  });

  it("is accepted with keys of a later version", () => {
    const [row] = benchRecord().rows;
    const later = { ...benchRecord(), peers: [], rows: [{ ...row, median_of: 7 }] };
    expect(parseBenchRecord(JSON.stringify(later), "bench.json")).toEqual(later);
  });
});

describe("errors", () => {
  const diagnostic = (code: DiagnosticCode, file?: string, line = 1, column = 1): Diagnostic => ({
    code,
    message: "what",
    fix: "how",
    span: file === undefined ? undefined : { file, line, column },
  });

  it("are printed with place, code, message and fix", () => {
    expect(formatDiagnostic(diagnostic("empty-axis", "a.ts", 3, 7))).toBe(
      "a.ts:3:7: error [empty-axis]: what\n  fix: how",
    );
    expect(formatDiagnostic(diagnostic("no-compiler"))).toBe("error [no-compiler]: what\n  fix: how");
  });

  it("are sorted by file, line, column and code, those without a place first", () => {
    const sorted = [
      diagnostic("no-compiler"),
      diagnostic("empty-axis", "a.ts", 2, 10),
      diagnostic("empty-axis", "a.ts", 10, 2),
      diagnostic("bad-op", "a.ts", 10, 10),
      diagnostic("empty-axis", "a.ts", 10, 10),
      diagnostic("bad-op", "b.ts", 1, 1),
    ];
    expect(new UserError(sorted.toReversed()).diagnostics).toEqual(sorted);
  });

  it("are all kept, and not all printed, if there are many", () => {
    const many = Array.from({ length: 33 }, (_, i) => diagnostic("empty-axis", "a.ts", i + 1));
    const error = new UserError(many);
    expect(error.diagnostics).toHaveLength(33);
    expect(error.message).toContain("a.ts:30:1: ");
    expect(error.message).not.toContain("a.ts:31:1: ");
    expect(error.message).toMatch(/\n… and 3 more$/);
  });

  it("of ours name the stage and the kernel", () => {
    expect(internalError("plan", "no fragments", "op__x").message).toBe("plan (op__x): no fragments");
    expect(internalError("plan", "no fragments").message).toBe("plan: no fragments");
  });
});

it("some test asserts every code", () => {
  const folder = join(PACKAGE_ROOT, "test");
  const tests = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".test.ts"),
  );
  const text = tests.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const isAsserted = (code: string) =>
    [`"${code}"`, `[${code}]`, `\\[${code}\\]`].some((spelled) => text.includes(spelled));
  expect(Object.keys(DIAGNOSTIC_CODES).filter((code) => !isAsserted(code))).toEqual([]);
});
