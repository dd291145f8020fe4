/**
 * The compiler on one screen: config file → file set.
 *
 * In: the path of a config. Out: the plans and the emitted text. Writes nothing; `fileset` and `build` do.
 */
import { UserError } from "./diagnostics.js";
import { expand } from "./expand.js";
import type { FileSet, KernelPlan, Op, RejectedPoint } from "./ir.js";
import { type LoadedConfig, load } from "./load/index.js";
import { COMPILER_VERSION } from "./package_root.js";
import { plan } from "./plan.js";
import { render } from "./render.js";
import { readTemplates } from "./templates.js";

export interface Compilation {
  readonly op: Op;
  readonly plans: readonly KernelPlan[];
  readonly rejections: readonly RejectedPoint[];
}

/** @throws UserError with every diagnostic of the config. */
export function compile(configPath: string): Compilation {
  return planSpace(load(configPath));
}

/** @throws UserError with every diagnostic of the space. */
export function planSpace({ op, space, diagnostics, typeErrorsInSpace }: LoadedConfig): Compilation {
  const expansion = expand(op, space);
  const found = [...diagnostics, ...expansion.diagnostics];
  if (found.length === 0) found.push(...typeErrorsInSpace);
  if (found.length > 0) throw new UserError(found);
  return { op, plans: expansion.points.map((point) => plan(op, point)), rejections: expansion.rejections };
}

export function emit({ op, plans }: Compilation): FileSet {
  return render(readTemplates(), op, plans, COMPILER_VERSION);
}
