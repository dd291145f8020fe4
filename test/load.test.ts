/** Reading configs: what may be written, what it means, and that nothing of it is run. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { load } from "../generator/load/index.js";
import {
  CONFIG_FILES,
  compileText,
  DEFAULTS,
  diagnosticsOf,
  opConfig,
  pointsOf,
  readMarks,
  spaceOf,
  temporaryFolder,
} from "./helpers.js";

const IMPORT = 'import { defineSpace, qkNormRope } from "normrope/dsl";\n';
const neox = (...headDims: number[]) =>
  headDims.map((headDim) => ({ headDim, rotaryDim: headDim, rope: "neox", dtype: "bf16", ...DEFAULTS }));
const REST = 'rope: ["neox"], dtype: ["bf16"]';

describe("a space", () => {
  it.each([
    ["literals", spaceOf(`{ headDim: [64, 128], ${REST} }`)],
    ["quoted names", spaceOf(`{ "headDim": [64, 128], 'rope': ["neox"], dtype: [\`bf16\`] }`)],
    ["other spellings of numbers", spaceOf(`{ headDim: [0x40, 1_28], ${REST} }`)],
    ["a list of entries", spaceOf(`[{ headDim: [64], ${REST} }, { headDim: [128], ${REST} }]`)],
    ["values without brackets", spaceOf('{ headDim: [64, 128], rope: "neox", dtype: "bf16" }')],
    [
      "consts that are values without brackets",
      `${IMPORT}const rope = "neox";
const type = "bf16";
export default defineSpace(qkNormRope, [{ headDim: +64, rope, dtype: type }, { headDim: [128], rope, dtype: [type] }]);\n`,
    ],
    [
      "a head_dim and a rotary_dim without brackets",
      spaceOf(`[{ headDim: 64, rotaryDim: 64, ${REST} }, { headDim: 128, ${REST} }]`),
    ],
    [
      "satisfies, of values without brackets",
      `import { defineSpace, type Entry, qkNormRope } from "normrope/dsl";
const small = { headDim: 64, rope: "neox", dtype: "bf16" } satisfies Entry;
export default defineSpace(qkNormRope, [small, { ...small, headDim: 128 }]);\n`,
    ],
    ["other type annotations", spaceOf(`{ headDim: <const>[64, 128], ${REST} }!`)],
    ["as const", spaceOf(`{ headDim: [64, 128] as const, ${REST} } as const`)],
    [
      "satisfies",
      `import { defineSpace, type Entry, qkNormRope } from "normrope/dsl";
const dims = [64, 128] satisfies number[];
export default defineSpace(qkNormRope, { headDim: dims, ${REST} } satisfies Entry);
`,
    ],
    [
      "const names for values, lists and the whole",
      `${IMPORT}const small = 64;
const dims = [small, 128];
const entry = { headDim: dims, rope: ["neox"], dtype: ["bf16"] } as const;
const space = defineSpace(qkNormRope, entry);
export default space;\n`,
    ],
    [
      "spreads of arrays",
      `${IMPORT}const small = [64] as const;
const more = [{ headDim: [128], ${REST} }] as const;
export default defineSpace(qkNormRope, [{ headDim: [...small], ${REST} }, ...more]);\n`,
    ],
    [
      "spreads of objects, later properties over earlier ones",
      `${IMPORT}const base = { headDim: [256], rope: ["interleaved"], dtype: ["bf16"] } as const;
export default defineSpace(qkNormRope, { ...base, rope: ["neox"], headDim: [64, 128] });\n`,
    ],
    [
      "shorthand properties",
      `${IMPORT}const headDim = [64, 128];
const rope = ["neox"] as const;
export default defineSpace(qkNormRope, { headDim, rope, dtype: ["bf16"] });\n`,
    ],
    [
      "renamed imports",
      `import { defineSpace as space, qkNormRope as op } from "normrope/dsl";
export default space(op, { headDim: [64, 128], ${REST} });\n`,
    ],
    [
      "types, interfaces and comments around it",
      `${IMPORT}// A comment.
type Dims = readonly number[];
const dims: Dims = [/* small */ 64, 128];
export default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`,
    ],
  ])("is read from %s", (_, text) => {
    expect(pointsOf(text)).toEqual(neox(64, 128));
  });

  it.each(["./models.js", "./models"])("is read through consts imported from %s", (module) => {
    const text = `${IMPORT}import { dims as headDim, rest } from "${module}";
export default defineSpace(qkNormRope, { ...rest, headDim: headDim });\n`;
    const models = `const small = 64;
export const dims = [small, 128];
export const rest = { ${REST} } as const;\n`;
    expect(pointsOf(text, { "models.ts": models })).toEqual(neox(64, 128));
  });

  it("is read without the project's tsconfig and packages", () => {
    const tsconfig =
      '{ "compilerOptions": { "paths": { "normrope/dsl": ["./other.ts"] }, "noUnusedLocals": true } }';
    const other = "export const defineSpace = () => 1;\n";
    const unused = `const unused = 1;\n${spaceOf(`{ headDim: [64], ${REST} }`)}`;
    const texts = {
      "tsconfig.json": tsconfig,
      "other.ts": other,
      "node_modules/normrope/dsl/index.ts": other,
    };
    expect(pointsOf(unused, texts)).toEqual(neox(64));
  });

  it("takes headDim for rotaryDim where it is left out, and only there", () => {
    expect(pointsOf(spaceOf(`[{ headDim: [64, 96], rotaryDim: [32], ${REST} }]`))).toEqual([
      { headDim: 64, rotaryDim: 32, rope: "neox", dtype: "bf16", ...DEFAULTS },
      { headDim: 96, rotaryDim: 32, rope: "neox", dtype: "bf16", ...DEFAULTS },
    ]);
  });

  it.each(CONFIG_FILES)("is read from %s", (path) => {
    const { diagnostics, typeErrorsInSpaces } = load(path);
    expect([...diagnostics, ...typeErrorsInSpaces]).toEqual([]);
  });
});

describe("the text of a config", () => {
  const { text, places } = readMarks(spaceOf(`{\n  headDim: [64, ▸65],\n  ${REST},\n}`));
  const valid = text.replace("65", "128");

  it.each([
    ["with CRLF line ends", (lines: string) => lines.replaceAll("\n", "\r\n")],
    ["with a byte order mark", (lines: string) => `\uFEFF${lines}`],
    ["without a line break at the end", (lines: string) => lines.trimEnd()],
  ])("is read %s, and places in it are found", (_, edit) => {
    expect(pointsOf(edit(valid))).toEqual(neox(64, 128));
    const [found, ...others] = diagnosticsOf(() => compileText(edit(text)));
    expect(others).toEqual([]);
    expect(found).toMatchObject({ code: "value-not-in-axis", span: places[0] });
  });

  it("does not count a byte order mark as a column", () => {
    const marked = readMarks(spaceOf(`{ headDim: [▸65], ${REST} }`).replaceAll("\n", " "));
    const [found] = diagnosticsOf(() => compileText(`\uFEFF${marked.text}`));
    expect(found).toMatchObject({ code: "value-not-in-axis", span: marked.places[0] });
  });
});

describe("nothing is run", () => {
  it("of a config with effects at its top level", () => {
    const marker = join(temporaryFolder(), "was-run");
    const text = `${spaceOf(`{ headDim: [64], ${REST} }`)}
interface Files { writeFileSync(path: string, text: string): void }
interface Host { process: { getBuiltinModule(name: string): Files } }
(globalThis as unknown as Host).process.getBuiltinModule("node:fs").writeFileSync(${JSON.stringify(marker)}, "");
throw new Error("the config was run");\n`;
    expect(pointsOf(text)).toEqual(neox(64));
    expect(existsSync(marker)).toBe(false);
  });

  it("of a file that a config imports", () => {
    const text = `${IMPORT}import { dims } from "./dims.js";
export default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`;
    const dims = 'export const dims = [64];\nif (dims.length > 0) throw new Error("the import was run");\n';
    expect(pointsOf(text, { "dims.ts": dims })).toEqual(neox(64));
  });
});

describe("a config that goes in a circle", () => {
  it.each([
    [
      "of names",
      "const dims: readonly number[] = more;\nconst more: readonly number[] = dims;",
      "headDim: dims",
    ],
    ["of array spreads", "const dims: readonly number[] = [...dims];", "headDim: dims"],
    ["of object spreads", "const base: { headDim: readonly number[] } = { ...base };", "...base"],
  ])("%s is refused", (_, declarations, property) => {
    const text = `${IMPORT}${declarations}\nexport default defineSpace(qkNormRope, { ${property}, ${REST} });\n`;
    expect(diagnosticsOf(() => compileText(text))).not.toEqual([]);
  });

  it("of a head that is made of itself is refused", () => {
    const circle = opConfig({ head: "(x) => y" }).replace(
      "const myOp",
      `import type { Head } from "normrope/dsl";\nconst y: Head<never> = rotate(y) as never;\nconst myOp`,
    );
    expect(diagnosticsOf(() => compileText(circle))).toMatchObject([{ code: "unsupported-expression" }]);
  });
});
