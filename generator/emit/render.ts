/**
 * Views + templates → text.
 *
 * In: the texts of templates/ and the plans, or a report's view. Out: the file set, or the page. Pure, and the only user
 * of Handlebars. Strict: a template that reads what its view does not have is an error, also inside `#if`, `#each` and
 * partials, where Handlebars' own strict mode does not look.
 */
import { createHash } from "node:crypto";
import Handlebars from "handlebars";
import { ABI_VERSION, type Manifest, manifestKernel, opOf } from "../../dsl/manifest.js";
import { compareText, internalError, userError } from "../diagnostics.js";
import type { EmittedFile, FileSet, KernelPlan, Op } from "../ir.js";
import { headerView, inputsView, paramsView } from "./abi_view.js";
import { cpuKernelView, cudaKernelView } from "./kernel_view.js";
import { bindingsView, dispatchView, type View, type ViewValue } from "./view.js";

/** The texts of templates/ by path: `.hbs` are rendered or are partials, the others are copied as they are. */
export type Templates = ReadonlyMap<string, string>;

export function render(
  templates: Templates,
  ops: readonly Op[],
  plans: readonly KernelPlan[],
  compiler: string,
): FileSet {
  requireStages(templates, plans);
  const cuda = targetRenderer(templates, "cuda");
  const cpu = targetRenderer(templates, "cpu");
  const other = targetRenderer(templates, "");
  const sources: EmittedFile[] = [
    ...[...templates].filter(([path]) => !path.endsWith(".hbs")).map(([path, text]) => ({ path, text })),
    ...plans.map((plan) => ({
      path: `cuda/${plan.id}.cu`,
      text: cuda("kernel.cu", cudaKernelView(opOf(ops, plan), plan), plan.id),
    })),
    ...plans.map((plan) => ({
      path: `cpu/${plan.id}.cpp`,
      text: cpu("kernel.cpp", cpuKernelView(opOf(ops, plan), plan), plan.id),
    })),
    { path: "include/normrope.h", text: other("include/normrope.h", headerView()) },
    { path: "cuda/params.hpp", text: cuda("params.hpp", paramsView()) },
    { path: "common/inputs.hpp", text: other("common/inputs.hpp", inputsView()) },
  ].sort(byPath);

  const manifest = manifestOf(ops, plans, compiler, sources);
  const tables = { ...dispatchView(plans, manifest), ...paramsView() };
  return [
    ...sources,
    { path: "cuda/dispatch.cpp", text: cuda("dispatch.cpp", tables) },
    { path: "cpu/dispatch.cpp", text: cpu("dispatch.cpp", tables) },
    { path: "ts/kernels.ts", text: other("ts/kernels.ts", bindingsView(ops, plans)) },
    { path: "manifest.json", text: `${JSON.stringify(manifest, undefined, 2)}\n` },
  ].sort(byPath);
}

/** Every stage needs a template for both targets. */
function requireStages(templates: Templates, plans: readonly KernelPlan[]): void {
  const paths = plans.flatMap(({ op, bodies }) =>
    bodies.flatMap(({ stages }) =>
      stages.flatMap(({ name }) =>
        ["cuda", "cpu"].map((target) => ({ op, name, path: `${target}/stages/${name}.hbs` })),
      ),
    ),
  );
  const missing = paths.find(({ path }) => !templates.has(path));
  if (missing === undefined) return;
  const message = `${missing.op} uses the stage ${missing.name}, and there is no templates/${missing.path}`;
  throw userError("bad-op", message, "write it, as docs/stages.md says under `Add a stage`");
}

function manifestOf(
  ops: readonly Op[],
  plans: readonly KernelPlan[],
  compiler: string,
  sources: FileSet,
): Manifest {
  const hash = createHash("sha256");
  for (const { path, text } of sources) hash.update(JSON.stringify([path, text]));
  return {
    abi: ABI_VERSION,
    compiler,
    ops: ops.map(({ name, axes, stages }) => ({ name, axes: [...axes], stages })),
    sourcesSha256: hash.digest("hex"),
    kernels: plans.map(manifestKernel),
  };
}

/** The page about a built library, from templates/report. */
export function renderReport(templates: Templates, view: View): string {
  return targetRenderer(templates, "report")("report.html", view);
}

/** The functions of the Python package, from templates/python. */
export function renderPython(templates: Templates, view: View): string {
  return targetRenderer(templates, "python")("op.py", view);
}

type Renderer = (template: string, view: View, kernelId?: string) => string;

/**
 * Renders the templates below a folder. Each can be a partial of the others. Values are escaped only in `.html`.
 */
export function targetRenderer(templates: Templates, folder: string): Renderer {
  const handlebars = Handlebars.create();
  const prefix = folder === "" ? "" : `${folder}/`;
  const compiled = new Map<string, Handlebars.TemplateDelegate>();
  for (const [path, text] of templates) {
    if (!path.startsWith(prefix) || !path.endsWith(".hbs")) continue;
    const name = path.slice(prefix.length, -".hbs".length);
    new PartialCheck(path).accept(Handlebars.parse(text));
    const template = handlebars.compile(text, {
      strict: true,
      noEscape: !path.endsWith(".html.hbs"),
      knownHelpersOnly: true,
    });
    compiled.set(name, template);
    handlebars.registerPartial(name, template);
  }
  return (name, view, kernelId) => {
    const template = compiled.get(name);
    if (template === undefined)
      throw internalError("render", `there is no template ${prefix}${name}.hbs`, kernelId);
    try {
      return template(strictView(view, name));
    } catch (error) {
      throw internalError("render", error instanceof Error ? error.message : String(error), kernelId);
    }
  };
}

/** Refuses named arguments of partials: Handlebars copies the context for them, and the copy checks no reads. */
class PartialCheck extends Handlebars.Visitor {
  readonly #path: string;

  constructor(path: string) {
    super();
    this.#path = path;
  }

  override PartialStatement(partial: hbs.AST.PartialStatement): void {
    if (partial.hash !== undefined) {
      throw internalError(
        "render",
        `${this.#path}: give a partial a record of the view, not named arguments`,
      );
    }
    super.PartialStatement(partial);
  }
}

/** A view that throws if a template reads a missing name. */
function strictView(view: View, path: string): View {
  return new Proxy(view, {
    get(target, name) {
      if (typeof name === "symbol") return Reflect.get(target, name);
      const value: ViewValue | null | undefined = Object.hasOwn(target, name) ? target[name] : undefined;
      if (value === undefined || value === null) {
        throw internalError("render", `${path} reads \`${name}\`, which its view does not have`);
      }
      if (typeof value !== "object") return value;
      const inner = `${path}/${name}`;
      return isList(value) ? value.map((item) => strictView(item, inner)) : strictView(value, inner);
    },
  });
}

function isList(value: View | readonly View[]): value is readonly View[] {
  return Array.isArray(value);
}

function byPath(a: EmittedFile, b: EmittedFile): number {
  return compareText(a.path, b.path);
}
