/** The points of a model, appended to a config: what is written, what stays as it was, and when nothing is written. */
import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ConfigPoint } from "../generator/ir.js";
import { kernelId } from "../generator/kernel_id.js";
import { compile } from "../generator/pipeline.js";
import { appendTo } from "./adding.js";
import { neoxEntry, neoxSpace } from "./cli_helpers.js";
import { DEFAULTS, diagnosticsOf, opConfig, spaceOf, type Texts, writeConfig } from "./helpers.js";

const IMPORT = 'import { defineSpace, qkNormRope } from "normrope/dsl";\n';
const withCrlf = (text: string) => text.replaceAll("\n", "\r\n");

const point = (headDim: number, rotaryDim = headDim, changed: Partial<ConfigPoint> = {}): ConfigPoint => ({
  ...{ headDim, rotaryDim, rope: "neox", dtype: "bf16", ...DEFAULTS },
  ...changed,
});
const partial = (headDim: number, rotaryDim: number) =>
  `{ headDim: [${headDim}], rotaryDim: [${rotaryDim}], rope: ["neox"], dtype: ["bf16"] }`;
const idsOf = (config: string) => compile(config).plans.map(({ id }) => id);

/** Appends, and checks what must hold of every config: what was asked for is there, once, and nothing is lost. */
function append(before: string, points: readonly ConfigPoint[], imported: Texts = {}): string {
  const config = writeConfig(before, imported);
  const old = idsOf(config);
  const [op] = compile(config).ops;
  if (op === undefined) throw new Error("the config has no op");
  const files = readdirSync(dirname(config));
  const { added, present, write } = appendTo(config, points);
  expect(readFileSync(config, "utf8")).toBe(before);
  write();
  const now = idsOf(config);
  const wanted = [...new Set(points.map((each) => kernelId(op, each)))].sort();
  expect([...added]).toEqual(wanted.filter((id) => !old.includes(id)));
  expect([...present].sort()).toEqual(wanted.filter((id) => old.includes(id)));
  expect([...now].sort()).toEqual([...old, ...added].sort());
  expect(readdirSync(dirname(config))).toEqual(files);
  const after = readFileSync(config, "utf8");
  appendTo(config, points).write();
  expect(readFileSync(config, "utf8")).toBe(after);
  return after;
}

describe("points become entries", () => {
  it.each<[string, string, readonly ConfigPoint[], string]>([
    [
      "beside one object, which becomes a list",
      neoxEntry(64),
      [point(128)],
      `[\n  ${neoxEntry(64)},\n  ${neoxEntry(128)},\n]`,
    ],
    [
      "beside one object on lines, with its comments",
      `{\n  headDim: [64], // dims\n  rope: ["neox"],\n  dtype: ["bf16"],\n}`,
      [point(128, 64)],
      `[\n  {\n    headDim: [64], // dims\n    rope: ["neox"],\n    dtype: ["bf16"],\n  },\n  ${partial(128, 64)},\n]`,
    ],
    ["at the end of a list", `[${neoxEntry(64)}]`, [point(128)], `[${neoxEntry(64)}, ${neoxEntry(128)}]`],
    [
      "on a line of their own at the end of a list of lines, behind a comment",
      `[\n  ${neoxEntry(64)},\n  ${partial(128, 64)}, // GLM\n]`,
      [point(256)],
      `[\n  ${neoxEntry(64)},\n  ${partial(128, 64)}, // GLM\n  ${neoxEntry(256)},\n]`,
    ],
    [
      "at the end of a list without a trailing comma",
      `[\n  ${neoxEntry(64)} // small\n]`,
      [point(256)],
      `[\n  ${neoxEntry(64)}, // small\n  ${neoxEntry(256)}\n]`,
    ],
    [
      "in a list that ends on the line of its last entry",
      `[\n  ${neoxEntry(64)},\n  ${neoxEntry(32)}]`,
      [point(256)],
      `[\n  ${neoxEntry(64)},\n  ${neoxEntry(32)},\n  ${neoxEntry(256)}]`,
    ],
    [
      "in a list whose last entry has a comment of several lines behind it",
      `[\n  ${neoxEntry(64)} /* a\n  b */,\n]`,
      [point(256)],
      `[\n  ${neoxEntry(64)},\n  ${neoxEntry(256)} /* a\n  b */,\n]`,
    ],
    [
      "one for all heads that rotate whole, smallest first, and one for each other",
      neoxEntry(16),
      [point(512), point(128, 64), point(256)],
      `[\n  ${neoxEntry(16)},\n  ${neoxEntry(256, 512)},\n  ${partial(128, 64)},\n]`,
    ],
    [
      "one for each dtype and rope",
      neoxEntry(16),
      [point(64, 64, { dtype: "f16" }), point(64, 64, { rope: "interleaved" })],
      `[\n  ${neoxEntry(16)},\n  { headDim: [64], rope: ["neox"], dtype: ["f16"] },\n  { headDim: [64], rope: ["interleaved"], dtype: ["bf16"] },\n]`,
    ],
    [
      "of those only that are missing",
      neoxEntry(128, 256),
      [point(256), point(512), point(512)],
      `[\n  ${neoxEntry(128, 256)},\n  ${neoxEntry(512)},\n]`,
    ],
    ["none where all are there", neoxEntry(128, 256), [point(256), point(128)], neoxEntry(128, 256)],
  ])("%s", (_, before, points, after) => {
    expect(append(spaceOf(before), points)).toBe(spaceOf(after));
  });

  it("in a file with CRLF and a byte order mark, which stay", () => {
    const before = `\ufeff${withCrlf(spaceOf(`{\n  headDim: [64],\n  rope: ["neox"],\n  dtype: ["bf16"],\n}`))}`;
    const list = `[\n  {\n    headDim: [64],\n    rope: ["neox"],\n    dtype: ["bf16"],\n  },\n  ${neoxEntry(128)},\n]`;
    const config = writeConfig(before);
    appendTo(config, [point(128)]).write();
    expect(readFileSync(config, "utf8")).toBe(`\ufeff${withCrlf(spaceOf(list))}`);
    appendTo(config, [point(256)]).write();
    const longer = list.replace("\n]", `\n  ${neoxEntry(256)},\n]`);
    expect(readFileSync(config, "utf8")).toBe(`\ufeff${withCrlf(spaceOf(longer))}`);
  });

  it.each<[string, string, string, Texts?]>([
    [
      "a const that holds one object",
      `const entry = ${neoxEntry(64)} as const;\nexport default defineSpace(qkNormRope, entry);\n`,
      `const entry = ${neoxEntry(64)} as const;\nexport default defineSpace(qkNormRope, [\n  entry,\n  ${neoxEntry(128)},\n]);\n`,
    ],
    [
      "a const that holds a list",
      `const entries = [${neoxEntry(64)}] as const;\nexport default defineSpace(qkNormRope, entries);\n`,
      `const entries = [${neoxEntry(64)}, ${neoxEntry(128)}] as const;\nexport default defineSpace(qkNormRope, entries);\n`,
    ],
    [
      "a list of another file, which stays as it is",
      `import { entries } from "./entries.js";\nexport default defineSpace(qkNormRope, entries);\n`,
      `import { entries } from "./entries.js";\nexport default defineSpace(qkNormRope, [\n  ...entries,\n  ${neoxEntry(128)},\n]);\n`,
      { "entries.ts": `export const entries = [${neoxEntry(64)}] as const;\n` },
    ],
    [
      "spreads in a list",
      `const common = { rope: ["neox"], dtype: ["bf16"] } as const;\nexport default defineSpace(qkNormRope, [{ headDim: [64], ...common }]);\n`,
      `const common = { rope: ["neox"], dtype: ["bf16"] } as const;\nexport default defineSpace(qkNormRope, [{ headDim: [64], ...common }, ${neoxEntry(128)}]);\n`,
    ],
  ])("beside %s", (_, before, after, imported = {}) => {
    expect(append(IMPORT + before, [point(128)], imported)).toBe(IMPORT + after);
  });

  it("one model after the other", () => {
    const config = writeConfig(neoxSpace(16));
    for (const each of [point(128), point(128, 64), point(256), point(64)]) {
      appendTo(config, [each]).write();
    }
    const entries = [neoxEntry(16), neoxEntry(128), partial(128, 64), neoxEntry(256), neoxEntry(64)];
    expect(readFileSync(config, "utf8")).toBe(spaceOf(`[\n  ${entries.join(",\n  ")},\n]`));
  });
});

it("any points go into any config", () => {
  const anyPoint = fc
    .record({
      headDim: fc.constantFrom(16, 64, 128, 256),
      part: fc.constantFrom(1, 2, 4),
      rope: fc.constantFrom("neox" as const, "interleaved" as const),
      dtype: fc.constantFrom("bf16" as const, "f16" as const),
    })
    .map(({ part, ...rest }) => ({ ...rest, rotaryDim: rest.headDim / part }));
  const some = fc.uniqueArray(anyPoint, {
    minLength: 1,
    maxLength: 5,
    selector: (each) => JSON.stringify(each),
  });
  const entry = ({ headDim, rotaryDim, rope, dtype }: ConfigPoint) =>
    `{ headDim: [${headDim}], rotaryDim: [${rotaryDim}], rope: ["${rope}"], dtype: ["${dtype}"] }`;
  fc.assert(
    fc.property(some, some, fc.constantFrom(", ", ",\n  "), (there, wanted, between) => {
      const [first, ...more] = there.map(entry);
      const list =
        between === ", "
          ? `[${[first, ...more].join(between)}]`
          : `[\n  ${there.map(entry).join(between)},\n]`;
      append(spaceOf(more.length === 0 ? `${first}` : list), wanted);
    }),
    { numRuns: 10 },
  );
});

describe("what the config's op does not allow", () => {
  it.each<[string, Parameters<typeof opConfig>[0], ConfigPoint, string | undefined]>([
    ["nothing of it", {}, point(128), undefined],
    [
      "a head_dim",
      { headDim: "multipleOf(8, { min: 16, max: 64 })" },
      point(128),
      "headDim 128 is not a multiple of 8 from 16 to 64",
    ],
    [
      "a dtype",
      { dtype: 'oneOf("bf16")' },
      point(64, 64, { dtype: "f16" }),
      'dtype f16 is not one of "bf16"',
    ],
    ["more to rotate than there is", {}, point(64, 128), "rotaryDim 128 is more than headDim 64"],
  ])("is said: %s", (_, parts, wanted, problem) => {
    expect(appendTo(writeConfig(opConfig(parts)), [wanted]).kernels[0]?.problem).toBe(problem);
  });
});

describe("the file", () => {
  it("keeps its permissions", () => {
    const config = writeConfig(neoxSpace(16));
    chmodSync(config, 0o600);
    appendTo(config, [point(32)]).write();
    expect(idsOf(config)).toHaveLength(2);
    expect(statSync(config).mode & 0o777).toBe(0o600);
  });

  it("stays a link where it is one, and what it leads to is edited", () => {
    const config = writeConfig(neoxSpace(16));
    const real = join(dirname(config), "real.ts");
    renameSync(config, real);
    symlinkSync("real.ts", config);
    appendTo(config, [point(32)]).write();
    expect(readFileSync(real, "utf8")).toContain(neoxEntry(32));
    expect(lstatSync(config).isSymbolicLink()).toBe(true);
  });

  it("with an error in it is left as it is", () => {
    const text = spaceOf(`{ headDim: [65], rope: ["neox"], dtype: ["bf16"] }`);
    const config = writeConfig("");
    writeFileSync(config, text);
    const found = diagnosticsOf(() => appendTo(config, [point(32)]));
    expect(found.map(({ code }) => code)).toEqual(["value-not-in-axis"]);
    expect(readFileSync(config, "utf8")).toBe(text);
    expect(readdirSync(dirname(config))).toEqual([basename(config)]);
  });
});
