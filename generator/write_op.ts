/** A step of `npm run compile`: writes the op that the default config names to its file. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "./load/index.js";
import { OP_FILE } from "./op_file.js";
import { PACKAGE_ROOT } from "./package_root.js";

const { op } = load(join(PACKAGE_ROOT, "normrope.config.ts"));
const text = `${JSON.stringify(op, undefined, 2)}\n`;
// A command that runs meanwhile reads it: it is not written where it stands already.
if (!existsSync(OP_FILE) || readFileSync(OP_FILE, "utf8") !== text) writeFileSync(OP_FILE, text);
