/** The emitted text: what it holds, and what no kernel may. */
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { manifestSchema } from "../dsl/manifest.js";
import { compareFileSet } from "../generator/emit/fileset.js";
import { render } from "../generator/emit/render.js";
import { readTemplates } from "../generator/emit/templates.js";
import type { FileSet } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { CONFIG_FILES, opConfig, spaceOf, temporaryFolder, writeFiles } from "./helpers.js";

const templates = readTemplates();
const compilations = CONFIG_FILES.map(compile);
const fileSets = compilations.map(emit);
const emitted = fileSets.flat();
const manifestOf = (files: FileSet) =>
  manifestSchema.parse(JSON.parse(files.find(({ path }) => path === "manifest.json")?.text ?? ""));

describe("the emitted text", () => {
  const start = process.cwd();
  afterEach(() => process.chdir(start));

  it("is the same for the same input, in any working folder", () => {
    process.chdir(temporaryFolder());
    expect(CONFIG_FILES.map((path) => emit(compile(path)))).toEqual(fileSets);
  });

  it("does not depend on where the project is", () => {
    const emitFrom = (folder: string) => {
      writeFiles(folder, { "normrope.config.ts": opConfig() });
      return emit(compile(join(folder, "normrope.config.ts")));
    };
    expect(emitFrom(join(temporaryFolder(), "deeper"))).toEqual(emitFrom(temporaryFolder()));
  });

  it("does not depend on the order in which a space is written", () => {
    const emitText = (entries: string) => {
      const folder = temporaryFolder();
      writeFiles(folder, { "normrope.config.ts": spaceOf(entries) });
      return emit(compile(join(folder, "normrope.config.ts")));
    };
    expect(
      emitText(
        '[{ dtype: ["f16"], rope: ["interleaved", "neox"], headDim: [128] }, { headDim: [64], rope: ["neox"], dtype: ["f16"] }]',
      ),
    ).toEqual(
      emitText(
        '[{ headDim: [64, 128], rope: ["neox"], dtype: ["f16"] }, { headDim: [128], rope: ["interleaved"], dtype: ["f16"] }]',
      ),
    );
  });

  it.each<[string, RegExp]>([
    ["path of this machine", new RegExp(`${PACKAGE_ROOT}|${process.cwd()}|file://`)],
    ["path from the root", /(^|[\s"'(])\/(home|root|tmp|usr|var|opt|mnt|Users)\//m],
    ["time", /\b20\d\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b/],
    ["tag of a template", /\{\{/],
    ["object that is no text", /\[object Object\]/],
    ["space at the end of a line", /[ \t]$/m],
    ["carriage return", /\r/],
  ])("holds no %s", (_, pattern) => {
    const found = emitted.filter(({ text }) => pattern.test(text));
    expect(found.map(({ path, text }) => `${path}: ${pattern.exec(text)?.[0]}`)).toEqual([]);
  });

  it("holds only C++ numbers and names as values in a kernel", () => {
    const kernels = emitted.filter(({ path }) => /__.*\.(cu|cpp)$/.test(path));
    const pattern = /\b(undefined|null|NaN|true|false)\b/;
    const code = (text: string) =>
      withoutComments(text).replace(/<[^<>]*(true|false)>|\(params, staged, (true|false)\)/g, "");
    expect(kernels.filter(({ text }) => pattern.test(code(text))).map(({ path }) => path)).toEqual([]);
  });

  it("ends every file with one line break", () => {
    expect(emitted.filter(({ text }) => !/[^\n]\n$/.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it("holds nothing of the report's page", () => {
    expect([...templates.keys()].filter((path) => path.startsWith("report/"))).not.toEqual([]);
    expect(emitted.filter(({ path }) => path.startsWith("report"))).toEqual([]);
    expect(emitted.filter(({ text }) => text.includes("<svg"))).toEqual([]);
  });

  it("is sorted by path, and each path is there once", () => {
    for (const files of fileSets) {
      const paths = files.map(({ path }) => path);
      expect(paths).toEqual([...new Set(paths)].sort());
    }
  });

  it("has one file a kernel and target, under its id", () => {
    compilations.forEach(({ plans }, i) => {
      const kernels = (fileSets[i] ?? []).filter(({ path }) => /__.*\.(cu|cpp)$/.test(path));
      const expected = plans.flatMap(({ id }) => [`cpu/${id}.cpp`, `cuda/${id}.cu`]);
      expect(kernels.map(({ path }) => path)).toEqual(expected.sort());
      for (const { path, text } of kernels) expect(text).toContain(` ${/(\w+)\.\w+$/.exec(path)?.[1]}(`);
    });
  });

  it("holds a manifest of this version, whose hash follows every source", () => {
    const [{ ops, plans } = { ops: [], plans: [] }] = compilations;
    expect(plans).not.toEqual([]);
    const hashOf = (texts: typeof templates) => manifestOf(render(texts, ops, plans, "test")).sourcesSha256;
    const hashes = [
      "cuda/device.cuh",
      "cuda/stages/rotate.hbs",
      "cpu/simd.hpp",
      "include/normrope.h.hbs",
    ].map((path) => hashOf(new Map([...templates, [path, `${templates.get(path)}// changed\n`]])));
    expect(new Set([hashOf(templates), ...hashes]).size).toBe(5);
    expect(hashOf(templates)).toBe(hashOf(templates));
  });

  it("lies in generated/, fresh", () => {
    const differences = compareFileSet(join(PACKAGE_ROOT, "generated"), fileSets[0] ?? []);
    expect(differences.map(({ path, kind, patch }) => `${kind} ${path}\n${patch}`)).toEqual([]);
  });
});

describe("emitted CUDA", () => {
  const cuda = emitted.filter(({ path }) => path.startsWith("cuda/"));
  const outside = (name: string) => cuda.filter(({ path }) => path !== name);

  it.each<[string, RegExp, string]>([
    ["__shfl", /__shfl/, "cuda/device.cuh"],
    ["inline assembly", /\basm\b/, "cuda/ptx.cuh"],
    ["__restrict__", /__restrict__/, ""],
    ["__ldg or another non-coherent load", /__ldg|ld\.global\.nc|__ldcs/, ""],
    ["a stride cut to 32 bits", /(int|int32_t|uint32_t|unsigned)[>)]\s*\([^;]*_stride/, ""],
    ["a stride held in 32 bits", /\b(int|int32_t|uint32_t|unsigned|auto)\s+\w*_stride/, ""],
    ["a powf or a sine of its own", /\b(powf?|__sinf|__cosf|sinf|cosf|sincosf)\s*\(/, ""],
    ["an include of a kernel besides device.cuh", /#include (?!"device\.cuh")/, "dispatch, devices"],
  ])("has no %s", (_, pattern, allowed) => {
    const files = allowed.startsWith("cuda/")
      ? outside(allowed)
      : cuda.filter(({ path }) => allowed === "" || /__.*\.cu$/.test(path));
    const found = files.filter(({ text }) => pattern.test(withoutComments(text)));
    expect(found.map(({ path }) => path)).toEqual([]);
  });

  it("has only the instructions whose meaning the tests' stand-ins have", () => {
    const text = cuda.find(({ path }) => path === "cuda/ptx.cuh")?.text ?? "";
    const instructions = [...text.matchAll(/\basm(?: volatile)?\("(.*?)"(.*?)\);/g)];
    const wait = (groups: number) => [`cp.async.wait_group ${groups};`, ' ::: "memory"'];
    expect(instructions.map(([, instruction, operands]) => [instruction, operands])).toEqual([
      ["griddepcontrol.launch_dependents;", ' ::: "memory"'],
      ["griddepcontrol.wait;", ' ::: "memory"'],
      [
        "{ .reg .pred p; setp.ne.u32 p, %2, 0; @p cp.async.cg.shared.global [%0], [%1], 16; }",
        ' ::"r"(shared), "l"(from), "r"(wanted) : "memory"',
      ],
      ["cp.async.commit_group;", ' ::: "memory"'],
      ...[3, 2, 1, 0].map(wait),
      ["sin.approx.ftz.f32 %0, %1;", ' : "=f"(result) : "f"(angle)'],
      ["cos.approx.ftz.f32 %0, %1;", ' : "=f"(result) : "f"(angle)'],
      ["rsqrt.approx.ftz.f32 %0, %1;", ' : "=f"(result) : "f"(x)'],
      ["cvt.f32.f16 %0, %1;", ' : "=f"(result) : "h"(x)'],
      ["cvt.rn.f16.f32 %0, %1;", ' : "=h"(result) : "f"(x)'],
      ["cvt.rn.f16x2.f32 %0, %1, %2;", ' : "=r"(result) : "f"(high), "f"(low)'],
      ["cvt.rn.bf16.f32 %0, %1;", ' : "=h"(result) : "f"(x)'],
      ["cvt.rn.bf16x2.f32 %0, %1, %2;", ' : "=r"(result) : "f"(high), "f"(low)'],
      ["rcp.approx.ftz.f32 %0, %1;", ' : "=f"(result) : "f"(x)'],
      ["min.NaN.xorsign.abs.f32 %0, %1, %2;", ' : "=f"(result) : "f"(x), "f"(limit)'],
      ["min.NaN.f32 %0, %1, %2;", ' : "=f"(result) : "f"(x), "f"(limit)'],
      ["max.NaN.f32 %0, %1, %2;", ' : "=f"(result) : "f"(result), "f"(-limit)'],
      ["cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;", ' : "=h"(result) : "f"(high), "f"(low)'],
      ["fma.rn.bf16x2 %0, %1, %2, %3;", ' : "=r"(result) : "r"(x), "r"(y), "r"(0x80008000u)'],
      ["fma.rn.bf16x2 %0, %1, %2, %3;", ' : "=r"(result) : "r"(x), "r"(0x3f803f80u), "r"(y)'],
      ["mul.rn.f16x2 %0, %1, %2;", ' : "=r"(result) : "r"(x), "r"(y)'],
      ["add.rn.f16x2 %0, %1, %2;", ' : "=r"(result) : "r"(x), "r"(y)'],
    ]);
    expect(instructions).toHaveLength(text.match(/\basm\b/g)?.length ?? 0);
  });

  it("keeps every stride in 64 bits", () => {
    const files = emitted.filter(({ path }) => path === "cuda/params.hpp" || path === "include/normrope.h");
    for (const { text } of files) {
      const declarations = [...withoutComments(text).matchAll(/^\s*(\w+) [^;(]*\w+_stride\b[^;(]*;/gm)];
      const fields = declarations.flatMap(([line]) =>
        [...line.matchAll(/\w+_stride\b/g)].map(([name]) => name),
      );
      expect(declarations.map(([, type]) => type).filter((type) => type !== "int64_t")).toEqual([]);
      expect(new Set(fields).size).toBeGreaterThanOrEqual(5);
    }
  });
});

/** C++ text as the compiler reads it. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}
