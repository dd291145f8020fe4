/** The report's page in a browser. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chartSvg } from "../generator/bench/chart.js";
import { benchCharts } from "../generator/bench/charts.js";
import { isExecutable, onPath } from "../generator/build/toolchain.js";
import { renderReport } from "../generator/emit/render.js";
import { readTemplates } from "../generator/emit/templates.js";
import { type Report, reportView } from "../generator/report/view.js";
import { benchRecord } from "./bench_sample.js";
import { useSharedCache } from "./cli_helpers.js";
import { CONFIGS } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";
import { cudaManifest, DEVICE, sampleReports } from "./report_samples.js";

useSharedCache();

const CHECKS = readFileSync(new URL("page_checks.js", import.meta.url), "utf8");
const BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
const browserPath = BROWSERS.flatMap((name) => onPath(name, process.env)).find(isExecutable);

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
      kernels.map(({ id, fragments }) => ({ id, cells: 2 * fragments, inside: true, drawn: true })),
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
