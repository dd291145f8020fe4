/** How an edited config is written: not over what another wrote meanwhile, and not where that is not allowed. */
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, it } from "vitest";
import { addValues } from "../generator/edit/add.js";
import { writeAtOnce } from "../generator/edit/write.js";
import { appendTo } from "./adding.js";
import { neoxSpace } from "./cli_helpers.js";
import { writeConfig } from "./helpers.js";

const point = (headDim: number) => ({ headDim, rotaryDim: headDim, rope: "neox", dtype: "bf16" }) as const;

it("the second of two imports at once says that it must run again, and no entry is lost", () => {
  const config = writeConfig(neoxSpace(16));
  const [one, two] = [128, 256].map((headDim) => appendTo(config, [point(headDim)]));
  one?.write();
  const text = readFileSync(config, "utf8");
  expect(() => two?.write()).toThrow(
    /\[bad-file\].*was changed meanwhile: nothing is written\n.*run it again/,
  );
  expect(readFileSync(config, "utf8")).toBe(text);
  expect(readdirSync(dirname(config)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  appendTo(config, [point(256)]).write();
  expect(readFileSync(config, "utf8")).toMatch(/headDim: \[128\][\s\S]*headDim: \[256\]/);
});

it("a byte order mark is no change, and stays", () => {
  const config = writeConfig(`\ufeff${neoxSpace(16)}`);
  appendTo(config, [point(128)]).write();
  expect(readFileSync(config, "utf8")).toMatch(/^\ufeff[\s\S]*headDim: \[128\]/);
  writeFileSync(config, "b");
  expect(() => writeAtOnce(config, "a", "c")).toThrow(/changed meanwhile/);
});

// Root may write everything.
it.skipIf(process.getuid?.() === 0)("a config without write permission stays", () => {
  const config = writeConfig(neoxSpace(16));
  chmodSync(config, 0o444);
  const refusal = /\[bad-file\].*cannot be written: .*\n.*permission/;
  expect(() => appendTo(config, [point(128)]).write()).toThrow(refusal);
  expect(() => addValues(config, "headDim", ["128"])).toThrow(refusal);
  expect(readFileSync(config, "utf8")).toBe(neoxSpace(16));
});
