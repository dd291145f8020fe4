/** A step of `npm run compile`: writes what is read as data, the op of the default config and the fields of the C structs. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "./load/index.js";
import { INPUTS_FILE, inputsData, OP_FILES } from "./op_file.js";
import { PACKAGE_ROOT } from "./package_root.js";

const [space] = load(join(PACKAGE_ROOT, "normrope.config.ts")).spaces;
for (const file of OP_FILES) write(file, space?.op);
write(INPUTS_FILE, inputsData());

/** A command that runs meanwhile reads the file: it is not written where it stands already. */
function write(file: string, data: unknown): void {
  const text = `${JSON.stringify(data, undefined, 2)}\n`;
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
}
