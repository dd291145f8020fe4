/** Templates and their views fit, and what does not fit throws. */
import Handlebars from "handlebars";
import { describe, expect, it, test } from "vitest";
import { AXES } from "../dsl/axes.js";
import { manifestSchema, opOf } from "../dsl/manifest.js";
import { InternalError } from "../generator/diagnostics.js";
import { headerView, paramsView } from "../generator/emit/abi_view.js";
import { cpuKernelView, cudaKernelView } from "../generator/emit/kernel_view.js";
import { render, renderPython, renderReport, targetRenderer } from "../generator/emit/render.js";
import { readTemplates } from "../generator/emit/templates.js";
import { bindingsView, dispatchView, type View } from "../generator/emit/view.js";
import type { FileSet } from "../generator/ir.js";
import { readShippedOp } from "../generator/op_file.js";
import { type Compilation, compile, emit } from "../generator/pipeline.js";
import { pythonOpView } from "../generator/python/op_view.js";
import { reportView } from "../generator/report/view.js";
import { CONFIG_FILES } from "./helpers.js";
import { sampleReports } from "./report_samples.js";

const templates = readTemplates();
const compilations = CONFIG_FILES.map(compile);
const fileSets = compilations.map(emit);
const reportViews = sampleReports().map(reportView);
const pythonViews = [pythonOpView({ ...readShippedOp(), axes: AXES })];

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
    if (context.views.length === 0) return; // a condition that no view meets is for another test
    for (const statement of program?.body ?? []) {
      if (isMustache(statement)) read(pathOf(statement.path), context);
      else if (isBlock(statement)) walkBlock(statement, context);
      else if (isPartial(statement)) walkPartial(statement, context);
    }
  };

  const walkBlock = (block: hbs.AST.BlockStatement, context: Context): void => {
    const [parameter] = block.params;
    const path = pathOf(parameter);
    // A partial may be given a list itself.
    if (path === "this") {
      walkProgram(block.program, context);
      return;
    }
    const values = read(path, context);
    if (pathOf(block.path) === "each") {
      const items = values.flatMap((value) => (Array.isArray(value) ? (value as readonly View[]) : []));
      walkProgram(block.program, { place: `${context.place}${path}[].`, views: items });
    } else {
      const seen = reads.conditions.get(path) ?? new Set();
      for (const value of values) seen.add(Boolean(value));
      reads.conditions.set(path, seen);
      const where = (isTrue: boolean) => context.views.filter((_, i) => Boolean(values[i]) === isTrue);
      walkProgram(block.program, { ...context, views: where(true) });
      walkProgram(block.inverse, { ...context, views: where(false) });
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
    if (!isSubExpression(partial.name)) {
      const [path, given] = [pathOf(parameter), parameter === undefined ? context.views : []];
      const values = parameter === undefined ? given : (read(path, context) as readonly (View | View[])[]);
      const isList = values.some((value) => Array.isArray(value));
      const place = isList ? `${context.place}${path}[].` : context.place;
      walk(pathOf(partial.name), { place, views: values.flat() });
      return;
    }
    const views = context.views;
    const key = String(literalOf(partial.name.params[1]));
    for (const name of new Set(read(key, { ...context, views }).map(String))) {
      walk(name, { ...context, views: views.filter((view) => view[key] === name) });
    }
  };

  /** The values of a name in the views of a context; `a.b` is in a record of it. */
  const read = (name: string, { place, views }: Context): readonly unknown[] => {
    reads.names.add(place + name);
    const values = views.map((view) => valueAt(view, name.replace(/^\.\.\//, "").split(".")));
    if (views.length === 0 || values.includes(undefined)) reads.unknown.add(place + name);
    return values;
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

function valueAt(view: View, [name = "", ...rest]: readonly string[]): unknown {
  const value = Object.hasOwn(view, name) ? view[name] : undefined;
  return rest.length === 0 || value === undefined ? value : valueAt(value as View, rest);
}

/** Every key of a view, and of the views in it, by place. What a stage declares it need not read. */
function keysOf(view: View, place = ""): string[] {
  if ("partial" in view && "reads" in view) return [];
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
    views(({ ops, plans }) => plans.map((planned) => cudaKernelView(opOf(ops, planned), planned))),
  ],
  [
    "cpuKernelView",
    [["cpu/", "kernel.cpp"]],
    views(({ ops, plans }) => plans.map((planned) => cpuKernelView(opOf(ops, planned), planned))),
  ],
  [
    "dispatchView",
    [
      ["cuda/", "dispatch.cpp"],
      ["cpu/", "dispatch.cpp"],
      ["cuda/", "params.hpp"],
    ],
    compilations.map(({ plans }, i) => ({
      ...dispatchView(plans, manifestOf(fileSets[i] ?? [])),
      ...paramsView(),
    })),
  ],
  ["headerView", [["", "include/normrope.h"]], [headerView()]],
  ["bindingsView", [["", "ts/kernels.ts"]], views(({ ops, plans }) => [bindingsView(ops, plans)])],
  ["reportView", [["report/", "report.html"]], reportViews],
  ["pythonOpView", [["python/", "op.py"]], pythonViews],
])("%s and its templates", (_, readers, all) => {
  const reads: Reads = { names: new Set(), unknown: new Set(), conditions: new Map() };
  for (const [folder, template] of readers) collectReads(folder, template, all, reads);

  it("read only what a view has", () => {
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
    compilations.map(({ ops, plans }) => render(broken, ops, plans, "test")),
    reportViews.map((view) => renderReport(broken, view)),
    pythonViews.map((view) => renderPython(broken, view)),
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

  it("but a value that exists is rendered, even if empty or false", () => {
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

it("control tags of templates stand on lines of their own", () => {
  const inline = [...templates]
    .filter(([path]) => path.endsWith(".hbs"))
    .flatMap(([path, text]) => text.split("\n").map((line, i) => ({ place: `${path}:${i + 1}`, line })))
    .filter(({ line }) => /\{\{[#/>^]|\{\{else/.test(line) && !/^\s*\{\{[^{}]*\}\}$/.test(line));
  expect(inline.map(({ place, line }) => `${place} ${line.trim()}`)).toEqual([]);
});

test.each([
  ["the kernel", /^cuda\/(kernel\.cu|blocks)\.hbs$/, 0.15],
  ["all that belongs to a kernel", /^cuda\/.*\.hbs$/, 0.2],
])("CUDA templates read like the kernel: few lines of %s are for the template alone", (_, files, most) => {
  const lines = [...readTemplates()]
    .filter(([path]) => files.test(path))
    .flatMap(([, text]) => text.trimEnd().split("\n"));
  const control = lines.filter((line) => /^\s*\{\{(#|\/|else)/.test(line));
  expect(lines.length).toBeGreaterThan(150);
  expect(control.length / lines.length).toBeLessThanOrEqual(most);
});
