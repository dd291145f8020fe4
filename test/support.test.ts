/** Whether a library holds the kernel for a point; where not, that what it says to add does add it. */
import { beforeAll, describe, expect, it, test } from "vitest";
import { type BuiltManifest, opOf, type PointQuery } from "../dsl/manifest.js";
import { completed } from "../dsl/points.js";
import { open } from "../runtime/open.js";
import { supportOf } from "../runtime/support.js";
import { buildFixture, buildFolder } from "./fixture.js";
import { DEFAULTS, pointsOf, spaceOf } from "./helpers.js";

let manifest: BuiltManifest;
beforeAll(async () => {
  ({ manifest } = await buildFixture("default", "cpu"));
});
const ask = (query: PointQuery) => {
  const op = opOf(manifest.ops, { op: "qk_norm_rope" });
  return supportOf("lib.so", { op, kernels: manifest.kernels }, completed(op.axes, query));
};

it("says yes for every kernel that the library holds", async () => {
  using library = await open({ target: "cpu", path: buildFolder("default") });
  for (const { point } of manifest.kernels) expect(library.supports(point)).toEqual({ isSupported: true });
  expect(library.supports({ headDim: 128, rope: "neox", dtype: "bf16" })).toEqual({ isSupported: true });
  expect(() => library.supports(null as never)).toThrow("point");
});

describe("for a point that the library lacks", () => {
  test.each<PointQuery>([
    { headDim: 1000, rope: "neox", dtype: "bf16" },
    { headDim: 128, rotaryDim: 64, rope: "interleaved", dtype: "f16" },
    { headDim: 128, rotaryDim: 128, rope: "neox", dtype: "f16" },
  ])("%j, the config line makes that kernel and no other", (query) => {
    const support = ask(query);
    if (support.isSupported || support.configLine === undefined) throw new Error("expected a config line");
    const rotaryDim = query.rotaryDim ?? query.headDim;
    expect(support.reason).toContain(`headDim ${query.headDim}, rotaryDim ${rotaryDim}, rope ${query.rope}`);
    expect(support.fix).toContain(support.configLine);
    expect(pointsOf(spaceOf(`[${support.configLine}]`))).toEqual([{ ...query, rotaryDim, ...DEFAULTS }]);
  });

  test.each<[PointQuery, string | undefined]>([
    [{ headDim: 96, rope: "neox", dtype: "bf16" }, "normrope add headDim 96"],
    [{ headDim: 128, rope: "neox", dtype: "f16" }, "normrope add dtype f16"],
    [{ headDim: 128, rotaryDim: 64, rope: "interleaved", dtype: "bf16" }, "normrope add rotaryDim 64"],
    [{ headDim: 96, rope: "neox", dtype: "f16" }, undefined],
    [{ headDim: 96, rotaryDim: 64, rope: "neox", dtype: "bf16" }, undefined],
  ])("%j, it names the command where one value is missing, and otherwise the entry", (query, command) => {
    const { fix } = ask(query) as { fix: string };
    expect(fix).toMatch(
      command === undefined ? /^Add the entry/ : RegExp(`^Run \`${command}\`, or add the entry`),
    );
  });

  test.each<[PointQuery, string]>([
    [{ headDim: 64, rope: "neox", dtype: "bfloat16" as never }, '"bf16", "f16"; did you mean "bf16"?'],
    [{ headDim: 64, rope: "neox", dtype: "torch.float16" as never }, 'did you mean "f16"?'],
    [
      { headDim: 100, rope: "neox", dtype: "bf16" },
      "headDim is 100, and must be a multiple of 8 from 16 to 1024",
    ],
    [{ headDim: 64, rotaryDim: 7, rope: "neox", dtype: "bf16" }, "rotaryDim is 7"],
    [{ headDim: 64, rotaryDim: 96, rope: "neox", dtype: "bf16" }, "rotaryDim 96 is more than headDim 64"],
    [
      { headDim: 64, rope: "gptj" as never, dtype: "bf16" },
      'rope is "gptj", and must be one of "neox", "interleaved"; did you mean "interleaved"?',
    ],
    [{ headDim: "64" as never, rope: "neox", dtype: "bf16" }, 'headDim is "64"'],
    [{ headDim: 64, rope: "neox" } as never, "dtype is undefined"],
  ])("%j, it says why none can be made, and gives no line", (query, reason) => {
    const support = ask(query);
    expect(support).toMatchObject({ isSupported: false, fix: expect.stringContaining(reason) });
    expect(support).not.toHaveProperty("configLine");
  });
});
