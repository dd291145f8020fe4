/** The report: what the command does, and what a reader's browser makes of the page. */
import { accessSync, constants, cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { benchCharts } from "../generator/bench/charts.js";
import { chartSvg } from "../generator/chart.js";
import { buildProject } from "../generator/commands/project.js";
import { compile, emit } from "../generator/pipeline.js";
import { renderReport } from "../generator/render.js";
import { type Report, reportView } from "../generator/report_view.js";
import { readTemplates } from "../generator/templates.js";
import { compilerFor } from "../generator/toolchain.js";
import { gpuCount } from "../runtime/library.js";
import { benchRecord } from "./bench_sample.js";
import { collectingIo, neoxId, neoxSpace, normrope, useCompileCache } from "./cli_helpers.js";
import { buildFixture, buildFolder, CONFIGS, nvcc } from "./fixture.js";
import { temporaryFolder, writeConfig } from "./helpers.js";
import { cudaManifest, DEVICE, sampleReports } from "./report_samples.js";

useCompileCache();

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
      file.path === path ? { path, text: file.text.replaceAll("args->eps", "(args->eps + 0.1f)") } : file,
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

const CHECKS = readFileSync(new URL("page_checks.js", import.meta.url), "utf8");
const BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
const browserPath = BROWSERS.flatMap((name) =>
  (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)),
).find(isExecutable);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const why = browserPath === undefined ? ` (needs one of ${BROWSERS.join(", ")} on the PATH)` : "";

describe.skipIf(browserPath === undefined)(`the page in a browser${why}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: browserPath ?? "" });
  });
  afterAll(() => browser.close());

  interface View {
    readonly width: number;
    readonly colorScheme: "light" | "dark";
  }
  const views = [1280, 390].flatMap((width): View[] => [
    { width, colorScheme: "light" },
    { width, colorScheme: "dark" },
  ]);

  /** Opens a report's page; whatever it loads or complains of is kept. */
  async function show(report: Report, { width, colorScheme }: View = { width: 1280, colorScheme: "light" }) {
    const file = join(temporaryFolder(), "page.html");
    writeFileSync(file, renderReport(readTemplates(), reportView(report)));
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const [requests, complaints]: [string[], string[]] = [[], []];
    page.on("request", (request) => requests.push(request.url()));
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    const url = pathToFileURL(file).href;
    await page.goto(url);
    return { page, url, requests, complaints };
  }

  /** What one of the checks in page_checks.js says of the page. */
  async function ask<T>(page: Page, check: string): Promise<T> {
    return page.evaluate<T>(`(() => { ${CHECKS}\nreturn pageChecks.${check}; })()`);
  }

  const [verified, leftOut] = sampleReports();

  it("loads nothing but itself, runs nothing, and complains of nothing", async () => {
    const { page, url, requests, complaints } = await show(verified);
    expect(requests).toEqual([url]);
    expect(complaints).toEqual([]);
    expect(await page.locator("script").count()).toBe(0);
  });

  it("has a title, headings in order, and tables and pictures with names", async () => {
    const { page } = await show(verified);
    expect(await page.title()).toBe("qk_norm_rope for CUDA · normrope report");
    expect(await page.getAttribute("html", "lang")).toBe("en");
    const levels = await ask<number[]>(page, "headingLevels()");
    expect(levels[0]).toBe(1);
    expect(levels.filter((level, i) => level > (levels[i - 1] ?? 0) + 1)).toEqual([]);
    expect(await page.locator("table caption").count()).toBe(1);
    expect(await page.locator("th:not([scope])").count()).toBe(0);
    expect(await page.locator('svg:not([role="img"][aria-label]):not([aria-hidden])').count()).toBe(0);
    expect(await ask(page, "brokenIds()")).toEqual([]);
  });

  it("has a row and a picture for each kernel, with a cell for each vector", async () => {
    const { page } = await show({ ...verified, manifest: cudaManifest(CONFIGS.geometries) });
    const { kernels } = cudaManifest(CONFIGS.geometries);
    expect(await page.locator("tbody th[scope=row]").allTextContents()).toEqual(kernels.map(({ id }) => id));
    const pictures = await ask(page, "pictures()");
    expect(pictures).toEqual(
      kernels.map(({ id, slots }) => ({ id, cells: 2 * slots, inside: true, drawn: true })),
    );
  });

  it("gives the members of a pair one label and one colour, and shows what passes through", async () => {
    const { page } = await show({ ...verified, manifest: cudaManifest(CONFIGS.geometries) });
    const cells = await ask<{ text: string; fill: string }[]>(
      page,
      'cells("qk_norm_rope__bf16_d128_r64_neox")',
    );
    expect(cells.map(({ text }) => text)).toEqual([
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((lane) => `${lane}a`),
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((lane) => `${lane}b`),
      ...[8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15].map(String),
    ]);
    expect(cells.slice(8, 16).map(({ fill }) => fill)).toEqual(cells.slice(0, 8).map(({ fill }) => fill));
    expect(new Set(cells.slice(0, 8).map(({ fill }) => fill)).size).toBe(8);
    expect(new Set(cells.slice(16).map(({ fill }) => fill))).toEqual(new Set(["none"]));
  });

  it("tells how the verification went, or why there was none", async () => {
    const { page } = await show(verified);
    const all = cudaManifest().kernels.length;
    const verdict = `${all - 1} of ${all} kernels pass on NVIDIA H100.`;
    expect(await page.locator(".verdict").textContent()).toBe(verdict);
    expect(await page.locator(".failure").textContent()).toContain("error 3 times what is allowed");
    expect(await page.locator("td.passes").count()).toBe(all - 1);
    expect(await page.locator("td.fails").allTextContents()).toEqual(["FAILS"]);
    const other = await show(leftOut);
    expect(await other.page.locator(".verdict").textContent()).toBe("Not verified: the device is elsewhere.");
    expect(await other.page.locator("td.passes, td.fails").count()).toBe(0);
  });

  it("has charts where there is a record, and only there", async () => {
    const { page } = await show(verified);
    expect(await page.locator("svg.chart").count()).toBe(4);
    const { page: without } = await show(leftOut);
    expect(await without.locator("svg.chart").count()).toBe(0);
    expect(await without.getByText("Benchmarks").count()).toBe(0);
  });

  it("shows names as they are, whatever is in them", async () => {
    const name = `<b>&"'</b><script>alert(1)</script>`;
    const record = { ...benchRecord(), device: name, method: name };
    const device = { ...DEVICE, name };
    const { page, complaints } = await show({
      ...verified,
      libraryPath: name,
      devices: [device],
      bench: record,
    });
    expect(complaints).toEqual([]);
    expect(await page.locator("dd b, .verdict b, script").count()).toBe(0);
    expect(await page.locator("dd", { hasText: name }).count()).toBe(4);
    expect(await page.locator(".verdict").textContent()).toContain(name);
  });

  describe.each(views)("at $width px, $colorScheme", (view) => {
    it("does not scroll sideways", async () => {
      const { page } = await show({ ...verified, manifest: cudaManifest(CONFIGS.geometries) }, view);
      const width = await ask<number>(page, "scrollWidth()");
      expect(width).toBeLessThanOrEqual(view.width);
    });

    it("keeps the labels of a chart apart, and inside it", async () => {
      const { page } = await show(verified, view);
      expect(await ask(page, "clashesInCharts()")).toEqual([]);
    });

    it("has text that stands out from what is behind it", async () => {
      const { page } = await show(verified, view);
      expect(await ask(page, "faintTexts()")).toEqual([]);
    });
  });

  it("draws a chart that stands alone in a file, in either scheme", async () => {
    const page = await browser.newPage();
    const file = join(temporaryFolder(), "chart.svg");
    const [svg = ""] = benchCharts(benchRecord().rows).map(({ time }) => chartSvg(time));
    writeFileSync(file, svg);
    await page.goto(pathToFileURL(file).href);
    const inks: string[] = [];
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      inks.push(await ask(page, 'ink(".chart-title")'));
    }
    expect(new Set(inks).size).toBe(2);
  });
});
