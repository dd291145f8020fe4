/** A library of several ops: built, verified, and asked for by op from TypeScript and Python. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PointQuery } from "../dsl/manifest.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { neoxEntry, normrope, useSharedCache } from "./cli_helpers.js";
import { pythonEnvironment, python as pythonFound } from "./python.js";

const root = mkdtempSync(join(tmpdir(), "normrope-ops-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const config = join(root, "normrope.config.ts");
writeFileSync(
  config,
  `import { defineOp, defineSpace, qkNormRope } from "normrope/dsl";
const other = defineOp({ ...qkNormRope, name: "other" });
export default [defineSpace(qkNormRope, ${neoxEntry(64)}), defineSpace(other, ${neoxEntry(64, 96)})];
`,
);
const build = join(root, "build");
const POINT = { headDim: 64, rope: "neox", dtype: "bf16" } as const;
const IDS = [
  "qk_norm_rope__bf16_d64_r64_neox",
  "other_877f07b4__bf16_d64_r64_neox",
  "other_877f07b4__bf16_d96_r96_neox",
];

useSharedCache();
let library: Library;
beforeAll(async () => {
  expect((await normrope(["build", "--target", "cpu", "--config", config])).code).toBe(0);
  library = await open({ target: "cpu", path: build, jit: true });
});
afterAll(() => library?.close());

describe("a library of two ops", () => {
  it("is verified kernel by kernel", async () => {
    const { out, code } = await normrope(["verify", "--target", "cpu", "--json", "--config", config]);
    expect(code).toBe(0);
    expect(
      JSON.parse(out)
        .kernels.map(({ id }: { id: string }) => id)
        .sort(),
    ).toEqual([...IDS].sort());
  });

  it("gives the kernel of the op that is named", async () => {
    const found = await Promise.all(["qk_norm_rope", "other"].map((op) => library.kernel({ ...POINT, op })));
    expect(found.map(({ id, op }) => [id, op])).toEqual([
      [IDS[0], "qk_norm_rope"],
      [IDS[1], "other"],
    ]);
  });

  it("requires a name, and lists the ops", async () => {
    await expect(library.kernel(POINT)).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.stringMatching(/^point\.op is undefined/),
      fix: expect.stringMatching(/^point\.op must be one of other, qk_norm_rope: .* holds several$/),
    });
    await expect(library.kernel({ ...POINT, op: "third" })).rejects.toMatchObject({
      code: "kernel-not-found",
      message: expect.stringMatching(/holds no op "third"\./),
      fix: "Its ops are other, qk_norm_rope",
    });
    expect(library.supports({ ...POINT, op: "third" })).toMatchObject({ isSupported: false });
    expect(() => library.supports({ ...POINT, op: 5 } as unknown as PointQuery)).not.toThrow();
  });

  it("names the space for a missing kernel, and compiles it on first use", async () => {
    using closed = await open({ target: "cpu", path: build });
    const missing = { headDim: 96, rope: "neox", dtype: "bf16", op: "qk_norm_rope" } as const;
    expect(closed.supports(missing)).toMatchObject({
      reason: expect.stringMatching(/holds no kernel of qk_norm_rope for headDim 96/),
      fix: expect.stringMatching(
        /add headDim 96 --op qk_norm_rope.*to the space of qk_norm_rope in normrope\.config\.ts/,
      ),
    });
    expect((await library.kernel(missing)).id).toBe("qk_norm_rope__bf16_d96_r96_neox");
    const own = await library.kernel({ ...missing, headDim: 128, op: "other" });
    expect([own.id, own.op]).toEqual(["other_877f07b4__bf16_d128_r128_neox", "other"]);
  });

  it("has bindings that require the op", () => {
    const bindings = readFileSync(join(root, "generated", "ts", "kernels.ts"), "utf8");
    expect(bindings).toMatch(/other_877f07b4__bf16_d64_r64_neox: \{\n\s+readonly op: "other";/);
  });

  it("is explained, benchmarked and reported by op", async () => {
    const { out } = await normrope(["explain", IDS[2] ?? "", "--config", config]);
    expect(out).toMatch(/^kernel +other_877f07b4__bf16_d96_r96_neox$/m);
    const { err } = await normrope(["explain", "other__bf16_d96_r96_neox", "--config", config]);
    expect(err).toContain(`did you mean ${IDS[2]}?`);
    const bench = ["bench", "--target", "cpu", "--tokens", "1", "--heads", "1/1/1", "--json"];
    const record = JSON.parse((await normrope([...bench, "--config", config])).out);
    expect(record.rows.map(({ kernel }: { kernel: string }) => kernel).sort()).toEqual([...IDS].sort());
    const report = ["report", "--target", "cpu", "--no-verify", "--config", config];
    expect((await normrope(report)).out).toContain("shows 3 kernels");
  });

  it.skipIf(pythonFound === undefined)("gives Python its kernels, whatever the op's name", async () => {
    const program = `
import sys
from pathlib import Path
from normrope._library import load_library
for kernel in load_library(Path(sys.argv[1])).kernels.values():
    print(kernel.id)
`;
    const args = ["-c", program, join(build, "cpu", "libnormrope.so")];
    const { stdout } = await execa(pythonFound?.path ?? "", args, { env: pythonEnvironment });
    expect(stdout.split("\n")).toContain("other_877f07b4__bf16_d96_r96_neox");
  });
});
