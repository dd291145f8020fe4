/** A step of `npm run compile`: writes the op of the default config to its files. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "./load/index.js";
import { OP_FILES } from "./op_file.js";
import { PACKAGE_ROOT } from "./package_root.js";

const [space] = load(join(PACKAGE_ROOT, "normrope.config.ts")).spaces;
const text = `${JSON.stringify(space?.op, undefined, 2)}\n`;
// A command that runs meanwhile reads one: it is not written where it stands already.
for (const file of OP_FILES) {
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
}
