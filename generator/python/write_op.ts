/**
 * A step of `npm run compile`: writes the op of the default config as data, and for Python the fields of the C structs, the
 * axes, the rules of stages, the scalings of RoPE, and the functions that take the op's inputs and axes by name.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AXES, STAGES } from "../../dsl/axes.js";
import { renderPython } from "../emit/render.js";
import { readTemplates } from "../emit/templates.js";
import { load } from "../load/index.js";
import { INPUTS_FILE, inputsData, OP_FILES } from "../op_file.js";
import { PACKAGE_ROOT } from "../package_root.js";
import { pythonScalings, SCALINGS_FILE } from "./formulas.js";
import { OP_MODULE, pythonOpView } from "./op_view.js";

const [space] = load(join(PACKAGE_ROOT, "normrope.config.ts")).spaces;
for (const file of OP_FILES) write(file, json(space?.op));
write(INPUTS_FILE, json({ ...inputsData(), axes: AXES, stages: stagesData() }));
write(SCALINGS_FILE, pythonScalings());
if (space !== undefined) write(OP_MODULE, renderPython(readTemplates(), pythonOpView(space.op)));

/** What Python needs of the stages: all but what only the compiler computes. */
function stagesData() {
  return Object.fromEntries(
    [...STAGES].map(([name, { axes, inputs, becomes, rules }]) => [
      name,
      { axes: Object.keys(axes), inputs, becomes, rules },
    ]),
  );
}

function json(data: unknown): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

/** Writes a file if its text changes: a command that runs meanwhile may be reading it. */
function write(file: string, text: string): void {
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
}
