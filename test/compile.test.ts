/** `npm run compile` and `prepare`, on a small package: when dist/ is made, and that it is whole at all times. */
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { temporaryFolder, writeFiles } from "./helpers.js";

it("compiles what is stale and nothing else, and replaces dist/ by a whole one", async () => {
  const root = temporaryFolder();
  const dist = join(root, "dist");
  const tsx = join(PACKAGE_ROOT, "node_modules", "tsx", "dist", "cli.mjs");
  const prepare = () => execa("node", [tsx, "compile.ts", "--if-stale"], { cwd: root, reject: false });
  const said = async () => (await execa(join(dist, "generator", "cli.js"))).stdout;
  for (const name of ["compile.ts", "tsconfig.json", "tsconfig.build.json"]) {
    copyFileSync(join(PACKAGE_ROOT, name), join(root, name));
  }
  symlinkSync(join(PACKAGE_ROOT, "node_modules"), join(root, "node_modules"));
  const write = (files: Record<string, string>) => writeFiles(root, files);
  write({
    "package.json": '{"type":"module"}',
    "dsl/index.ts": "export const one: number = 1;\n",
    "dsl/stages/turn.ts": "export const turn = 1;\n",
    "generator/cli.ts": '#!/usr/bin/env node\nimport { one } from "../dsl/index.js";\nconsole.log(one);\n',
    "generator/python/write_op.ts": "export {};\n",
    "runtime/index.ts": "export {};\n",
  });
  expect(await prepare()).toMatchObject({ exitCode: 0, stdout: "" });
  expect(await said()).toBe("1");
  const stages = join(root, "dsl", "stages");
  expect(readFileSync(join(stages, "index.ts"), "utf8")).toMatch(/\nexport \{ turn \} from ".\/turn.js";\n$/);
  const { ino } = statSync(dist);

  expect(await prepare()).toMatchObject({ exitCode: 0, stdout: "" });
  expect(statSync(dist).ino).toBe(ino);

  write({ "dsl/index.ts": 'export const one: number = "two";\n' });
  expect(await prepare()).toMatchObject({
    exitCode: 1,
    stdout: expect.stringContaining("dsl/index.ts(1,14)"),
  });
  expect(await said()).toBe("1");

  write({ "dsl/index.ts": "export const one: number = 2;\n" });
  rmSync(join(root, "runtime", "index.ts"));
  expect(await prepare()).toMatchObject({ exitCode: 0 });
  expect(await said()).toBe("2");
  expect(existsSync(join(dist, "runtime"))).toBe(false);
  expect(readdirSync(root).filter((name) => name.startsWith("dist"))).toEqual(["dist"]);
});
