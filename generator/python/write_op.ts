/**
 * A step of `npm run compile`: writes the ops that ship as data, and for Python the fields of the C structs, the axes, the
 * rules of stages, the scalings of RoPE, and the functions that take the op's inputs and axes by name.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AXES, STAGES } from "../../dsl/axes.js";
import * as dsl from "../../dsl/index.js";
import { renderPython } from "../emit/render.js";
import { readTemplates } from "../emit/templates.js";
import { load, readConfig } from "../load/index.js";
import { parseConfig } from "../load/project.js";
import { INPUTS_FILE, inputsData, OP_FILES, opFile } from "../op_file.js";
import { PACKAGE_ROOT } from "../package_root.js";
import { pythonScalings, SCALINGS_FILE } from "./formulas.js";
import { OP_MODULE, pythonOpView } from "./op_view.js";

const [space] = load(join(PACKAGE_ROOT, "normrope.config.ts")).spaces;
for (const op of shippedOps()) write(opFile(op.name), json(op));
for (const file of OP_FILES) write(file, json(space?.op));
write(INPUTS_FILE, json({ ...inputsData(), axes: AXES, stages: stagesData() }));
write(SCALINGS_FILE, pythonScalings());
if (space !== undefined) write(OP_MODULE, renderPython(readTemplates(), pythonOpView(space.op)));

/** What Python needs of the stages: all but what only the compiler computes. */
function stagesData() {
  return Object.fromEntries(
    [...STAGES].map(([name, { axes, inputs, isSink, sides, becomes, rules }]) => [
      name,
      { axes: Object.keys(axes), inputs, isSink, sides, becomes, rules },
    ]),
  );
}

/** The ops that `normrope/dsl` exports. The compiler reads them in a config that has an empty space of each. */
function shippedOps() {
  const names = Object.entries(dsl).flatMap(([name, value]) => (typeof value === "object" ? [name] : []));
  const spaces = names.map((name) => `defineSpace(${name}, [])`).join(", ");
  const text = `import { defineSpace, ${names.join(", ")} } from "normrope/dsl";\nexport default [${spaces}];\n`;
  return readConfig(parseConfig(join(PACKAGE_ROOT, "shipped.config.ts"), text)).spaces.map(({ op }) => op);
}

function json(data: unknown): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

/** Writes a file if its text changes: a command that runs meanwhile may be reading it. */
function write(file: string, text: string): void {
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
}
