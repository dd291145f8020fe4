/** The rules of the house: who may import what, and what no source holds. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { EMITTING_FOLDERS } from "../generator/jit/key.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";

interface Import {
  readonly from: string;
  /** A source by its path in the repository, or a package by its name. */
  readonly to: string;
  readonly kind: "static" | "dynamic" | "type";
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly syntax: ts.SourceFile;
}

const SOURCES: readonly Source[] = ["dsl", "generator", "runtime"].flatMap((folder) =>
  readdirSync(join(PACKAGE_ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name).slice(PACKAGE_ROOT.length + 1))
    .map((path) => {
      const text = readFileSync(join(PACKAGE_ROOT, path), "utf8");
      return { path, text, syntax: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true) };
    }),
);

function nodesOf({ syntax }: Source): ts.Node[] {
  const nodes: ts.Node[] = [];
  const visit = (node: ts.Node): void => {
    nodes.push(node);
    ts.forEachChild(node, visit);
  };
  visit(syntax);
  return nodes;
}

function importsOf(source: Source): Import[] {
  return nodesOf(source).flatMap((node): Import[] => {
    const found = specifierOf(node);
    if (found === undefined) return [];
    return [{ from: source.path, to: resolveSpecifier(source.path, found.specifier), kind: found.kind }];
  });
}

function specifierOf(node: ts.Node): { specifier: string; kind: Import["kind"] } | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, kind: isTypeOnly(node.importClause) ? "type" : "static" };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, kind: node.isTypeOnly ? "type" : "static" };
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return { specifier: node.argument.literal.getText().slice(1, -1), kind: "type" };
  }
  if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.ImportKeyword) return undefined;
  const [argument] = node.arguments;
  const specifier = argument && ts.isStringLiteral(argument) ? argument.text : (argument?.getText() ?? "");
  return { specifier, kind: "dynamic" };
}

function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const named = clause.namedBindings;
  if (clause.name !== undefined || named === undefined || !ts.isNamedImports(named)) return false;
  return named.elements.every(({ isTypeOnly: only }) => only);
}

function resolveSpecifier(from: string, specifier: string): string {
  if (!specifier.startsWith(".")) return isBuiltin(specifier) ? "node" : packageOf(specifier);
  return join(from, "..", specifier).replace(/\.js$/, ".ts");
}

const packageOf = (specifier: string) =>
  specifier.startsWith("@") ? specifier.split("/").slice(0, 2).join("/") : (specifier.split("/")[0] ?? "");

const IMPORTS = SOURCES.flatMap(importsOf);
const show = (imports: readonly Import[]) =>
  imports.map(({ from, to, kind }) => `${from} -> ${to} (${kind})`);

/** All that is loaded with some sources, over imports of these kinds. */
function reachedFrom(paths: readonly string[], kinds: readonly Import["kind"][]): string[] {
  const reached = new Set(paths);
  for (const path of reached) {
    for (const { from, to, kind } of IMPORTS) if (from === path && kinds.includes(kind)) reached.add(to);
  }
  return [...reached].filter((path) => !paths.includes(path));
}

describe("imports", () => {
  it("lead to files that exist", () => {
    expect(IMPORTS.length).toBeGreaterThan(100);
    const broken = IMPORTS.filter(({ to }) => to.endsWith(".ts") && !existsSync(join(PACKAGE_ROOT, to)));
    expect(show(broken)).toEqual([]);
  });

  it("of dsl/ stay in dsl/, except the manifest's zod", () => {
    const isAllowed = ({ from, to }: Import) =>
      to.startsWith("dsl/") || (from === "dsl/manifest.ts" && to === "zod");
    const others = IMPORTS.filter((each) => each.from.startsWith("dsl/") && !isAllowed(each));
    expect(show(others)).toEqual([]);
  });

  it("of runtime/ stay in runtime/ and dsl/, except zod, koffi and node", () => {
    const allowed = new Set(["node", "zod", "koffi"]);
    const others = IMPORTS.filter(
      ({ from, to }) => from.startsWith("runtime/") && !/^(runtime|dsl)\//.test(to) && !allowed.has(to),
    );
    expect(show(others.filter(({ kind }) => kind !== "dynamic"))).toEqual([]);
    // Compiling on first use.
    expect(others.filter(({ kind }) => kind === "dynamic").length).toBeLessThanOrEqual(1);
  });

  it.each<[string, RegExp]>([
    ["ts-morph", /^generator\/(load|edit|python)\/.*\.ts$/],
    ["handlebars", /^generator\/emit\/render\.ts$/],
    ["execa", /^generator\/build\/run_compiler\.ts$/],
    ["fflate", /^generator\/wheel\/wheel\.ts$/],
    ["smol-toml", /^generator\/wheel\/metadata\.ts$/],
    ["yargs", /^generator\/cli\.ts$/],
    ["koffi", /^runtime\/library\.ts$/],
  ])("of %s go through one door", (library, door) => {
    const typesOnly = /^generator\/commands\//;
    const others = IMPORTS.filter(({ from, to, kind }) => {
      if (to !== library || door.test(from)) return false;
      return !(library === "yargs" && kind === "type" && typesOnly.test(from));
    });
    expect(show(others)).toEqual([]);
  });

  it("of the generator's folders point only to earlier folders; load, plan and emit take nothing from the runtime", () => {
    const floors = [
      ...[
        "load",
        "plan",
        "emit",
        "pipeline.ts",
        "cache",
        "build",
        "wheel",
        "jit",
        "python",
        "models",
        "edit",
        "verify",
        "bench",
      ],
      ...["report", "commands", "cli.ts"],
    ];
    const floorOf = (path: string) =>
      floors.findIndex((floor) => path === `generator/${floor}` || path.startsWith(`generator/${floor}/`));
    // Below the first floor there are files of the ground floor, and no folder.
    const unlisted = SOURCES.filter(({ path }) => /^generator\/.*\//.test(path) && floorOf(path) === -1);
    expect(unlisted.map(({ path }) => path)).toEqual([]);
    const wrong = IMPORTS.filter(
      ({ from, to }) => from.startsWith("generator/") && floorOf(to) > floorOf(from),
    );
    expect(show(wrong)).toEqual([]);
    const stages = /^generator\/(load|plan|emit)\//;
    const others = IMPORTS.filter(({ from, to }) => stages.test(from) && to.startsWith("runtime/"));
    expect(show(others)).toEqual([]);
  });

  it("need at most eight files outside the generator's folders", () => {
    const ground = SOURCES.filter(({ path }) => /^generator\/[^/]+$/.test(path));
    expect(ground.length).toBeLessThanOrEqual(8);
  });

  it("of modules that draw reach no file, no library and no device", () => {
    const draws =
      /^generator\/(plan\/lanes|bench\/(cases|chart|chart_scale|charts|peers|record|summary)|report\/(lane_view|view)|emit\/view)\.ts$/;
    const acts = /^(node|execa|koffi|generator\/((build|cache)\/.*|emit\/(fileset|templates)|pipeline)\.ts)$/;
    const wrong = IMPORTS.filter(({ from, to, kind }) => {
      if (!draws.test(from) || kind === "type") return false;
      return acts.test(to) || (to.startsWith("runtime/") && to !== "dsl/manifest.ts");
    });
    expect(show(wrong)).toEqual([]);
  });

  it("for compiling on first use load no TypeScript, and load the compiler only when one is needed", () => {
    const found = reachedFrom(["runtime/index.ts", "generator/jit/jit.ts"], ["static"]);
    expect(found.filter((path) => /^(ts-morph|typescript|execa|handlebars|p-map)$/.test(path))).toEqual([]);
    const compiling = reachedFrom(["runtime/index.ts"], ["static", "dynamic"]);
    expect(compiling).toContain("handlebars");
    expect(compiling).not.toContain("ts-morph");
  });

  it("of modules that decide the emitted text are in the folders that the key of a compiled point covers", () => {
    const stages = ["generator/plan/plan.ts", "generator/emit/render.ts", "generator/emit/templates.ts"];
    const ours = reachedFrom(stages, ["static"]).filter(
      (path) => path.endsWith(".ts") && path !== "runtime/errors.ts", // words of errors
    );
    expect(ours.length).toBeGreaterThan(10);
    expect(ours.filter((path) => !EMITTING_FOLDERS.includes(dirname(path)))).toEqual([]);
  });

  it("of commands come only from the command line", () => {
    const others = IMPORTS.filter(
      ({ from, to }) => /^generator\/(cli|commands)/.test(to) && !/^generator\/(cli|commands)/.test(from),
    );
    expect(show(others)).toEqual([]);
  });

  it("form no cycle", () => {
    const next = new Map<string, string[]>();
    for (const { from, to, kind } of IMPORTS) {
      if (kind !== "type") next.set(from, [...(next.get(from) ?? []), to]);
    }
    const done = new Set<string>();
    const circleFrom = (path: string, trail: readonly string[]): string[] => {
      if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
      if (done.has(path)) return [];
      for (const to of next.get(path) ?? []) {
        const circle = circleFrom(to, [...trail, path]);
        if (circle.length > 0) return circle;
      }
      done.add(path);
      return [];
    };
    for (const path of next.keys()) expect(circleFrom(path, []).join(" -> ")).toBe("");
  });
});

describe("sources", () => {
  it.each<[string, (node: ts.Node) => boolean]>([
    ["any", ({ kind }) => kind === ts.SyntaxKind.AnyKeyword],
    ["non-null assertion", ts.isNonNullExpression],
  ])("hold no %s", (_, isForbidden) => {
    const found = SOURCES.flatMap((source) =>
      nodesOf(source)
        .filter(isForbidden)
        .map((node) => {
          const { line } = source.syntax.getLineAndCharacterOfPosition(node.getStart());
          return `${source.path}:${line + 1}`;
        }),
    );
    expect(found).toEqual([]);
  });

  it("hold no comment that turns off a check", () => {
    const pattern = /@ts-(ignore|expect-error|nocheck)|biome-ignore|eslint-disable/;
    expect(SOURCES.filter(({ text }) => pattern.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it("spell an axis's name only where the op's own stages are handled, never where all axes are", () => {
    const atWork = new RegExp(
      [
        "^dsl/(axes|language|manifest|qk_norm_rope\\.op|sides|stage|stages/.*)",
        "^generator/(plan/(plan|lanes)|emit/(kernel_view|view)|report/lane_view|models/.*|verify/(batch|batches|made_batch|made_call|paging|exact_batches|oracle|verify)|bench/(angles|cases|measure|stores|summary))",
        "^runtime/(call|heads|run_options|rope_.*)",
        // Texts for the user.
        "^generator/(cli|commands/(add|demo|import|init|usage))",
      ]
        .map((files) => `${files}\\.ts$`)
        .join("|"),
    );
    const isSpelled = ({ text }: Source) => /\b(headDim|rotaryDim)\b/.test(text);
    expect(
      SOURCES.filter((source) => isSpelled(source) && !atWork.test(source.path)).map(({ path }) => path),
    ).toEqual([]);
  });

  it("are at most 300 lines long", () => {
    const files = ["dsl", "generator", "runtime", "templates", "python", "bench", "examples", "test"].flatMap(
      (folder) =>
        readdirSync(join(PACKAGE_ROOT, folder), { recursive: true, encoding: "utf8" })
          .filter((path) => /\.(ts|py|cpp|hpp|cuh|cu|c|h|hbs)$/.test(path) && !path.includes("generated"))
          .map((path) => join(folder, path)),
    );
    expect(files.length).toBeGreaterThan(300);
    const lines = (path: string) => readFileSync(join(PACKAGE_ROOT, path), "utf8").split("\n").length - 1;
    expect(files.filter((path) => lines(path) > 300)).toEqual([]);
  });

  it("open with a comment that says what they do", () => {
    const silent = SOURCES.filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });
});

it.skipIf(!existsSync(join(PACKAGE_ROOT, ".git")))("no file mentions a path of a developer's machine", () => {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const paths = execFileSync("git", list, { cwd: PACKAGE_ROOT, encoding: "utf8" }).split("\0");
  const texts = paths
    .filter((path) => path !== "" && existsSync(join(PACKAGE_ROOT, path)))
    .map((path) => ({ path, text: readFileSync(join(PACKAGE_ROOT, path), "utf8") }))
    .filter(({ text }) => !text.includes("\0"));
  const pattern = /(?<![\w.~-])\/(?:home|root|work|Users|tmp)\/\w/;
  const found = texts.filter(({ text }) => pattern.test(text));
  expect(found.map(({ path }) => path)).toEqual([]);
});
