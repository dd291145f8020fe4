/** The report: what the command does, and what it refuses. */
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compilerFor } from "../generator/build/toolchain.js";
import { buildProject } from "../generator/commands/project.js";
import { compile, emit } from "../generator/pipeline.js";
import { gpuCount } from "../runtime/library.js";
import { benchRecord } from "./bench_sample.js";
import { collectingIo, neoxId, neoxSpace, normrope, useSharedCache } from "./cli_helpers.js";
import { buildFixture, buildFolder, nvcc } from "./fixture.js";
import { temporaryFolder, writeConfig } from "./helpers.js";
import { cudaManifest } from "./report_samples.js";

useSharedCache();

/** A project whose library is the default config's, built. */
async function project(target: "cpu" | "cuda" = "cpu") {
  await buildFixture("default", target);
  const folder = temporaryFolder();
  cpSync(join(buildFolder("default"), target), join(folder, "build", target), { recursive: true });
  const config = join(folder, "normrope.config.ts");
  const report = (...args: string[]) => normrope(["report", "--target", target, "--config", config, ...args]);
  return { folder, library: join(folder, "build", target), config, report };
}

describe("the command", () => {
  it("verifies the library and writes the page beside it", async () => {
    const { library, report } = await project();
    const { code, out, err } = await report();
    const page = join(library, "report.html");
    const all = `${cudaManifest().kernels.length}`;
    expect([code, out]).toEqual([0, `${page} shows ${all} kernels. ${all} of ${all} kernels pass on CPU.`]);
    expect(err).toMatch(new RegExp(`^\\[${all}/${all}\\] qk_norm_rope__\\w+ passes$`, "m"));
    const text = readFileSync(page, "utf8");
    expect(text).toContain(`${all} of ${all} kernels pass on CPU.`);
    expect(text).not.toContain('class="chart"');
    expect(readdirSync(library).sort()).toEqual(["libnormrope.so", "manifest.json", "report.html"]);
  });

  it("writes the same page for the same library, and replaces the one that is there", async () => {
    const { library, report } = await project();
    const page = join(library, "report.html");
    await report();
    const first = readFileSync(page, "utf8");
    await report();
    expect(readFileSync(page, "utf8")).toBe(first);
  });

  it("--no-verify runs nothing, and the page says so", async () => {
    const { folder, report } = await project();
    const page = join(folder, "page.html");
    const { code, err } = await report("--no-verify", "--out", page);
    expect([code, err]).toEqual([0, ""]);
    expect(readFileSync(page, "utf8")).toContain("Not verified: --no-verify was given.");
  });

  it("draws the record beside the library, or the one that --bench names", async () => {
    const { folder, library, report } = await project();
    const page = join(folder, "page.html");
    const run = async (...args: string[]) => {
      expect((await report("--no-verify", "--out", page, ...args)).code).toBe(0);
      return readFileSync(page, "utf8");
    };
    writeFileSync(join(library, "bench.json"), JSON.stringify({ ...benchRecord(), device: "the usual" }));
    writeFileSync(join(folder, "other.json"), JSON.stringify({ ...benchRecord(), device: "the other" }));
    expect(await run()).toContain("the usual");
    const other = await run("--bench", join(folder, "other.json"));
    expect(other).toContain("the other");
    expect(other.match(/<svg class="chart"/g)).toHaveLength(4);
  });

  it.each<[string, (folder: string) => readonly string[], RegExp]>([
    [
      "a record that is not there",
      (folder) => ["--bench", join(folder, "no.json")],
      /\[bad-option\]: --bench .*no\.json/,
    ],
    [
      "what is no record",
      (folder) => ["--bench", join(folder, "bad.json")],
      /\[bad-record\]: .*bad\.json.*rows/,
    ],
    [
      "a page in a folder that is not there",
      (folder) => ["--out", join(folder, "no", "page.html")],
      /\[bad-option\]: --out .*there is no folder .*no/,
    ],
    ["a folder as the page", (folder) => ["--out", folder], /\[bad-option\]: --out .* is a folder/],
  ])("refuses %s before it runs anything", async (_, argsIn, message) => {
    const { folder, library, report } = await project();
    writeFileSync(join(folder, "bad.json"), JSON.stringify({ ...benchRecord(), rows: 3 }));
    const { code, out, err } = await report(...argsIn(folder));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(message);
    expect(err).not.toContain("passes");
    expect(existsSync(join(library, "report.html"))).toBe(false);
  });

  it("writes the page and ends with 1 where a kernel is wrong", async () => {
    const config = writeConfig(neoxSpace(16, 24));
    const path = `cpu/${neoxId(24)}.cpp`;
    const files = emit(compile(config)).map((file) =>
      file.path === path ? { path, text: file.text.replaceAll("args.eps", "(args.eps + 0.1f)") } : file,
    );
    await buildProject(config, files, await compilerFor("cpu", undefined), collectingIo().io);
    const page = join(temporaryFolder(), "page.html");
    const { code, out } = await normrope(["report", "--target", "cpu", "--config", config, "--out", page]);
    expect(code).toBe(1);
    expect(out).toContain("1 of 2 kernels pass on CPU.");
    const text = readFileSync(page, "utf8");
    expect(text).toContain('<td class="fails">FAILS</td>');
    expect(text).toMatch(
      /class="failure"><code>qk_norm_rope__bf16_d24_r24_neox<\/code> .*times what is allowed/,
    );
  });

  it("says why nothing was verified where the CPU lacks what the library needs", async () => {
    const { library, report } = await project();
    const path = join(library, "manifest.json");
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    manifest.build.cpuFeatures.push("abacus");
    writeFileSync(path, JSON.stringify(manifest));
    expect((await report()).code).toBe(0);
    const text = readFileSync(join(library, "report.html"), "utf8");
    expect(text).toMatch(/Not verified: .*instructions that this CPU lacks: abacus/);
    expect(text).toContain("none on this machine");
  });

  const needs = [...(nvcc === undefined ? ["nvcc"] : []), ...(gpuCount() > 0 ? ["no GPU"] : [])];
  it.skipIf(needs.length > 0)(
    `says why nothing was verified where there is no GPU${needs.length > 0 ? ` (needs ${needs.join(" and ")})` : ""}`,
    async () => {
      const { library, report } = await project("cuda");
      expect((await report()).code).toBe(0);
      const text = readFileSync(join(library, "report.html"), "utf8");
      expect(text).toContain("Not verified: no GPU was found that this library can run on.");
      expect(text).toMatch(/<th scope="col" class="number">sm_90<\/th>/);
    },
  );
});
