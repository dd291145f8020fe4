/** What a user imports: that every name says what it is. */
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";

const ENTRIES = ["dsl/index.ts", "runtime/index.ts"];
const options = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(PACKAGE_ROOT, "tsconfig.json"), ts.sys.readFile).config,
  ts.sys,
  PACKAGE_ROOT,
).options;
const program = ts.createProgram(
  ENTRIES.map((entry) => join(PACKAGE_ROOT, entry)),
  options,
);
const checker = program.getTypeChecker();

/** An exported name, and the members of what it names that this project declares and a user can reach. */
function namesOf(symbol: ts.Symbol): { name: string; symbol: ts.Symbol }[] {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const members = [...(target.members?.values() ?? [])].filter(isPublic);
  return [target, ...members].map((each) => ({
    name: each === target ? symbol.name : `${symbol.name}.${each.name}`,
    symbol: each,
  }));
}

/** Symbols, constructors and private fields have names of the checker's own; tags of unions say what they are. */
function isPublic({ name, declarations = [] }: ts.Symbol): boolean {
  if (/^(__|#)/.test(name) || ["type", "kind", "input"].includes(name)) return false;
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  return declarations.some(
    (declaration) =>
      !ts.isTypeParameterDeclaration(declaration) &&
      (ts.getCombinedModifierFlags(declaration) & hidden) === 0,
  );
}

describe.each(ENTRIES)("%s", (entry) => {
  const file = program.getSourceFile(join(PACKAGE_ROOT, entry));
  const symbol = file && checker.getSymbolAtLocation(file);
  const names = symbol ? checker.getExportsOfModule(symbol).flatMap(namesOf) : [];

  it("documents every name and every member", () => {
    expect(names.length).toBeGreaterThan(20);
    const silent = names.filter((each) => each.symbol.getDocumentationComment(checker).length === 0);
    expect(silent.map(({ name }) => name)).toEqual([]);
  });
});
