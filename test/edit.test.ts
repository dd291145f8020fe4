/** `add`: what it writes into a config, and what it leaves as it was. */
import {
  chmodSync,
  lstatSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { addValues } from "../generator/edit/add.js";
import { type Add, add, IMPORT, REST } from "./adding.js";
import { neoxEntry, neoxId } from "./cli_helpers.js";
import { spaceOf, writeConfig } from "./helpers.js";

const withCrlf = (text: string) => text.replaceAll("\n", "\r\n");
const withBom = (text: string) => `\ufeff${text}`;

describe("a value", () => {
  it.each<[string, string, Add, string]>([
    [
      "goes into its place in a sorted list",
      neoxEntry(64, 256),
      ["headDim", ["128"]],
      neoxEntry(64, 128, 256),
    ],
    ["goes before the first", neoxEntry(64, 256), ["headDim", ["16"]], neoxEntry(16, 64, 256)],
    ["goes after the last", neoxEntry(64, 256), ["headDim", ["512"]], neoxEntry(64, 256, 512)],
    [
      "goes to the end of a list out of order",
      neoxEntry(256, 64),
      ["headDim", ["128"]],
      neoxEntry(256, 64, 128),
    ],
    [
      "comes with others",
      neoxEntry(64, 256),
      ["headDim", ["512", "16", "128"]],
      neoxEntry(16, 64, 128, 256, 512),
    ],
    ["may have a leading zero", neoxEntry(64), ["headDim", ["096"]], neoxEntry(64, 96)],
    [
      "of an axis of words goes to the end",
      `{ headDim: [16], rope: ["neox"], dtype: ["f16"] }`,
      ["dtype", ["bf16"]],
      `{ headDim: [16], rope: ["neox"], dtype: ["f16", "bf16"] }`,
    ],
    [
      "goes among values with type annotations",
      `{ headDim: [16 as const, 64], ${REST} }`,
      ["headDim", ["32"]],
      `{ headDim: [16 as const, 32, 64], ${REST} }`,
    ],
    [
      "keeps a trailing comma",
      `{ headDim: [16, 64,], ${REST}, }`,
      ["headDim", ["128"]],
      `{ headDim: [16, 64, 128,], ${REST}, }`,
    ],
    [
      "goes on a line of its own among lines, and comments stay",
      `{\n  // which ones\n  headDim: [\n    16, // small\n    /* big */ 64,\n  ], // all\n  ${REST}, /* fixed */\n}`,
      ["headDim", ["32"]],
      `{\n  // which ones\n  headDim: [\n    16, // small\n    32,\n    /* big */ 64,\n  ], // all\n  ${REST}, /* fixed */\n}`,
    ],
    [
      "goes on a last line of its own",
      `{\n  headDim: [\n    16,\n    64, // big\n  ],\n  ${REST},\n}`,
      ["headDim", ["128"]],
      `{\n  headDim: [\n    16,\n    64, // big\n    128,\n  ],\n  ${REST},\n}`,
    ],
    [
      "goes on a line of its own indented by tabs, without a trailing comma",
      `{\n\theadDim: [\n\t\t16,\n\t\t64\n\t],\n\t${REST}\n}`,
      ["headDim", ["32", "128"]],
      `{\n\theadDim: [\n\t\t16,\n\t\t32,\n\t\t64,\n\t\t128\n\t],\n\t${REST}\n}`,
    ],
  ])("%s", (_, before, what, after) => {
    expect(add(spaceOf(before), what)).toBe(spaceOf(after));
  });

  it.each<[string, (text: string) => string]>([
    ["CRLF", withCrlf],
    ["a BOM", withBom],
    ["a BOM and CRLF", (text) => withBom(withCrlf(text))],
  ])("is added to a file with %s, which stays", (_, mark) => {
    const list = (...dims: number[]) =>
      mark(spaceOf(`{\n  headDim: [${dims.join(", ")}], // dims\n  ${REST},\n}`));
    expect(add(list(16, 64), ["headDim", ["32"]])).toBe(list(16, 32, 64));
  });

  it("is added on a line of its own to a file with CRLF, which stays", () => {
    const list = (...dims: number[]) =>
      withCrlf(spaceOf(`{\n  headDim: [\n${dims.map((dim) => `    ${dim},\n`).join("")}  ],\n  ${REST},\n}`));
    expect(add(list(16, 64), ["headDim", ["32"]])).toBe(list(16, 32, 64));
  });
});

describe("an axis at its default", () => {
  const base = (...dims: number[]) => `{ headDim: [${dims.join(", ")}], ${REST} }`;
  const partial = (dims: string, rotary: string) => `{ headDim: [${dims}], rotaryDim: [${rotary}], ${REST} }`;

  it.each<[string, string, Add, string]>([
    [
      "gets an entry of its own, and one object becomes a list",
      base(64, 128),
      ["rotaryDim", ["32"]],
      `[\n  ${base(64, 128)},\n  ${partial("64, 128", "32")},\n]`,
    ],
    [
      "gets several values",
      base(64),
      ["rotaryDim", ["16", "32"]],
      `[\n  ${base(64)},\n  ${partial("64", "16, 32")},\n]`,
    ],
    [
      "gets them where they are possible and new",
      base(32, 64, 128),
      ["rotaryDim", ["64"]],
      `[\n  ${base(32, 64, 128)},\n  ${partial("128", "64")},\n]`,
    ],
    [
      "keeps the comments of the object",
      `{\n  headDim: [64], // dims\n  ${REST},\n}`,
      ["rotaryDim", ["32"]],
      `[\n  {\n    headDim: [64], // dims\n    ${REST},\n  },\n  ${partial("64", "32")},\n]`,
    ],
    [
      "gets an entry at the end of a list",
      `[${base(64)}]`,
      ["rotaryDim", ["32"]],
      `[${base(64)}, ${partial("64", "32")}]`,
    ],
    [
      "gets a line at the end of a list of lines",
      `[\n  ${base(64)},\n  ${partial("128", "64")},\n]`,
      ["rotaryDim", ["32"], 1],
      `[\n  ${base(64)},\n  ${partial("128", "64")},\n  ${partial("64", "32")},\n]`,
    ],
  ])("%s", (_, before, what, after) => {
    expect(add(spaceOf(before), what)).toBe(spaceOf(after));
  });

  it("gets an entry in a file with CRLF, which stays", () => {
    const text = withCrlf(spaceOf(`{\n  headDim: [64],\n  ${REST},\n}`));
    const after = `[\n  {\n    headDim: [64],\n    ${REST},\n  },\n  ${partial("64", "32")},\n]`;
    expect(add(text, ["rotaryDim", ["32"]])).toBe(withCrlf(spaceOf(after)));
  });

  it("gets an entry beside one that a const holds", () => {
    const entry = `const entry = { headDim: [64], ${REST} } as const;\nexport default defineSpace(qkNormRope, `;
    expect(add(`${IMPORT}${entry}entry);\n`, ["rotaryDim", ["32"]])).toBe(
      `${IMPORT}${entry}[\n  entry,\n  ${partial("64", "32")},\n]);\n`,
    );
  });
});

describe("a list of entries", () => {
  const [full, partial] = [
    (...dims: number[]) => neoxEntry(...dims),
    (...dims: number[]) => `{ headDim: [${dims.join(", ")}], rotaryDim: [96], ${REST} }`,
  ];

  it.each<[string, string, Add, string]>([
    [
      "is edited at the entry that is named",
      `[\n  ${full(64)},\n  ${partial(128)},\n]`,
      ["headDim", ["256"], 2],
      `[\n  ${full(64)},\n  ${partial(128, 256)},\n]`,
    ],
    [
      "of one is edited without a name",
      `[\n  ${full(64)}, // only\n]`,
      ["headDim", ["128"]],
      `[\n  ${full(64, 128)}, // only\n]`,
    ],
  ])("%s", (_, before, what, after) => {
    expect(add(spaceOf(before), what)).toBe(spaceOf(after));
  });
});

describe("the file", () => {
  it("keeps its permissions", () => {
    const config = writeConfig(spaceOf(neoxEntry(16)));
    chmodSync(config, 0o600);
    expect(addValues(config, "headDim", ["32"])).toEqual([neoxId(32)]);
    expect(statSync(config).mode & 0o777).toBe(0o600);
  });

  it("stays a link where it is one, and what it leads to is edited", () => {
    const config = writeConfig(spaceOf(neoxEntry(16)));
    const real = join(dirname(config), "real.ts");
    renameSync(config, real);
    symlinkSync("real.ts", config);
    expect(addValues(config, "headDim", ["32"])).toEqual([neoxId(32)]);
    expect(readFileSync(real, "utf8")).toBe(spaceOf(neoxEntry(16, 32)));
    expect(lstatSync(config).isSymbolicLink()).toBe(true);
  });

  it("takes one addition after the other", () => {
    const config = writeConfig("");
    writeFileSync(config, spaceOf(neoxEntry(16)));
    expect(addValues(config, "headDim", ["64"])).toEqual([neoxId(64)]);
    expect(addValues(config, "headDim", ["32"])).toEqual([neoxId(32)]);
    expect(addValues(config, "rotaryDim", ["16"])).toEqual([neoxId(32, 16), neoxId(64, 16)]);
    expect(addValues(config, "rotaryDim", ["8"], 2)).toEqual([neoxId(32, 8), neoxId(64, 8)]);
  });
});
