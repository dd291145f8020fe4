/** A step of `npm run compile`: writes the op that the default config names to its file. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "./load/index.js";
import { OP_FILE } from "./op_file.js";
import { PACKAGE_ROOT } from "./package_root.js";

const { op } = load(join(PACKAGE_ROOT, "normrope.config.ts"));
writeFileSync(OP_FILE, `${JSON.stringify(op, undefined, 2)}\n`);
