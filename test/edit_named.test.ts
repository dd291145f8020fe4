import { describe, expect, it } from "vitest";
import { addValues } from "../generator/edit/add.js";
import { type Add, add, IMPORT, idsOf, REST } from "./adding.js";
import { diagnosticsOf, spaceOf, writeConfig } from "./helpers.js";

describe("a value without brackets", () => {
  const entry = (headDim: string, rest = REST) => `{ headDim: ${headDim}, ${rest} }`;
  it.each<[string, string, Add, string]>([
    ["becomes a list", entry("64"), ["headDim", ["96"]], entry("[64, 96]")],
    ["comes behind what is smaller", entry("64"), ["headDim", ["16", "96"]], entry("[16, 64, 96]")],
    [
      "keeps what stands around it",
      entry("/* one */ 64 /* only */"),
      ["headDim", ["96"]],
      entry("/* one */ [64, 96] /* only */"),
    ],
    ["keeps its type annotation", entry("64 as const"), ["headDim", ["32"]], entry("[32, 64 as const]")],
    [
      "of an axis of words becomes a list",
      entry("[64]", 'rope: "neox", dtype: "f16"'),
      ["dtype", ["bf16"]],
      entry("[64]", 'rope: "neox", dtype: ["f16", "bf16"]'),
    ],
    [
      "of rotary_dim becomes a list",
      entry("[64]", `rotaryDim: 32, ${REST}`),
      ["rotaryDim", ["16"]],
      entry("[64]", `rotaryDim: [16, 32], ${REST}`),
    ],
    [
      "goes into an entry of its own where an axis is at its default",
      entry("64", 'rope: "neox", dtype: "bf16"'),
      ["rotaryDim", ["32"]],
      `[\n  ${entry("64", 'rope: "neox", dtype: "bf16"')},\n  { headDim: [64], rotaryDim: [32], ${REST} },\n]`,
    ],
  ])("%s", (_, before, what, after) => {
    expect(add(spaceOf(before), what)).toBe(spaceOf(after));
  });

  it.each<[string, string, string, string]>([
    [
      "by a const's name stays one, for others that use it",
      "const dim = 64;\nexport default defineSpace(qkNormRope, { headDim: dim, rotaryDim: dim,",
      "const dim = 64;\nexport default defineSpace(qkNormRope, { headDim: [dim, 96], rotaryDim: dim,",
      "",
    ],
    [
      "by its name alone",
      "const headDim = 64;\nexport default defineSpace(qkNormRope, { headDim,",
      "const headDim = 64;\nexport default defineSpace(qkNormRope, { headDim: [headDim, 96],",
      "",
    ],
    [
      "of another file",
      'import { dim } from "./dim.js";\nexport default defineSpace(qkNormRope, { headDim: dim,',
      'import { dim } from "./dim.js";\nexport default defineSpace(qkNormRope, { headDim: [dim, 96],',
      "export const dim = 64;\n",
    ],
    [
      "of an entry that is spread",
      "const base = { headDim: 64 };\nexport default defineSpace(qkNormRope, { ...base,",
      "const base = { headDim: [64, 96] };\nexport default defineSpace(qkNormRope, { ...base,",
      "",
    ],
  ])("%s becomes a list", (_, before, after, imported) => {
    const rest = ` ${REST} });\n`;
    const files = { "dim.ts": imported };
    expect(add(IMPORT + before + rest, ["headDim", ["96"]], files)).toBe(IMPORT + after + rest);
  });
});

describe("a list elsewhere", () => {
  it.each<[string, string, Add, string]>([
    [
      "in a const is edited there",
      `const dims = [64, 128] as const;\nexport default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`,
      ["headDim", ["96"]],
      `const dims = [64, 96, 128] as const;\nexport default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`,
    ],
    [
      "that is spread stays, and the value follows it",
      `const dims = [64, 128] as const;\nexport default defineSpace(qkNormRope, { headDim: [...dims, 256], ${REST} });\n`,
      ["headDim", ["96"]],
      `const dims = [64, 128] as const;\nexport default defineSpace(qkNormRope, { headDim: [...dims, 256, 96], ${REST} });\n`,
    ],
    [
      "with a const among its values keeps its order",
      `const big = 256;\nexport default defineSpace(qkNormRope, { headDim: [64, big], ${REST} });\n`,
      ["headDim", ["128"]],
      `const big = 256;\nexport default defineSpace(qkNormRope, { headDim: [64, 128, big], ${REST} });\n`,
    ],
    [
      "in an entry that is spread is edited there",
      `const base = { headDim: [64], ${REST} } as const;\nexport default defineSpace(qkNormRope, [{ ...base }]);\n`,
      ["headDim", ["96"]],
      `const base = { headDim: [64, 96], ${REST} } as const;\nexport default defineSpace(qkNormRope, [{ ...base }]);\n`,
    ],
  ])("%s", (_, before, what, after) => {
    expect(add(IMPORT + before, what)).toBe(IMPORT + after);
  });

  it("in another file: no kernel is claimed that the config does not get", () => {
    const text = `${IMPORT}import { dims } from "./dims.js";\nexport default defineSpace(qkNormRope, { headDim: dims, ${REST} });\n`;
    const config = writeConfig(text, { "dims.ts": "export const dims = [64, 128];\n" });
    const old = idsOf(config);
    let added: string[] = [];
    diagnosticsOf(() => {
      added = addValues(config, "headDim", ["96"]);
    });
    expect(added).toEqual(idsOf(config).filter((id) => !old.includes(id)));
  });
});
