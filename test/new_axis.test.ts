/**
 * An axis and a value that are put into a copy of the package: a row and a value of the tables of two stages, what these
 * stages make of them, and a template for each target of how the new value pairs elements. Every command, both runtimes and
 * Python know them then, and nothing else has to be touched.
 */
import { copyFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { DEFAULTS, spaceOf } from "./helpers.js";
import { packageCopy } from "./package_copy.js";
import { pythonEnvironment, python as pythonFound } from "./python.js";

/** What is changed: a file, what stands there once, and what stands there then. */
type Change = readonly [file: string, find: string, replace: string];

const TABLE: readonly Change[] = [
  [
    "dsl/stages/rotate.ts",
    'rope: axis(oneOf("neox", "interleaved"), {',
    'rope: axis(oneOf("neox", "interleaved", "adjacent"), {\n    tags: { adjacent: "adj" },',
  ],
  [
    "dsl/stages/norm.ts",
    "  axes: {\n",
    `  axes: {
    /** What the norm is multiplied by. */
    gain: axis(oneOf("one", "two"), { default: "one", tags: { two: "x2" }, when: { dtype: oneOf("bf16") } }),
`,
  ],
];

const STAGES: readonly Change[] = [
  [
    "dsl/stages/norm.ts",
    "const terms = { factors,",
    'const terms = { factors: factors.map((factor) => (values.gain === "two" ? 2 : 1) * factor),',
  ],
  ["dsl/stages/rotate.ts", 'rope === "interleaved" ? 2 * i : i', 'rope !== "neox" ? 2 * i : i'],
  ["dsl/stages/rotate.ts", 'rope === "interleaved" ? 1 : half', 'rope !== "neox" ? 1 : half'],
  [
    "templates/cpu/stages/norm.hbs",
    "const float scale = measured[{{measured}}][head - first];",
    "const float scale = measured[{{measured}}][head - first]{{#if gain.two}} * 2.0f{{/if}};",
  ],
  [
    "templates/cuda/stages/norm/once.hbs",
    "const float scale = reciprocal_sqrt(sum * (1.0f / HEAD_DIM));",
    "const float scale = reciprocal_sqrt(sum * (1.0f / HEAD_DIM)){{#if gain.two}} * 2.0f{{/if}};",
  ],
];

function change(copy: string, [file, find, replace]: Change): void {
  const parts = readFileSync(join(copy, file), "utf8").split(find);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} of ${find}`);
  writeFileSync(join(copy, file), parts.join(replace));
}

const { root, copy, project, config, normrope, runtime, verifyEmulated } = await packageCopy((copy) => {
  for (const target of ["cpu", "cuda"]) {
    const pairs = join(copy, "templates", target, "pairs");
    copyFileSync(join(pairs, "interleaved.hbs"), join(pairs, "adjacent.hbs"));
  }
  for (const row of [...TABLE, ...STAGES]) change(copy, row);
});
cpSync(join(PACKAGE_ROOT, "test", "hf_configs", "qwen3-8b-yarn.json"), join(project, "config.json"));
writeFileSync(config, spaceOf('{ headDim: [64], rope: ["neox"], dtype: ["bf16"] }'));

const PLAIN = "qk_norm_rope__bf16_d64_r64_neox";
const POINT = { headDim: 64, rope: "neox", dtype: "bf16" } as const;

describe("an axis and a value that are new", () => {
  it("leave the ids of kernels as they are where the axis is at its default", async () => {
    const [row] = JSON.parse((await normrope("list", "--json")).out);
    expect(row).toEqual({
      id: PLAIN,
      op: "qk_norm_rope",
      ...POINT,
      rotaryDim: 64,
      gain: "one",
      ...DEFAULTS,
    });
  });

  it("are added to a config, and refused by their names", async () => {
    const wrong = await normrope("add", "gain", "three");
    expect(wrong.err).toContain('gain is one of "one", "two"');
    expect((await normrope("add", "gain", "one")).err).toContain("[value-present]");
    expect((await normrope("add", "dtype", "f16")).out).toContain("qk_norm_rope__f16_d64_r64_neox");
    // Where the axis means nothing there is a kernel without it, and none is added.
    const { out } = await normrope("add", "gain", "two");
    expect(out.split("\n").filter((line) => line.startsWith("  "))).toEqual([`  ${PLAIN}_x2`]);
    expect(readFileSync(config, "utf8")).toContain('dtype: ["bf16"], gain: ["two"] }');
    expect((await normrope("add", "rope", "adjacent", "--entry", "1")).out).toContain("d64_r64_adj");
  });

  it("are no part of what a model needs", async () => {
    const { out } = await normrope("import", join(project, "config.json"));
    expect(out).toContain('{ headDim: [128], rope: ["neox"], dtype: ["bf16"] }');
    // Where the axis means nothing, no model has it.
    const half = (await normrope("import", join(project, "config.json"), "--dtype", "f16", "--dry-run")).out;
    expect(half).toContain('{ headDim: [128], rope: ["neox"], dtype: ["f16"] }');
  });

  it("are said by a flag of a model that is not known", async () => {
    const unknown = join(project, "unknown.json");
    const heads = '"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 32, "rope_theta": 10000';
    writeFileSync(unknown, `{ "model_type": "mine", ${heads}, "partial_rotary_factor": 1 }`);
    const flags = ["--head", "rotate(norm(x))", "--rope", "adjacent", "--weight", "plain", "--dry-run"];
    const imported = async (...more: string[]) =>
      (await normrope("import", unknown, "--dtype", "bf16", ...flags, ...more)).out;
    expect(await imported()).toContain('{ headDim: [32], rope: ["adjacent"], dtype: ["bf16"] }');
    const two = '{ headDim: [32], rope: ["adjacent"], dtype: ["bf16"], gain: ["two"] }';
    expect(await imported("--gain", "two")).toContain(two);
  });

  it("are listed, explained and emitted", async () => {
    const { out } = await normrope("list");
    expect(out.split("\n")[0]).toMatch(/^kernel +headDim +rotaryDim +rope +dtype +gain$/);
    expect(out).toMatch(/_neox_x2 +64 +64 +neox +bf16 +two$/m);
    expect((await normrope("explain", `${PLAIN}_x2`)).out).toMatch(/^point .*, gain two$/m);
    const absent = await normrope("explain", "qk_norm_rope__bf16_d64_r64_adj_x2");
    expect(absent.err).toContain('{ headDim: [64], rope: ["adjacent"], dtype: ["bf16"], gain: ["two"] }');
    expect((await normrope("emit")).code).toBe(0);
    expect((await normrope("check")).code).toBe(0);
    const bindings = readFileSync(join(project, "generated", "ts", "kernels.ts"), "utf8");
    expect(bindings).toMatch(/neox: \{[^}]*readonly gain\?: "one";/);
    expect(bindings).toMatch(/neox_x2: \{[^}]*readonly gain: "two";/);
  });

  it("are built and verified", async () => {
    expect((await normrope("build", "--target", "cpu")).code).toBe(0);
    const { out, code } = await normrope("verify", "--target", "cpu", "--json");
    const ids = JSON.parse(out).kernels.map(({ id }: { id: string }) => id);
    expect(code).toBe(0);
    expect(ids).toHaveLength(6);
    expect(ids).toEqual(expect.arrayContaining([`${PLAIN}_x2`, "qk_norm_rope__bf16_d64_r64_adj"]));
  });

  it("pass on the emulator", async () => {
    const results = await verifyEmulated();
    expect(results).toHaveLength(6);
    expect(results.filter(({ pass }) => !pass)).toEqual([]);
  });

  it("are benchmarked, charted and reported; records from before are still read", async () => {
    const shape = ["--tokens", "1", "--heads", "1/1/1"];
    const { out } = await normrope("bench", "--target", "cpu", ...shape, "--json");
    expect(JSON.parse(out).rows).toContainEqual(
      expect.objectContaining({ kernel: `${PLAIN}_x2`, gain: "two" }),
    );
    const [{ benchCharts }, { parseBenchRecord }] = await Promise.all([
      import(join(copy, "dist", "generator", "bench", "charts.js")),
      import(join(copy, "dist", "generator", "bench", "record.js")),
    ]);
    const before = readFileSync(join(PACKAGE_ROOT, "bench", "results", "h100-2026-11-23.json"), "utf8");
    const idsOf = (text: string) =>
      benchCharts(parseBenchRecord(text, "").rows).map(({ id }: { id: string }) => id);
    expect(idsOf(before)).toContain("d128_r128_neox_h32-8-8");
    expect(idsOf(out.replace(/"(spread|waited)": [\d.e-]+/g, '"$1": 0'))).toContain("d64_r64_neox_x2_h1-1-1");
    const page = join(project, "report.html");
    await normrope("report", "--target", "cpu", "--no-verify", "--out", page);
    expect(readFileSync(page, "utf8")).toMatch(/>gain</);
  });

  it("are found by the runtime, compiled on first use, and missing ones said", async () => {
    using library = await runtime.open({ target: "cpu", path: join(project, "build"), jit: true });
    const outputs = await Promise.all(
      ["one", "two"].map(async (gain) => {
        const kernel = await library.kernel({ ...POINT, gain } as typeof POINT);
        const ones = new Uint16Array(64).fill(0x3f80);
        using qkv = library.upload(
          "bf16",
          Uint16Array.from(ones, (_, i) => 0x3f80 + i),
        );
        using weight = library.upload("bf16", ones);
        using positions = library.upload("int32", Int32Array.of(7));
        using rope = library.uploadRope(runtime.ropeTable({ base: 1e4, rotaryDim: 64 }));
        const q = { in: { buffer: qkv, tokenStride: 64 }, numHeads: 1, weight };
        kernel.run({ q, numTokens: 1, positions, ropeTable: rope, eps: 1e-6 });
        return Array.from(qkv.read(new Uint16Array(64)), (bits) => runtime.decode("bf16", bits));
      }),
    );
    expect(outputs[1]).toEqual(outputs[0]?.map((value) => 2 * value));
    const compiled = await library.kernel({ ...POINT, rope: "adjacent", gain: "two" } as never);
    expect(compiled.id).toBe("qk_norm_rope__bf16_d64_r64_adj_x2");
    expect(library.supports({ ...POINT, dtype: "f16", gain: "two" } as never)).toMatchObject({
      fix: "None can be made: gain means nothing where dtype is f16",
    });
    expect(library.supports({ ...POINT, gain: "three" } as never)).toMatchObject({
      reason: expect.stringContaining("gain three"),
      fix: expect.stringContaining('gain is "three", and must be one of "one", "two"'),
    });
  });

  it.skipIf(pythonFound === undefined)("are found from Python, and missing ones said", async () => {
    const program = `
import json, sys
from array import array
import normrope
from normrope._kernels import kernel_for
from normrope._point import complete
from normrope.errors import NormropeError
def answer(**values):
    try:
        return kernel_for(complete(values), "cpu", library=sys.argv[1]).id
    except NormropeError as error:
        return str(error)
point = {"headDim": 64, "rope": "neox", "dtype": "bf16"}
print(json.dumps([answer(**point), answer(**point, gain="two"), answer(**point, gain="three"),
                  answer(**{**point, "headDim": 96}, gain="two"),
                  answer(**{**point, "dtype": "f16"}), answer(**{**point, "dtype": "f16"}, gain="two")]))
def run(**axes):
    q = array("H", range(0x3f80, 0x3fc0))
    given = dict(q_weight=array("H", [0x3f80] * 64), positions=array("i", [7]), eps=1e-6, dtype="bf16")
    table = normrope.RopeTable(base=1e4, rotary_dim=64)
    rows = memoryview(q).cast("B").cast("H", (1, 64))
    normrope.qk_norm_rope_(rows, head_dim=64, rope_table=table, rope="neox", library=sys.argv[1], **given, **axes)
    return [bits - 128 for bits in q] if axes.get("gain") == "two" else list(q)
print(json.dumps(run(gain="two") == run(gain="one") == run()))
`;
    const env = {
      ...{ ...pythonEnvironment, PYTHONPATH: join(copy, "python"), NORMROPE_JIT: "0" },
      NORMROPE_CACHE_DIR: join(root, "no cache"),
    };
    const { stdout } = await execa(pythonFound?.path ?? "", ["-c", program, join(project, "build")], { env });
    const [answers = "", isTwice] = stdout.split("\n");
    // Of bf16, one in the exponent is a factor of two.
    expect(isTwice).toBe("true");
    expect(JSON.parse(answers)).toEqual([
      PLAIN,
      `${PLAIN}_x2`,
      expect.stringContaining('gain is "three", and must be one of "one", "two"'),
      expect.stringContaining('{ headDim: [96], rope: ["neox"], dtype: ["bf16"], gain: ["two"] }'),
      "qk_norm_rope__f16_d64_r64_neox",
      expect.stringContaining("gain means nothing where dtype is f16"),
    ]);
  });
});
