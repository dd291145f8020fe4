/** Every diagnostic: its code, its place, and the offending value in its message. A `▸` marks the place in a config. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseBenchRecord } from "../generator/bench/record.js";
import { build } from "../generator/build.js";
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
import { cpuCompiler, cudaCompiler, type TargetCompiler } from "../generator/target_compiler.js";
import { findCxx, findNvcc } from "../generator/toolchain.js";
import { benchRecord } from "./bench_sample.js";
import {
  CONFIG_FILES,
  compileText,
  diagnosticsOf,
  opConfig,
  readMarks,
  spaceOf,
  temporaryFolder,
  writeConfig,
} from "./helpers.js";

const IMPORT = 'import { defineSpace, qkNormRope } from "normrope/dsl";\n';
const REST = 'rope: ["neox"], dtype: ["bf16"]';
const VALID = spaceOf(`{ headDim: [64], ${REST} }`);
const head = (body: string) => `(x, { axes, weight, eps, angle }) => ${body}`;

interface Case {
  readonly what: string;
  readonly code: DiagnosticCode;
  readonly config: string;
  /** What the message must hold. */
  readonly shows: string;
  /** What the fix must hold. */
  readonly fix?: string;
}

const CASES: readonly Case[] = [
  {
    what: "no default export",
    code: "not-a-space",
    config: "▸const space = 1;\n",
    shows: "export default defineSpace",
  },
  {
    what: "a default export that is no space",
    code: "not-a-space",
    config: "▸export default [64];\n",
    shows: "export default defineSpace",
  },
  {
    what: "a defineSpace of the user's own",
    code: "not-a-space",
    config: "▸const defineSpace = (x: object) => x;\nexport default defineSpace({});\n",
    shows: "export default defineSpace",
  },
  {
    what: "an op that is not defined here",
    code: "not-an-op",
    config: `${IMPORT}declare const other: typeof qkNormRope;
export default ▸defineSpace(other, { headDim: [64], ${REST} });\n`,
    shows: "other",
  },
  {
    what: "an op that a function makes",
    code: "not-an-op",
    config: `${IMPORT}const same = () => qkNormRope;
export default ▸defineSpace(same(), { headDim: [64], ${REST} });\n`,
    shows: "same()",
  },
  {
    what: "a computed list",
    code: "unsupported-expression",
    config: spaceOf(`{ headDim: ▸[64].concat(128), ${REST} }`),
    shows: "[64].concat(128)",
    fix: "an array in brackets",
  },
  {
    what: "a computed value",
    code: "unsupported-expression",
    config: spaceOf(`{ headDim: [64, ▸2 * 64], ${REST} }`),
    shows: "2 * 64",
    fix: "a number",
  },
  {
    what: "a let",
    code: "unsupported-expression",
    config: `${IMPORT}let dim = 64;\nexport default defineSpace(qkNormRope, { headDim: [▸dim], ${REST} });\n`,
    shows: "dim",
  },
  {
    what: "a member of an object",
    code: "unsupported-expression",
    config: `${IMPORT}const dims = { small: 64 };
export default defineSpace(qkNormRope, { headDim: [▸dims.small], ${REST} });\n`,
    shows: "dims.small",
  },
  {
    what: "a template with a value in it",
    code: "unsupported-expression",
    config: `${IMPORT}const bits = 16;
export default defineSpace(qkNormRope, { headDim: [64], rope: ["neox"], dtype: [▸\`bf\${bits}\` as "bf16"] });\n`,
    shows: "`bf$",
  },
  {
    what: "a computed name",
    code: "unsupported-expression",
    config: spaceOf(`{ headDim: [64], ${REST}, ▸["rotary" + "Dim"]: [32] }`),
    shows: '["rotary" + "Dim"]: [32]',
    fix: "`name: value`",
  },
  {
    what: "a spread of what a function returns",
    code: "unsupported-expression",
    config: `${IMPORT}const dims = () => [64];
export default defineSpace(qkNormRope, { headDim: [...▸dims()], ${REST} });\n`,
    shows: "dims()",
  },
  {
    what: "a computed entry",
    code: "unsupported-expression",
    config: `${IMPORT}const entry = () => ({ headDim: [64], ${REST} }) as const;
export default defineSpace(qkNormRope, [{ headDim: [128], ${REST} }, ▸entry()]);\n`,
    shows: "entry()",
    fix: "an object in braces",
  },
  {
    what: "an op's head with a body in braces",
    code: "unsupported-expression",
    config: opConfig({
      head: "(x, { axes, angle }) => ▸{ return rotate(x, { angle, pairs: axes.rope, dim: axes.rotaryDim }); }",
    }),
    shows: "return rotate",
    fix: "one expression",
  },
  {
    what: "a stage of the user's own",
    code: "unsupported-expression",
    config: opConfig({ head: "(x) => ▸((y: typeof x) => y)(x)" }),
    shows: "(y: typeof x)",
    fix: "a stage function",
  },
  {
    what: "an op's axis that is no axis function",
    code: "unsupported-expression",
    config: opConfig({ dtype: '▸{ kind: "enum", values: ["bf16"] }' }),
    shows: "kind:",
    fix: "oneOf",
  },
  {
    what: "an error outside the space",
    code: "type-error",
    config: `const ▸name: string = 1;\n${VALID}`,
    shows: "Type 'number' is not assignable to type 'string'",
  },
  {
    what: "an error that only TypeScript sees in the space",
    code: "type-error",
    config: spaceOf('{ headDim: [64], rope: ["neox"], dtype: [▸"bf16" as string] }'),
    shows: "Type 'string' is not assignable",
  },
  {
    what: "an import that leads nowhere",
    code: "type-error",
    config: `import ▸"./nowhere.js";\n${VALID}`,
    shows: "./nowhere.js",
  },
  {
    what: "a use of what only Node has",
    code: "type-error",
    config: `${VALID}▸process.exit(1);\n`,
    shows: "'process'",
  },
  {
    what: "text that is no TypeScript",
    code: "type-error",
    config: `${VALID}const x = ▸;\n`,
    shows: "Expression expected",
  },
  {
    what: "a misspelt axis",
    code: "unknown-axis",
    config: spaceOf(`{ ▸headDims: [64], ${REST} }`),
    shows: '"headDims"',
    fix: "headDim?",
  },
  {
    what: "an axis like no other",
    code: "unknown-axis",
    config: spaceOf(`{ headDim: [64], ${REST}, ▸blockThreads: [128] }`),
    shows: '"blockThreads"',
    fix: "headDim, rotaryDim, rope, dtype",
  },
  {
    what: "an axis left out",
    code: "missing-axis",
    config: spaceOf(
      '[{ headDim: [64], rope: ["neox"], dtype: ["f16"] }, ▸{ headDim: [64], rope: ["neox"] }]',
    ),
    shows: "dtype",
    fix: "dtype: […]",
  },
  {
    what: "a number between the steps",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [64, ▸65], ${REST} }`),
    shows: "65",
    fix: "a multiple of 8 from 16 to 1024",
  },
  {
    what: "a number below the least",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [▸8], ${REST} }`),
    shows: "8",
  },
  {
    what: "a number above the greatest",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [▸1032], ${REST} }`),
    shows: "1032",
  },
  {
    what: "a negative number",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [▸-64], ${REST} }`),
    shows: "-64",
  },
  {
    what: "a fraction",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [▸64.5], ${REST} }`),
    shows: "64.5",
  },
  {
    what: "a number written with a large exponent",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [64], rotaryDim: [▸2e21], ${REST} }`),
    shows: "2e+21",
  },
  {
    what: "a number written with a negative exponent",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [64], rotaryDim: [▸4e-7], ${REST} }`),
    shows: "4e-7",
  },
  {
    what: "a number too large for one",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [▸1e400], ${REST} }`),
    shows: "Infinity",
  },
  {
    what: "a number in quotes",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [▸"64"], ${REST} }`),
    shows: '"64"',
  },
  {
    what: "a misspelt name",
    code: "value-not-in-axis",
    config: spaceOf('{ headDim: [64], rope: [▸"noex"], dtype: ["bf16"] }'),
    shows: '"noex"',
    fix: '"neox"?',
  },
  {
    what: "a value behind a const",
    code: "value-not-in-axis",
    config: `${IMPORT}const dim = ▸65;\nexport default defineSpace(qkNormRope, { headDim: [dim], ${REST} });\n`,
    shows: "65",
  },
  {
    what: "a rotary_dim that no head has",
    code: "value-not-in-axis",
    config: spaceOf(`{ headDim: [64], rotaryDim: [▸1026], ${REST} }`),
    shows: "1026",
    fix: "headDim (at most 1024)",
  },
  {
    what: "a value listed twice",
    code: "duplicate-value",
    config: spaceOf(`{ headDim: [64, 128, ▸64], ${REST} }`),
    shows: "64",
  },
  {
    what: "two entries with a point in common",
    code: "duplicate-point",
    config: spaceOf(
      `[\n  { headDim: [64, 128], ${REST} },\n  ▸{ headDim: [128], rotaryDim: [128], ${REST} },\n]`,
    ),
    shows: "qk_norm_rope__bf16_d128_r128_neox is already asked for by the entry at line 3",
  },
  {
    what: "an axis without a value",
    code: "empty-axis",
    config: spaceOf(`{ ▸headDim: [], ${REST} }`),
    shows: "headDim",
    fix: "a multiple of 8",
  },
  {
    what: "a space without an entry",
    code: "empty-space",
    config: `${IMPORT}export default ▸defineSpace(qkNormRope, []);\n`,
    shows: "no entry",
  },
  {
    what: "an entry that the rules forbid",
    code: "entry-without-kernel",
    config: spaceOf(`[{ headDim: [64], ${REST} }, ▸{ headDim: [64], rotaryDim: [96, 128], ${REST} }]`),
    shows: "all 2 points of this entry: a head of 64 elements has no 96",
    fix: "rotary_dim_within_head",
  },
  {
    what: "an op whose name is no identifier",
    code: "bad-op",
    config: opConfig({ name: '▸"my__Op"' }),
    shows: '"my__Op"',
  },
  {
    what: "an op that does not rotate",
    code: "bad-op",
    config: opConfig({ head: head("rmsNorm(x, { weight, eps })") }).replace("head:", "▸head:"),
    shows: "rotated 0 times",
  },
  {
    what: "an op that rotates twice",
    code: "bad-op",
    config: opConfig({
      head: head(`rotate(rotate(x, { angle, pairs: axes.rope, dim: axes.rotaryDim }),
    { angle, pairs: axes.rope, dim: axes.rotaryDim })`),
    }).replace("head:", "▸head:"),
    shows: "rotated 2 times",
  },
  {
    what: "an op that rotates over another axis",
    code: "bad-op",
    config: opConfig({ head: head("rotate(x, { angle, pairs: axes.rope, dim: axes.headDim })") }).replace(
      "head:",
      "▸head:",
    ),
    shows: "`dim` of rotate",
  },
  {
    what: "an op that rotates pairs of its own choice",
    code: "bad-op",
    config: opConfig({
      head: head("rotate(x, { angle, pairs: axes.dtype as never, dim: axes.rotaryDim })"),
    }).replace("head:", "▸head:"),
    shows: "`pairs` of rotate",
  },
  {
    what: "an op that norms what it has rotated",
    code: "bad-op",
    config: opConfig({
      head: head("rmsNorm(rotate(x, { angle, pairs: axes.rope, dim: axes.rotaryDim }), { weight, eps })"),
    }).replace("head:", "▸head:"),
    shows: "rmsNorm is not the first stage",
  },
  {
    what: "an op that norms twice",
    code: "bad-op",
    config: opConfig({
      head: head(`rotate(rmsNorm(rmsNorm(x, { weight, eps }), { weight, eps }),
    { angle, pairs: axes.rope, dim: axes.rotaryDim })`),
    }).replace("head:", "▸head:"),
    shows: "rmsNorm is not the first stage",
  },
];

describe("a mistake in a config", () => {
  it.each(CASES)("$code: $what", ({ code, config, shows, fix = "" }) => {
    const { text, places } = readMarks(config);
    const path = writeConfig(text);
    const found = diagnosticsOf(() => compile(path));
    expect(found).toMatchObject([{ code, span: { file: path, ...places[0] } }]);
    expect(found[0]?.message).toContain(shows);
    expect(found[0]?.fix).toContain(fix);
    expect(found[0]?.fix).not.toBe("");
  });

  it("has its place in the imported file that holds it", () => {
    const { text, places } = readMarks(`export const dims = [64, ▸65];\n`);
    const path = writeConfig(
      `${IMPORT}import { dims } from "./dims.js";\nexport default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`,
      { "dims.ts": text },
    );
    expect(diagnosticsOf(() => compile(path))).toMatchObject([
      { code: "value-not-in-axis", span: { file: join(path, "..", "dims.ts"), ...places[0] } },
    ]);
  });

  it("is never refused without saying why", () => {
    const config = opConfig({ rotaryDim: 'even({ min: "2" as never, max: "headDim", default: "headDim" })' });
    expect(() => compileText(config)).toThrow(UserError);
    expect(diagnosticsOf(() => compileText(config))).not.toEqual([]);
  });
});

it("all mistakes of a config are reported at once, in the order of their places", () => {
  const { text, places } = readMarks(`${IMPORT}const ▸name: string = 1;
export default defineSpace(qkNormRope, [
  { headDim: [64, ▸65, ▸64], ${REST} },
  { headDim: [128], ▸ropes: ["neox"], dtype: ["bf16"] },
  { headDim: [256], rope: [▸"noex"], dtype: [▸String("bf16")] },
  { ▸rope: [], headDim: [80], dtype: ["bf16"] },
  ▸{ headDim: [64], rope: ["neox"] },
  ▸{ headDim: [96], rotaryDim: [128], ${REST} },
  ▸{ headDim: [64, 512], ${REST} },
]);\n`);
  const path = writeConfig(text);
  const found = diagnosticsOf(() => compile(path));
  expect(found.map(({ code, span }) => ({ code, span }))).toEqual(
    [
      "type-error",
      "value-not-in-axis",
      "duplicate-value",
      "unknown-axis",
      "value-not-in-axis",
      "unsupported-expression",
      "empty-axis",
      "missing-axis",
      "entry-without-kernel",
      "duplicate-point",
    ].map((code, i) => ({ code, span: { file: path, ...places[i] } })),
  );
});

describe("a config file", () => {
  it("config-not-found: that is not there", () => {
    const path = join(temporaryFolder(), "none.config.ts");
    const [found] = diagnosticsOf(() => compile(path));
    expect(found).toMatchObject({ code: "config-not-found", span: undefined });
    expect(found?.message).toContain(path);
  });

  it("config-not-found: below a file", () => {
    const path = join(writeConfig(VALID), "normrope.config.ts");
    expect(diagnosticsOf(() => compile(path))).toMatchObject([{ code: "config-not-found" }]);
  });

  it("config-unreadable: that is a folder", () => {
    const folder = temporaryFolder();
    const [found] = diagnosticsOf(() => compile(folder));
    expect(found).toMatchObject({ code: "config-unreadable", span: undefined });
    expect(found?.message).toContain(folder);
  });
});

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
  const { op, plans } = compile(CONFIG_FILES[0] ?? "");
  const id = plans[0]?.id ?? "";
  const none = { path: "", version: "" };
  const manifest = emit({ op, plans: plans.slice(0, 1), rejections: [] }).filter(
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

  it("is let through with keys of a later version", () => {
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

  it("of ours name the stage and the kernel", () => {
    expect(internalError("plan", "no slots", "op__x").message).toBe("plan (op__x): no slots");
    expect(internalError("plan", "no slots").message).toBe("plan: no slots");
  });
});

it("every code is one that some test asserts", () => {
  const folder = join(PACKAGE_ROOT, "test");
  const tests = readdirSync(folder).filter((name) => name.endsWith(".test.ts"));
  const text = tests.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const isAsserted = (code: string) => text.includes(`"${code}"`) || text.includes(`[${code}]`);
  expect(Object.keys(DIAGNOSTIC_CODES).filter((code) => !isAsserted(code))).toEqual([]);
});
