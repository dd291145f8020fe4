/** The ops that ship: each has a file as the compiler reads it, and its kernels' ids have no digest. */
import { join } from "node:path";
import { expect, it } from "vitest";
import * as dsl from "../dsl/index.js";
import { opId } from "../generator/kernel_id.js";
import { readConfig } from "../generator/load/index.js";
import { parseConfig } from "../generator/load/project.js";
import { readShippedOp, readShippedOps } from "../generator/op_file.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { camelCase } from "../runtime/camel_case.js";

const OPS = readShippedOps();

it("are those that normrope/dsl exports, under names like theirs", () => {
  const exported = Object.entries(dsl).flatMap(([name, value]) => (typeof value === "object" ? [name] : []));
  expect(OPS.map(({ name }) => camelCase(name)).sort()).toEqual(exported.sort());
  expect(OPS).toContain(readShippedOp());
});

it.each(OPS.map((op) => [op.name, op] as const))("%s is as `npm run compile` writes it", (name, op) => {
  const space = `defineSpace(${camelCase(name)}, [])`;
  const text = `import { defineSpace, ${camelCase(name)} } from "normrope/dsl";\nexport default ${space};\n`;
  const [read] = readConfig(parseConfig(join(PACKAGE_ROOT, "shipped.config.ts"), text)).spaces;
  expect(read?.op).toEqual(op);
  expect(opId(op)).toBe(name);
  for (const other of OPS)
    if (other !== op)
      expect(opId({ ...op, name: other.name })).toMatch(RegExp(`^${other.name}_[0-9a-f]{8}$`));
});
