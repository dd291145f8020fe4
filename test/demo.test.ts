/** The main job, end to end, and what the README says of it. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { gpuCount } from "../runtime/library.js";
import { neoxId, neoxSpace, normrope, setEnv, useSharedCache } from "./cli_helpers.js";
import { buildFixture, buildFolder } from "./fixture.js";
import { compileText, writeConfig } from "./helpers.js";

useSharedCache();
const why = gpuCount() === 0 ? "no GPU was found" : "there is a GPU, and no nvcc";

describe("demo without nvcc", () => {
  it("runs prefill and decode on the CPU, says why, and passes", async () => {
    setEnv("NORMROPE_NVCC", "none");
    const config = writeConfig(neoxSpace(128));
    expect((await normrope(["build", "--target", "cpu", "--config", config])).code).toBe(0);
    const { code, out, err } = await normrope(["demo", "--config", config]);
    expect(err).toContain("there is no nvcc");
    expect(err).toContain(`[from the cache] cpu ${neoxId(128)}\ncpu library: 0 kernels compiled, 1 from`);
    expect(out).toContain(`Running ${neoxId(128)} on CPU (target cpu): ${why}`);
    const rows = out.split("\n").filter((line) => line.endsWith("unchanged  passes"));
    const cells = rows.map((row) => row.split(/ {2,}/));
    // q and k of 32 and 4 heads of 128, two bytes an element: read and written once, or twice in two steps.
    expect(cells.map(([tokens, , , , moves, inTwoSteps]) => [tokens, moves, inTwoSteps])).toEqual([
      ["2048 (prefill)", "37.7 MB", "75.5 MB"],
      ["64 (decode)", "1.2 MB", "2.4 MB"],
    ]);
    for (const [, time = "", spread = "", overFloor, , , maxError] of cells) {
      expect(time).toMatch(/^[\d.]+ [um]s$/);
      expect(spread).toMatch(/^\d+ %$/);
      expect(Number(overFloor)).toBeGreaterThan(0);
      expect(Number(maxError)).toBeGreaterThan(0.5);
      expect(Number(maxError)).toBeLessThanOrEqual(1);
    }
    expect(code).toBe(0);
  });

  it("says what to add where the config lacks the model's kernel", async () => {
    setEnv("NORMROPE_NVCC", "none");
    const config = writeConfig(neoxSpace(64));
    const { code, err } = await normrope(["demo", "--config", config]);
    expect(err).toContain("error [nothing-built]");
    expect(err).toContain(`normrope add headDim 128 --config ${config}`);
    expect(code).toBe(1);
    expect(existsSync(join(dirname(config), "build"))).toBe(false); // it said so at once
  });
});

describe("the README", () => {
  const readme = readFileSync(join(PACKAGE_ROOT, "README.md"), "utf8");

  it("has the two commands in their form", () => {
    const lines = readme.split("\n").map((line) => line.trim());
    expect(lines).toContain("npm ci && npm run demo");
    expect(lines).toContain("npm test");
  });

  it("has a config that compiles, to six kernels", () => {
    const config = /```ts\n(import \{ defineSpace[\s\S]*?)```/.exec(readme)?.[1] ?? "";
    expect(compileText(config).plans).toHaveLength(6);
  });

  it("has a program that runs as it stands", async () => {
    await buildFixture("default", "cpu");
    const program = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)]
      .map(([, text]) => text ?? "")
      .find((text) => text.includes("open("));
    const placed = program?.replace(
      'open({ target: "cpu" })',
      `open({ target: "cpu", path: ${JSON.stringify(buildFolder("default"))} })`,
    );
    const run = await execa("node", ["--import", "tsx", "--input-type=module", "-e", placed ?? ""], {
      cwd: PACKAGE_ROOT,
    });
    expect(run.stdout).toMatch(/^qk_norm_rope__bf16_d128_r128_neox Uint16Array\(4\) \[/);
  });
});
