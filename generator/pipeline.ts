/**
 * The compiler on one screen: config file → file set.
 *
 * In: the path of a config. Out: the plans and the emitted text. Writes nothing; `fileset` and `build` do.
 */
import { compareText, UserError } from "./diagnostics.js";
import { render } from "./emit/render.js";
import { readTemplates } from "./emit/templates.js";
import type { FileSet, KernelPlan, Op, RejectedPoint } from "./ir.js";
import { type LoadedConfig, load } from "./load/index.js";
import { COMPILER_VERSION } from "./package_root.js";
import { expand } from "./plan/expand.js";
import { plan } from "./plan/plan.js";

export interface Compilation {
  /** Sorted by name. */
  readonly ops: readonly Op[];
  readonly plans: readonly KernelPlan[];
  readonly rejections: readonly RejectedPoint[];
}

/** @throws UserError with every diagnostic of the config. */
export function compile(configPath: string): Compilation {
  return planSpaces(load(configPath));
}

/** @throws UserError with every diagnostic of the spaces. */
export function planSpaces({ spaces, diagnostics, typeErrorsInSpaces }: LoadedConfig): Compilation {
  const expanded = [...spaces]
    .sort((a, b) => compareText(a.op.name, b.op.name))
    .map((space) => ({ op: space.op, ...expand(space) }));
  const found = [...diagnostics, ...expanded.flatMap((expansion) => expansion.diagnostics)];
  if (found.length === 0) found.push(...typeErrorsInSpaces);
  if (found.length > 0) throw new UserError(found);
  return {
    ops: expanded.map(({ op }) => op),
    plans: expanded.flatMap(({ op, points }) => points.map((point) => plan(op, point))),
    rejections: expanded.flatMap(({ rejections }) => rejections),
  };
}

export function emit({ ops, plans }: Compilation): FileSet {
  return render(readTemplates(), ops, plans, COMPILER_VERSION);
}
