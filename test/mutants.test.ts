/** The table of mutants: each still applies, and names a test that is there. `npm run test:mutants` runs them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { MUTANTS } from "./mutants/index.js";

test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
  "%s: applies, to one place",
  (_, { file, find, replace, killedBy }) => {
    const text = readFileSync(join(PACKAGE_ROOT, file), "utf8");
    expect(text.split(find)).toHaveLength(2);
    expect(replace).not.toBe(find);
    expect(existsSync(join(PACKAGE_ROOT, killedBy)), killedBy).toBe(true);
  },
);

test("mutants have names of their own", () => {
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
});

describe("docs/trust.md", () => {
  const page = readFileSync(join(PACKAGE_ROOT, "docs", "trust.md"), "utf8");
  const sections = new Map(
    page.split(/^##+ /m).map((text) => [text.split("\n")[0]?.toLowerCase(), text] as const),
  );

  test.each([...new Set(MUTANTS.map(({ fault }) => fault))])(
    "%s: lists its mutants and their tests",
    (fault) => {
      const rows = [...(sections.get(fault)?.matchAll(/^\| (.*?) +\| `(.*?)` +\|$/gm) ?? [])];
      const mutants = MUTANTS.filter((mutant) => mutant.fault === fault);
      expect(rows.map(([, name, test]) => [name, test])).toEqual(
        mutants.map(({ name, killedBy }) => [name, killedBy]),
      );
    },
  );
});
