/** Templates and views fit, what does not fit throws, and the emitted text keeps its promises. */
import { join } from "node:path";
import Handlebars from "handlebars";
import { afterEach, describe, expect, it } from "vitest";
import { InternalError } from "../generator/diagnostics.js";
import { compareFileSet } from "../generator/fileset.js";
import type { FileSet } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { type Compilation, compile, emit } from "../generator/pipeline.js";
import { render, renderReport, targetRenderer } from "../generator/render.js";
import { reportView } from "../generator/report_view.js";
import { readTemplates } from "../generator/templates.js";
import {
  bindingsView,
  cpuKernelView,
  cudaKernelView,
  dispatchView,
  headerView,
  type View,
} from "../generator/view.js";
import { manifestSchema } from "../runtime/manifest.js";
import { CONFIG_FILES, opConfig, spaceOf, temporaryFolder, writeFiles } from "./helpers.js";
import { sampleReports } from "./report_samples.js";

const templates = readTemplates();
const compilations = CONFIG_FILES.map(compile);
const fileSets = compilations.map(emit);
const emitted = fileSets.flat();
const reportViews = sampleReports().map(reportView);

/** What a template reads of one kind of view: names by where in the view they are, `stages[].partial`. */
interface Reads {
  readonly names: Set<string>;
  /** Names that some view at that place does not have. */
  readonly unknown: Set<string>;
  /** Conditions by name, with the values that they take. */
  readonly conditions: Map<string, Set<boolean>>;
}

/** Views at one place. */
interface Context {
  readonly place: string;
  readonly views: readonly View[];
}

/** Follows a template through both branches of every `#if`, its loops and its partials. */
function collectReads(folder: string, name: string, views: readonly View[], reads: Reads): void {
  const walk = (template: string, context: Context): void => {
    const text = templates.get(`${folder}${template}.hbs`);
    if (text === undefined) throw new Error(`there is no template ${folder}${template}.hbs`);
    walkProgram(Handlebars.parse(text), context);
  };

  const walkProgram = (program: hbs.AST.Program | undefined, context: Context): void => {
    for (const statement of program?.body ?? []) {
      if (isMustache(statement)) read(pathOf(statement.path), context);
      else if (isBlock(statement)) walkBlock(statement, context);
      else if (isPartial(statement)) walkPartial(statement, context);
    }
  };

  const walkBlock = (block: hbs.AST.BlockStatement, context: Context): void => {
    const [parameter] = block.params;
    const path = pathOf(parameter);
    const values = read(path, context);
    if (pathOf(block.path) === "each") {
      const items = values.flatMap((value) => (Array.isArray(value) ? (value as readonly View[]) : []));
      walkProgram(block.program, { place: `${context.place}${path}[].`, views: items });
    } else {
      const seen = reads.conditions.get(path) ?? new Set();
      for (const value of values) seen.add(Boolean(value));
      reads.conditions.set(path, seen);
      walkProgram(block.program, context);
      walkProgram(block.inverse, context);
    }
  };

  /**
   * A partial is named in place, or by `(lookup this "name")`: then by every value that the views have there. It sees
   * the views of its context, or a record in each of them, which then has the same keys as the view around it.
   */
  const walkPartial = (partial: hbs.AST.PartialStatement, context: Context): void => {
    if (partial.hash !== undefined)
      throw new Error("a partial with named arguments sees an unchecked copy of its view");
    const [parameter] = partial.params;
    const views =
      parameter === undefined ? context.views : (read(pathOf(parameter), context) as readonly View[]);
    if (!isSubExpression(partial.name)) {
      walk(pathOf(partial.name), { ...context, views });
      return;
    }
    const key = String(literalOf(partial.name.params[1]));
    for (const name of new Set(read(key, { ...context, views }).map(String))) {
      walk(name, { ...context, views: views.filter((view) => view[key] === name) });
    }
  };

  /** The values of a name in the views of a context. */
  const read = (name: string, { place, views }: Context): readonly unknown[] => {
    reads.names.add(place + name);
    if (views.length === 0 || !views.every((view) => name in view)) reads.unknown.add(place + name);
    return views.map((view) => view[name]);
  };

  walk(name, { place: "", views });
}

const isMustache = (node: hbs.AST.Node): node is hbs.AST.MustacheStatement =>
  node.type === "MustacheStatement";
const isBlock = (node: hbs.AST.Node): node is hbs.AST.BlockStatement => node.type === "BlockStatement";
const isPartial = (node: hbs.AST.Node): node is hbs.AST.PartialStatement => node.type === "PartialStatement";
const isSubExpression = (node: hbs.AST.Node): node is hbs.AST.SubExpression => node.type === "SubExpression";
const pathOf = (node: hbs.AST.Node | undefined): string =>
  node !== undefined && "original" in node ? String(node.original) : "";
const literalOf = (node: hbs.AST.Node | undefined): unknown =>
  node !== undefined && "value" in node ? node.value : undefined;

/** Every key of a view, and of the views in it, by place. */
function keysOf(view: View, place = ""): string[] {
  return Object.entries(view).flatMap(([name, value]) => [
    place + name,
    ...(Array.isArray(value)
      ? (value as readonly View[]).flatMap((item) => keysOf(item, `${place}${name}[].`))
      : []),
  ]);
}

const views = (make: (compilation: Compilation) => View[]) => compilations.flatMap(make);
const manifestOf = (files: FileSet) =>
  manifestSchema.parse(JSON.parse(files.find(({ path }) => path === "manifest.json")?.text ?? ""));

describe.each<[string, readonly (readonly [folder: string, template: string])[], readonly View[]]>([
  [
    "cudaKernelView",
    [["cuda/", "kernel.cu"]],
    views(({ op, plans }) => plans.map((planned) => cudaKernelView(op, planned))),
  ],
  [
    "cpuKernelView",
    [["cpu/", "kernel.cpp"]],
    views(({ op, plans }) => plans.map((planned) => cpuKernelView(op, planned))),
  ],
  [
    "dispatchView",
    [
      ["cuda/", "dispatch.cpp"],
      ["cpu/", "dispatch.cpp"],
    ],
    compilations.map(({ plans }, i) => dispatchView(plans, manifestOf(fileSets[i] ?? []))),
  ],
  ["headerView", [["", "include/normrope.h"]], [headerView()]],
  ["bindingsView", [["", "ts/kernels.ts"]], views(({ plans }) => [bindingsView(plans)])],
  ["reportView", [["report/", "report.html"]], reportViews],
])("%s and its templates", (_, readers, all) => {
  const reads: Reads = { names: new Set(), unknown: new Set(), conditions: new Map() };
  for (const [folder, template] of readers) collectReads(folder, template, all, reads);

  it("read nothing that a view does not have", () => {
    expect([...reads.unknown]).toEqual([]);
  });

  it("leave no key of a view unread", () => {
    const keys = new Set(all.flatMap((view) => keysOf(view)));
    expect([...keys].filter((key) => !reads.names.has(key))).toEqual([]);
  });

  it("take both branches of every condition over the points of the configs", () => {
    const oneSided = [...reads.conditions].filter(([, seen]) => seen.size < 2).map(([name]) => name);
    expect(oneSided).toEqual([]);
  });
});

it.each([...templates.keys()].filter((path) => path.endsWith(".hbs")))("%s is used", (path) => {
  const broken = new Map([...templates, [path, "{{notInAnyView}}"]]);
  const renderAll = () => [
    compilations.map(({ op, plans }) => render(broken, op, plans, "test")),
    reportViews.map((view) => renderReport(broken, view)),
  ];
  expect(renderAll).toThrow(InternalError);
});

describe("a read of what is not there throws", () => {
  const item = { name: "item" };
  const view: View = { here: "x", list: [item], nothing: "", record: { body: "q" } };
  it.each([
    ["in a value", { "t.hbs": "{{missing}}" }],
    ["in #if", { "t.hbs": "{{#if missing}}x{{/if}}" }],
    ["in #if with an else", { "t.hbs": "{{#if missing}}x{{else}}y{{/if}}" }],
    ["in a nested #if", { "t.hbs": "{{#if here}}{{#if missing}}x{{/if}}{{/if}}" }],
    ["in #each", { "t.hbs": "{{#each missing}}x{{/each}}" }],
    ["in a value inside #each", { "t.hbs": "{{#each list}}{{missing}}{{/each}}" }],
    ["in #if inside #each", { "t.hbs": "{{#each list}}{{#if missing}}x{{/if}}{{/each}}" }],
    ["of the outer view inside #each", { "t.hbs": "{{#each list}}{{here}}{{/each}}" }],
    ["in a partial", { "t.hbs": "{{> p}}", "p.hbs": "{{missing}}" }],
    ["in #if of a partial", { "t.hbs": "{{> p}}", "p.hbs": "{{#if missing}}x{{/if}}" }],
    [
      "in a partial inside #each",
      { "t.hbs": "{{#each list}}{{> p}}{{/each}}", "p.hbs": "{{#if missing}}x{{/if}}" },
    ],
    ["in #if of a partial over a record", { "t.hbs": "{{> p record}}", "p.hbs": "{{#if here}}x{{/if}}" }],
    [
      "in a partial named by a record",
      {
        "t.hbs": "{{> p record}}",
        "p.hbs": '{{> (lookup this "body")}}',
        "q.hbs": "{{#each missing}}x{{/each}}",
      },
    ],
    [
      "of named arguments, which Handlebars would not check",
      { "t.hbs": '{{> p a="1"}}', "p.hbs": "{{here}}" },
    ],
    ["in the name of a partial", { "t.hbs": '{{> (lookup this "missing")}}' }],
    ["in the record of a partial", { "t.hbs": "{{> p missing}}", "p.hbs": "x" }],
    ["of a partial", { "t.hbs": "{{> missing}}" }],
    ["of what every object has", { "t.hbs": "{{#if constructor}}x{{/if}}" }],
    ["of a helper", { "t.hbs": "{{missing here}}" }],
  ])("%s", (_, texts) => {
    expect(() => targetRenderer(new Map(Object.entries(texts)), "")("t", view)).toThrow(InternalError);
  });

  it.each([undefined, null])("and a read of %s does, too", (value) => {
    const values = { value } as unknown as View;
    for (const text of ["{{value}}", "{{#if value}}x{{/if}}", "{{#each value}}x{{/each}}", "{{> p}}"]) {
      const files = new Map([
        ["t.hbs", text],
        ["p.hbs", "{{value}}"],
      ]);
      expect(() => targetRenderer(files, "")("t", values), text).toThrow(InternalError);
    }
  });

  it("and what is there is rendered, empty or false as it may be", () => {
    const text =
      "{{here}}{{nothing}}{{#each list}}{{> p}}{{/each}}{{> q record}}{{#if no}}x{{else}}y{{/if}}{{zero}}";
    const files = new Map([
      ["t.hbs", text],
      ["p.hbs", "{{name}}"],
      ["q.hbs", "{{body}}"],
    ]);
    expect(targetRenderer(files, "")("t", { ...view, no: false, zero: 0 })).toBe("xitemqy0");
  });

  it("and names the template, the name and the kernel", () => {
    const renderer = targetRenderer(new Map([["cuda/t.hbs", "{{#if missing}}x{{/if}}"]]), "cuda");
    expect(() => renderer("t", view, "op__x")).toThrow(/op__x.*t reads `missing`/);
    expect(() => renderer("none", view, "op__x")).toThrow(/op__x.*cuda\/none\.hbs/);
  });
});

it("values are escaped in .html and nowhere else", () => {
  const view = { value: `<b>&"'` };
  const texts = { "p.html.hbs": "{{value}}{{{value}}}", "t.hbs": "{{value}}{{> p.html}}" };
  const rendered = targetRenderer(new Map(Object.entries(texts)), "")("t", view);
  expect(rendered).toBe(`${view.value}&lt;b&gt;&amp;&quot;&#x27;${view.value}`);
});

describe("the emitted text", () => {
  const start = process.cwd();
  afterEach(() => process.chdir(start));

  it("is the same for the same input, in any working folder", () => {
    process.chdir(temporaryFolder());
    expect(CONFIG_FILES.map((path) => emit(compile(path)))).toEqual(fileSets);
  });

  it("does not depend on where the project is", () => {
    const emitFrom = (folder: string) => {
      writeFiles(folder, { "normrope.config.ts": opConfig() });
      return emit(compile(join(folder, "normrope.config.ts")));
    };
    expect(emitFrom(join(temporaryFolder(), "deeper"))).toEqual(emitFrom(temporaryFolder()));
  });

  it("does not depend on the order in which a space is written", () => {
    const emitText = (entries: string) => {
      const folder = temporaryFolder();
      writeFiles(folder, { "normrope.config.ts": spaceOf(entries) });
      return emit(compile(join(folder, "normrope.config.ts")));
    };
    expect(
      emitText(
        '[{ dtype: ["f16"], rope: ["interleaved", "neox"], headDim: [128] }, { headDim: [64], rope: ["neox"], dtype: ["f16"] }]',
      ),
    ).toEqual(
      emitText(
        '[{ headDim: [64, 128], rope: ["neox"], dtype: ["f16"] }, { headDim: [128], rope: ["interleaved"], dtype: ["f16"] }]',
      ),
    );
  });

  it.each<[string, RegExp]>([
    ["path of this machine", new RegExp(`${PACKAGE_ROOT}|${process.cwd()}|file://`)],
    ["path from the root", /(^|[\s"'(])\/(home|root|tmp|usr|var|opt|mnt|Users)\//m],
    ["time", /\b20\d\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b/],
    ["tag of a template", /\{\{/],
    ["object that is no text", /\[object Object\]/],
    ["space at the end of a line", /[ \t]$/m],
    ["carriage return", /\r/],
  ])("holds no %s", (_, pattern) => {
    const found = emitted.filter(({ text }) => pattern.test(text));
    expect(found.map(({ path, text }) => `${path}: ${pattern.exec(text)?.[0]}`)).toEqual([]);
  });

  it("holds no value in a kernel that is no C++ number or name", () => {
    const kernels = emitted.filter(({ path }) => /__.*\.(cu|cpp)$/.test(path));
    const pattern = /\b(undefined|null|NaN|true|false)\b/;
    const code = (text: string) =>
      withoutComments(text).replace(/norm_and_rotate(<\d+, \d+>)?\(params, (true|false)\)/g, "");
    expect(kernels.filter(({ text }) => pattern.test(code(text))).map(({ path }) => path)).toEqual([]);
  });

  it("ends every file with one line break", () => {
    expect(emitted.filter(({ text }) => !/[^\n]\n$/.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it("holds nothing of the report's page", () => {
    expect([...templates.keys()].filter((path) => path.startsWith("report/"))).not.toEqual([]);
    expect(emitted.filter(({ path }) => path.startsWith("report"))).toEqual([]);
    expect(emitted.filter(({ text }) => text.includes("<svg"))).toEqual([]);
  });

  it("is sorted by path, and each path is there once", () => {
    for (const files of fileSets) {
      const paths = files.map(({ path }) => path);
      expect(paths).toEqual([...new Set(paths)].sort());
    }
  });

  it("has one file a kernel and target, under its id", () => {
    compilations.forEach(({ plans }, i) => {
      const kernels = (fileSets[i] ?? []).filter(({ path }) => /__.*\.(cu|cpp)$/.test(path));
      const expected = plans.flatMap(({ id }) => [`cpu/${id}.cpp`, `cuda/${id}.cu`]);
      expect(kernels.map(({ path }) => path)).toEqual(expected.sort());
      for (const { path, text } of kernels) expect(text).toContain(` ${/(\w+)\.\w+$/.exec(path)?.[1]}(`);
    });
  });

  it("holds a manifest of this version, whose hash follows every source", () => {
    const [{ op, plans } = { op: undefined, plans: [] }] = compilations;
    if (op === undefined) throw new Error("there is no config");
    const hashOf = (texts: typeof templates) => manifestOf(render(texts, op, plans, "test")).sourcesSha256;
    const hashes = [
      "cuda/device.cuh",
      "cuda/stages/rotate.hbs",
      "cpu/simd.hpp",
      "include/normrope.h.hbs",
    ].map((path) => hashOf(new Map([...templates, [path, `${templates.get(path)}// changed\n`]])));
    expect(new Set([hashOf(templates), ...hashes]).size).toBe(5);
    expect(hashOf(templates)).toBe(hashOf(templates));
  });

  it("lies in generated/, fresh", () => {
    const differences = compareFileSet(join(PACKAGE_ROOT, "generated"), fileSets[0] ?? []);
    expect(differences.map(({ path, kind, patch }) => `${kind} ${path}\n${patch}`)).toEqual([]);
  });
});

describe("emitted CUDA", () => {
  const cuda = emitted.filter(({ path }) => path.startsWith("cuda/"));
  const outside = (name: string) => cuda.filter(({ path }) => path !== name);

  it.each<[string, RegExp, string]>([
    ["__shfl", /__shfl/, "cuda/device.cuh"],
    ["inline assembly", /\basm\b/, "cuda/ptx.cuh"],
    ["__restrict__", /__restrict__/, ""],
    ["__ldg or another non-coherent load", /__ldg|ld\.global\.nc|__ldcs/, ""],
    ["a stride cut to 32 bits", /(int|int32_t|uint32_t|unsigned)[>)]\s*\([^;]*_stride/, ""],
    ["a stride held in 32 bits", /\b(int|int32_t|uint32_t|unsigned|auto)\s+\w*_stride/, ""],
    ["a powf or a sine of its own", /\b(powf?|__sinf|__cosf|sinf|cosf|sincosf)\s*\(/, ""],
    ["an include of a kernel besides device.cuh", /#include (?!"device\.cuh")/, "dispatch, devices"],
  ])("has no %s", (_, pattern, allowed) => {
    const files = allowed.startsWith("cuda/")
      ? outside(allowed)
      : cuda.filter(({ path }) => allowed === "" || /__.*\.cu$/.test(path));
    const found = files.filter(({ text }) => pattern.test(withoutComments(text)));
    expect(found.map(({ path }) => path)).toEqual([]);
  });

  it("has only the instructions whose meaning the tests' stand-ins have", () => {
    const text = cuda.find(({ path }) => path === "cuda/ptx.cuh")?.text ?? "";
    const functions = [...text.matchAll(/ (\w+)\([^)]*\) \{[^}]*?asm[^"]*"(.*?)"(.*?)\)?;\n/g)];
    expect(functions.map(([, name, instruction, operands]) => [name, instruction, operands])).toEqual([
      ["allow_next_kernel", "griddepcontrol.launch_dependents;", ' ::: "memory"'],
      ["wait_for_previous_kernel", "griddepcontrol.wait;", ' ::: "memory"'],
      ["approximate_sine", "sin.approx.ftz.f32 %0, %1;", ' : "=f"(result) : "f"(angle)'],
      ["approximate_cosine", "cos.approx.ftz.f32 %0, %1;", ' : "=f"(result) : "f"(angle)'],
      ["reciprocal_sqrt", "rsqrt.approx.ftz.f32 %0, %1;", ' : "=f"(result) : "f"(x)'],
      ["f32_of_f16", "cvt.f32.f16 %0, %1;", ' : "=f"(result) : "h"(x)'],
      ["f16_of", "cvt.rn.f16.f32 %0, %1;", ' : "=h"(result) : "f"(x)'],
      ["f16x2_of", "cvt.rn.f16x2.f32 %0, %1, %2;", ' : "=r"(result) : "f"(high), "f"(low)'],
      ["bf16_of", "cvt.rn.bf16.f32 %0, %1;", ' : "=h"(result) : "f"(x)'],
      ["bf16x2_of", "cvt.rn.bf16x2.f32 %0, %1, %2;", ' : "=r"(result) : "f"(high), "f"(low)'],
    ]);
    expect(functions).toHaveLength(text.match(/\basm\b/g)?.length ?? 0);
  });

  it("keeps every stride in 64 bits", () => {
    const files = emitted.filter(({ path }) => path === "cuda/params.hpp" || path === "include/normrope.h");
    for (const { text } of files) {
      const declarations = [...withoutComments(text).matchAll(/^\s*(\w+) [^;(]*\w+_stride\b[^;(]*;/gm)];
      const fields = declarations.flatMap(([line]) =>
        [...line.matchAll(/\w+_stride\b/g)].map(([name]) => name),
      );
      expect(declarations.map(([, type]) => type).filter((type) => type !== "int64_t")).toEqual([]);
      expect(new Set(fields).size).toBe(5);
    }
  });
});

/** C++ text as the compiler reads it. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}

it("control tags of templates stand on lines of their own", () => {
  const inline = [...templates]
    .filter(([path]) => path.endsWith(".hbs"))
    .flatMap(([path, text]) => text.split("\n").map((line, i) => ({ place: `${path}:${i + 1}`, line })))
    .filter(({ line }) => /\{\{[#/>^]|\{\{else/.test(line) && !/^\s*\{\{[^{}]*\}\}$/.test(line));
  expect(inline.map(({ place, line }) => `${place} ${line.trim()}`)).toEqual([]);
});
