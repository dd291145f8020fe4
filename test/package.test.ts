/** The package as a user gets it: packed, installed into an empty project, and taken through its main job there. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, posix, relative } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMPILER_VERSION, PACKAGE_ROOT } from "../generator/package_root.js";
import { writeFiles } from "./helpers.js";
import { CALLS, FIRST_ELEMENTS, PROGRAM, PYTHON_CALLS, SENTENCES, TSCONFIG } from "./package_programs.js";
import { python } from "./python.js";

const root = mkdtempSync(join(tmpdir(), "normrope-package-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const project = join(root, "it's a project of Müller & 漢字");
const environment = { NORMROPE_CACHE_DIR: join(root, "the cache"), NORMROPE_NVCC: "none" };

const { exitCode: ping } = await execa("npm", ["ping", "--fetch-timeout=5000", "--fetch-retries=0"], {
  reject: false,
});
const offline = ping === 0 ? "" : " (needs the npm registry, which does not answer)";

interface Packed {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

/** Packs a copy of the sources, so that what other tests run stays as it is. */
async function pack(): Promise<Packed> {
  const copy = join(root, "source");
  const isSource = (path: string) =>
    !/^(node_modules|build|generated|test|\.[^/]*)(\/|$)/.test(path.slice(PACKAGE_ROOT.length + 1));
  // With its times: where dist/ is newer than the sources, it is not compiled again.
  cpSync(PACKAGE_ROOT, copy, { recursive: true, filter: isSource, preserveTimestamps: true });
  symlinkSync(join(PACKAGE_ROOT, "node_modules"), join(copy, "node_modules"));
  const { stdout } = await execa("npm", ["pack", "--json", "--pack-destination", root], { cwd: copy });
  const [first]: Packed[] = Object.values(JSON.parse(stdout.slice(stdout.search(/^[[{]/m))));
  if (first === undefined) throw new Error(`npm pack printed ${stdout}`);
  return first;
}

/** The headings of a page, as GitHub names them in links. */
const anchorsOf = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );

/** The command as npx finds it. */
const normrope = (...args: string[]) =>
  execa(join(project, "node_modules", ".bin", "normrope"), args, { cwd: project, env: environment });

describe("the package", { timeout: 300_000 }, () => {
  let packed: Packed;
  beforeAll(async () => {
    packed = await pack();
    mkdirSync(project, { recursive: true });
    writeFiles(project, { "package.json": JSON.stringify({ name: "empty", private: true, type: "module" }) });
    if (ping !== 0) return;
    const quiet = ["--no-audit", "--no-fund", "--prefer-offline"];
    await execa("npm", ["install", ...quiet, join(root, packed.filename)], { cwd: project });
  }, 300_000);

  it("has a command that can be run where it was compiled", async () => {
    const { stdout } = await execa(join(root, "source", "dist", "generator", "cli.js"), ["--version"]);
    expect(stdout).toBe(COMPILER_VERSION);
  });

  it("runs from a clone by npx, which prepares the clone and leaves what it finds compiled", async () => {
    const source = join(root, "source");
    const { ino } = statSync(join(source, "dist"));
    const env = { npm_config_cache: join(root, "npm"), npm_config_offline: "true" };
    const { stdout } = await execa("npx", ["normrope", "--version"], { cwd: source, env });
    expect(stdout).toBe(COMPILER_VERSION);
    expect(statSync(join(source, "dist")).ino).toBe(ino);
  });

  it("holds what its pages link to", () => {
    const paths = packed.files.map(({ path }) => path);
    const read = (path: string) => readFileSync(join(root, "source", path), "utf8");
    const links = paths
      .filter((path) => path.endsWith(".md"))
      .flatMap((path) =>
        [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => {
          const [target = "", anchor] = link.split("#");
          return { path, link, anchor, to: target === "" ? path : posix.join(posix.dirname(path), target) };
        }),
      )
      .filter(({ link }) => !/^[a-z]+:/.test(link));
    expect(links.length).toBeGreaterThan(20);
    // The map of the sources says that its links are the repository's; docs_links.test.ts follows them.
    const dead = links.filter(({ path, to, anchor }) => {
      if (!paths.includes(to)) return path !== "docs/architecture.md";
      return anchor !== undefined && !anchorsOf(read(to)).includes(anchor);
    });
    expect(dead).toEqual([]);
  });

  it("holds what is needed and nothing else, in less than 1.65 MB", () => {
    const paths = packed.files.map(({ path }) => path);
    const sources = ["dsl", "generator", "runtime", "templates"].flatMap((folder) =>
      readdirSync(join(PACKAGE_ROOT, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(PACKAGE_ROOT, join(entry.parentPath, entry.name))),
    );
    const compiled = sources.filter((path) => path.endsWith(".ts") && !path.startsWith("templates/"));
    const expected = [
      ...["LICENSE", "README.md", "package.json", "bench/models.json"],
      ...["cpp", "cu", "h"].map((extension) => `bench/yardstick.${extension}`),
      ...[
        "bench/charts/d128_r128_neox_h32-8-8_ratio.svg",
        "bench/charts/d128_r128_neox_kv_h32-8-8_ratio.svg",
      ],
      ...["examples/c/qk_norm_rope.c"],
      ...readdirSync(join(PACKAGE_ROOT, "docs")).map((name) => `docs/${name}`),
      ...["README.md", "bench_overhead.py", "pyproject.toml", "normrope/py.typed"].map(
        (name) => `python/${name}`,
      ),
      ...readdirSync(join(PACKAGE_ROOT, "python", "normrope"))
        .filter((name) => /\.(py|json)$/.test(name))
        .map((name) => `python/normrope/${name}`),
      ...sources.filter((path) => /^(dsl|templates)\//.test(path)),
      ...compiled.map((path) => `dist/${path.replace(/\.ts$/, ".js")}`),
      ...compiled
        .filter((path) => !path.startsWith("generator/"))
        .map((path) => `dist/${path.replace(/\.ts$/, ".d.ts")}`),
    ];
    expect(paths.sort()).toEqual(expected.sort());
    expect(packed.unpackedSize).toBeLessThan(1_650_000);
  });

  it.skipIf(ping !== 0)(`goes from init to verify in an empty project${offline}`, async () => {
    const first = await execa("npx", ["normrope", "init"], { cwd: project, env: environment });
    expect(first.stdout).toContain("normrope.config.ts written");
    expect((await normrope("add", "headDim", "96")).stdout).toContain("qk_norm_rope__bf16_d96_r96_neox");
    expect((await normrope("build", "--target", "cpu")).stdout).toContain("2 kernels compiled");
    expect((await normrope("verify", "--target", "cpu")).stdout).toContain("2 of 2 kernels pass on CPU");
    const bench = await normrope("bench", "--target", "cpu", "--tokens", "1", "--heads", "2/1/1");
    expect(bench.stdout).toContain("bench.json holds the record");
    expect((await normrope("check")).stdout).toContain("up to date");
    expect(existsSync(join(project, "build", "cpu", "libnormrope.so"))).toBe(true);
  });

  const missing = [
    ...(ping === 0 ? [] : ["npm's registry"]),
    ...(python === undefined ? ["python3, 3.10 or newer"] : []),
  ];
  const needs = missing.length === 0 ? "" : ` (needs ${missing.join(" and ")})`;
  it.skipIf(missing.length > 0)(`is imported from Python, and finds what was built${needs}`, async () => {
    const PYTHONPATH = join(project, "node_modules", "normrope", "python");
    const code = 'import normrope; print(normrope.why_not(96, True, "bf16", device="cpu"))';
    const env = { ...environment, PYTHONPATH, NORMROPE_JIT: "0" };
    const { stdout } = await execa(python?.path ?? "", ["-c", code], { cwd: project, env });
    expect(stdout).toBe("None");
  });

  it.skipIf(ping !== 0)(
    `is typed, so that only a point that was not built is an error, and runs${offline}`,
    async () => {
      const line = (point: string) => `await library.kernel(${point});`;
      const points = [
        '{ headDim: 128, rope: "neox", dtype: "bf16" }',
        '{ headDim: 96, rotaryDim: 96, rope: "neox", dtype: "bf16" }',
        '{ headDim: 80, rope: "neox", dtype: "bf16" }',
        '{ headDim: 96, rotaryDim: 64, rope: "neox", dtype: "bf16" }',
        '{ headDim: 96, rope: "interleaved", dtype: "bf16" }',
        '{ headDim: 96, rope: "neox", dtype: "f16" }',
        '{ headDim: 96, rope: "neox" }',
      ];
      const head = 'import { open } from "./generated/ts/kernels.js";\nconst library = await open();\n';
      writeFiles(project, {
        "tsconfig.json": JSON.stringify(TSCONFIG),
        "program.ts": PROGRAM,
        "wrong.ts": head + points.map(line).join("\n"),
      });
      const tsc = join(PACKAGE_ROOT, "node_modules", "typescript", "bin", "tsc");
      const { stdout } = await execa("node", [tsc], { cwd: project, reject: false });
      const places = [...stdout.matchAll(/^(\S+)\((\d+),/gm)].map(
        ([, file, row]) => `${file} ${Number(row) - 3}`,
      );
      expect([...new Set(places)]).toEqual([2, 3, 4, 5, 6].map((row) => `wrong.ts ${row}`));
      const program = await execa("node", ["out/program.js"], { cwd: project });
      expect(program.stdout).toBe("qk_norm_rope__bf16_d96_r96_neox 3f80,4000\ninvalid-argument");
    },
  );

  it.skipIf(missing.length > 0)(`takes ops of a user's own through all of it${needs}`, async () => {
    const folder = join(project, "ops");
    const own = (...args: string[]) =>
      execa(join(project, "node_modules", ".bin", "normrope"), args, { cwd: folder, env: environment });
    writeFiles(folder, { "normrope.config.ts": SENTENCES, "program.mjs": CALLS, "program.py": PYTHON_CALLS });
    const listed: { id: string; op: string }[] = JSON.parse((await own("list", "--json")).stdout);
    expect(listed.map(({ op }) => op).sort()).toEqual(Object.keys(FIRST_ELEMENTS).sort());
    expect((await own("emit")).stdout).toContain("generated holds 8 kernels");
    expect((await own("build", "--target", "cpu")).stdout).toContain("8 kernels compiled");
    expect((await own("verify", "--target", "cpu")).stdout).toContain("8 of 8 kernels pass on CPU");
    const { id = "" } = listed.find(({ op }) => op === "my_twice") ?? {};
    expect((await own("explain", id)).stdout).toMatch(/^q and k +norm\(rotate\(norm\(x\)\)\)$/m);
    await own("report", "--target", "cpu", "--no-verify");
    const pages = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
      path.endsWith(".html"),
    );
    const [report = ""] = pages;
    expect(readFileSync(join(folder, report), "utf8")).toContain("my_v4: q: rotate(norm(x, {");
    const expected = Object.entries(FIRST_ELEMENTS).map(([op, values]) => `${op} ${values}`);
    const { stdout } = await execa("node", ["program.mjs"], { cwd: folder, env: environment });
    expect(stdout.split("\n").sort()).toEqual(expected.sort());
    const PYTHONPATH = join(project, "node_modules", "normrope", "python");
    const fromPython = await execa(python?.path ?? "", ["program.py"], {
      cwd: folder,
      env: { ...environment, PYTHONPATH },
    });
    expect(fromPython.stdout.split("\n").sort()).toEqual(expected.sort());
  });

  it.skipIf(ping !== 0)(`compiles on first use without TypeScript${offline}`, async () => {
    for (const name of ["ts-morph", "@ts-morph", "typescript"]) {
      rmSync(join(project, "node_modules", name), { recursive: true, force: true });
    }
    const program = `import { open } from "normrope/runtime";
      const library = await open({ jit: true, target: "cpu" });
      const kernel = await library.kernel({ headDim: 88, rope: "interleaved", dtype: "f16" });
      console.log(kernel.id);`;
    writeFiles(project, { "first_use.mjs": program });
    const { stdout } = await execa("node", ["first_use.mjs"], { cwd: project, env: environment });
    expect(stdout).toBe("qk_norm_rope__f16_d88_r88_interleaved");
  });
});
