/**
 * "Add a stage" of docs/stages.md, as it stands there, in a copy of the package: three files and one row of the table of
 * inputs. Every command knows the stage then, and C, TypeScript and Python call a kernel that has it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { writeFiles } from "./helpers.js";
import { packageCopy } from "./package_copy.js";
import { pythonEnvironment, python as pythonFound } from "./python.js";

const page = readFileSync(join(PACKAGE_ROOT, "docs", "stages.md"), "utf8");
const BLOCK = /^```(?:typescript|handlebars)\n(?:\/\/|\{\{!--) (\S+)(?: --\}\})?\n([\s\S]*?)^```$/gm;
const blocks = [...page.matchAll(BLOCK)].map(([, path = "", text = ""]) => ({ path, text }));

/** A stage that makes of 0 something else: the lanes behind a head have no part in what is measured of it. */
const SHIFT = {
  "dsl/stages/shift.ts": `import { defineStage } from "../stage.js";
/** \`shift\`: each element plus 1. */
export const shift = defineStage({
  name: "shift",
  axes: {},
  inputs: [],
  reference: ({ y, error }) => ({ y: y.map((x) => x + 1), error: error.map((e, i) => e + 6e-8 * Math.abs((y[i] ?? 0) + 1)) }),
});\n`,
  "templates/cuda/stages/shift.hbs": `{{#if apply}}
#pragma unroll
for (int i = 0; i < PAIRS_PER_LANE; ++i) a[i] += 1.0f, b[i] += 1.0f;
{{/if}}\n`,
  "templates/cpu/stages/shift.hbs": `{{#if apply}}
for (int i = 0; i < PAIRS; ++i) a[i] += 1.0f, b[i] += 1.0f;
{{/if}}\n`,
};

/** The last row of a side, behind which a new one goes. */
const LAST_ROW = /^ {2}absent\("norm_width".*\n/m;

function addStages(copy: string): void {
  for (const { path, text } of blocks) {
    const file = join(copy, path);
    const rows = path === "dsl/inputs.ts" ? readFileSync(file, "utf8") : undefined;
    if (rows !== undefined) expect(rows).toMatch(LAST_ROW);
    writeFileSync(file, rows?.replace(LAST_ROW, (last) => last + text) ?? text);
  }
  writeFiles(copy, SHIFT);
}

const { root, copy, project, normrope, runtime, verifyEmulated } = await packageCopy(addStages);
const build = join(project, "build");
writeFiles(project, {
  "normrope.config.ts": `import { amplify, defineOp, defineSpace, norm, rotate, shift } from "normrope/dsl";
const point = { headDim: 64, dtype: "bf16" } as const;
export default [
  defineSpace(defineOp({ name: "loud", head: (x) => amplify(rotate(norm(x))) }), { ...point, rope: "neox" }),
  defineSpace(defineOp({ name: "only_loud", q: (x) => amplify(x), v: (x) => amplify(amplify(x)) }), point),
  defineSpace(defineOp({ name: "shifted", head: (x) => norm(shift(x)) }), { headDim: 80, dtype: "bf16" }),
];\n`,
});

describe("a stage that is new", () => {
  it("is three files and one row", () => {
    expect(blocks.map(({ path }) => path)).toEqual([
      "dsl/stages/amplify.ts",
      "templates/cuda/stages/amplify.hbs",
      "templates/cpu/stages/amplify.hbs",
      "dsl/inputs.ts",
    ]);
  });

  it("is listed, explained, emitted, built and verified", async () => {
    const rows = JSON.parse((await normrope("list", "--json")).out);
    expect(rows).toMatchObject([{ op: "loud" }, { op: "only_loud" }, { op: "shifted" }]);
    const { out } = await normrope("explain", rows[0].id);
    expect(out).toMatch(/^q and k +amplify\(rotate\(norm\(x\)\)\)$/m);
    for (const command of ["emit", "check", "build"]) {
      const { code, err } = await normrope(command, ...(command === "build" ? ["--target", "cpu"] : []));
      expect([command, code, code === 0 ? "" : err]).toEqual([command, 0, ""]);
    }
    const verified = await normrope("verify", "--target", "cpu", "--json");
    expect([verified.code, JSON.parse(verified.out).kernels.length]).toEqual([0, 3]);
  });

  it("passes on the emulator", async () => {
    const results = await verifyEmulated();
    expect(results).toHaveLength(3);
    expect(results.filter(({ pass }) => !pass)).toEqual([]);
  });

  it("is called from TypeScript, and what is wrong with its input is said", async () => {
    using library = await runtime.open({ target: "cpu", path: build });
    const kernel = await library.kernel({ op: "only_loud", headDim: 64, dtype: "bf16" });
    using buffer = library.upload("bf16", new Uint16Array(3 * 64).fill(0x3f80));
    using gain = library.upload("float32", Float32Array.of(2, 4));
    const given = (offset: number, numHeads: number, more: object) => ({
      ...{ in: { buffer, offset, tokenStride: 192 }, numHeads, ...more },
    });
    kernel.run({ q: given(0, 2, { gain }), v: given(128, 1, { gain }), numTokens: 1 });
    const heads = Array.from(buffer.read(new Uint16Array(192)), (bits) => runtime.decode("bf16", bits));
    expect([heads[0], heads[64], heads[128]]).toEqual([2, 4, 4]);
    const run = (more: object) => () => kernel.run({ q: given(0, 3, more), numTokens: 1 });
    expect(run({})).toThrow("q.gain is undefined");
    expect(run({ gain: buffer })).toThrow("q.gain is a buffer of bf16. q.gain must be float32");
    expect(run({ gain })).toThrow("q.gain is 2 elements long. q.gain must be at least 3 long for this call");
    expect(run({ gain, weight: buffer })).toThrow(
      "q.weight is given. q.weight must be left out: this kernel does not take it",
    );
    await expect(
      library.kernel({ op: "only_loud", headDim: 64, dtype: "bf16", rope: "neox" }),
    ).rejects.toThrow(
      "point.rope is given. point.rope must be left out: the axes of only_loud are headDim, dtype",
    );
    const loud = await library.kernel({ op: "loud", headDim: 64, rope: "neox", dtype: "bf16" });
    expect(loud.point).toMatchObject({ weight: "plain" });
  });

  it.skipIf(pythonFound === undefined)("is called from Python", async () => {
    const program = `
import sys
from array import array
import normrope
x = array("H", [0x3f80] * 192)
heads = memoryview(x).cast("B").cast("H", (1, 3, 64))
op = normrope.Op("only_loud", library=sys.argv[1])
op.in_place(heads, q_gain=array("f", [2, 4, 8]), dtype="bf16")
print(x[0], x[64], x[128])
`;
    const env = { ...pythonEnvironment, PYTHONPATH: join(copy, "python") };
    const { stdout } = await execa(pythonFound?.path ?? "", ["-c", program, build], { env });
    expect(stdout).toBe(`${0x4000} ${0x4080} ${0x4100}`);
  });

  it("is called from C", async () => {
    const id = JSON.parse((await normrope("list", "--json")).out)[1].id;
    writeFiles(root, {
      "program.c": `#include "normrope.h"
#include <stdio.h>
int main(void) {
  uint16_t x[2][64] = {{0x3f80}, {0x3f80}};
  const float gain[2] = {2, 4};
  normrope_args args = {0};
  args.struct_size = sizeof args;
  args.num_tokens = 1;
  args.q.in = args.q.out = x;
  args.q.in_head_stride = args.q.out_head_stride = 64;
  args.q.num_heads = 2;
  args.q.gain = gain;
  const int kernel = normrope_find("${id}");
  const int status = normrope_run(kernel, &args, 0);
  printf("%d %x %x\\n", status, x[0][0], x[1][0]);
  args.q.gain = 0;
  normrope_run(kernel, &args, 0);
  puts(normrope_last_error());
  return 0;
}\n`,
    });
    const library = join(build, "cpu", "libnormrope.so");
    const include = ["-I", join(project, "generated", "include")];
    await execa("cc", ["-Wall", "-Werror", ...include, "program.c", library, "-o", "program"], { cwd: root });
    const { stdout } = await execa(join(root, "program"), { env: { LD_LIBRARY_PATH: join(build, "cpu") } });
    expect(stdout).toBe("0 4000 4080\nq.gain is NULL: must be given");
  });
});
