/** A config with a list of spaces: how it is read, what is refused, and which space an edit goes to. */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { addValues } from "../generator/edit/add.js";
import { add, appendTo } from "./adding.js";
import { neoxEntry, normrope } from "./cli_helpers.js";
import { compileText, DEFAULTS, diagnosticsOf, readMarks, writeConfig } from "./helpers.js";

const HEAD = `import { defineOp, defineSpace, multipleOf, qkNormRope } from "normrope/dsl";
const small = defineOp({ ...qkNormRope, name: "small", ranges: { headDim: multipleOf(16, { min: 16, max: 64 }) } });
`;
const SHIPPED = `defineSpace(qkNormRope, ${neoxEntry(128)})`;
const SMALL = `defineSpace(small, ${neoxEntry(32)})`;
const listOf = (...spaces: string[]) => `${HEAD}export default [${spaces.join(", ")}];\n`;
const BOTH = listOf(SMALL, SHIPPED);
const POINT = { headDim: 64, rotaryDim: 64, rope: "neox", dtype: "bf16", ...DEFAULTS } as const;

describe("a list of spaces", () => {
  it("is the kernels of all, in one order however it is written", () => {
    const [one, other] = [compileText(BOTH), compileText(listOf(SHIPPED, SMALL))];
    expect(one).toEqual(other);
    expect(one.ops.map(({ name }) => name)).toEqual(["qk_norm_rope", "small"]);
    expect(one.plans.map(({ id, op }) => [id, op])).toEqual([
      ["qk_norm_rope__bf16_d128_r128_neox", "qk_norm_rope"],
      ["small_877f07b4__bf16_d32_r32_neox", "small"],
    ]);
  });

  it("may be named, and spread", () => {
    const text = `${HEAD}const first = ${SMALL};\nconst more = [${SHIPPED}];\nexport default [first, ...more] as const;\n`;
    expect(compileText(text)).toEqual(compileText(BOTH));
  });

  it("of one space is that space", () => {
    expect(compileText(listOf(SHIPPED))).toEqual(compileText(`${HEAD}export default ${SHIPPED};\n`));
  });

  it("is listed by op, with what the rules reject of each", async () => {
    const config = writeConfig(
      listOf(SHIPPED, `defineSpace(small, { ...${neoxEntry(16, 32)}, rotaryDim: [32] })`),
    );
    const rows = JSON.parse((await normrope(["list", "--json", "--config", config])).out);
    expect(rows.map(({ op }: { op: string }) => op)).toEqual(["qk_norm_rope", "small"]);
    const { out } = await normrope(["list", "--rejected", "--config", config]);
    expect(out).toMatch(/^small_877f07b4__bf16_d16_r32_neox +rotaryDim_within_headDim/m);
  });

  it.each<[string, string, string, RegExp]>([
    [
      "two ops of one name",
      listOf(SHIPPED, `▸${SHIPPED}`),
      "duplicate-op",
      /called qk_norm_rope too, at .*:3$/,
    ],
    ["something else in it", listOf(SHIPPED, "▸5"), "not-a-space", /`5` is no space/],
    ["an op that is none", listOf(SHIPPED, "▸defineSpace(5 as never, [])"), "not-an-op", /`5 as never`/],
    [
      "a value outside of one op",
      listOf(SHIPPED, `defineSpace(small, { ...${neoxEntry(32)}, headDim: [▸128] })`),
      "value-not-in-axis",
      /128/,
    ],
  ])("with %s is refused", (_, marked, code, message) => {
    const { text, places } = readMarks(marked);
    const [found] = diagnosticsOf(() => compileText(text));
    expect(found).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(found?.span).toMatchObject(places[0] ?? {});
  });

  it("that is empty is refused", () => {
    expect(diagnosticsOf(() => compileText(listOf()))).toMatchObject([{ code: "not-a-space" }]);
  });
});

describe("add", () => {
  it("goes to the only entry of the op that is named", () => {
    const named = add(BOTH, ["headDim", ["256"], undefined, "qk_norm_rope"]);
    expect(named).toBe(BOTH.replace(neoxEntry(128), neoxEntry(128, 256)));
  });

  it("counts the entries of all spaces", () => {
    expect(add(BOTH, ["headDim", ["48"], 1])).toBe(BOTH.replace(neoxEntry(32), neoxEntry(32, 48)));
    expect(add(BOTH, ["dtype", ["f16"], 2])).toBe(
      listOf(SMALL, SHIPPED.replace('["bf16"]', '["bf16", "f16"]')),
    );
  });

  it("asks for one of several, with their lines and ops", () => {
    const [found] = diagnosticsOf(() => add(BOTH, ["headDim", ["48"]]));
    expect(found).toMatchObject({
      code: "entry-needed",
      message: expect.stringMatching(/1 \(line 3, of small\), 2 \(line 3, of qk_norm_rope\)$/),
    });
    expect(diagnosticsOf(() => add(BOTH, ["headDim", ["48"], 3]))).toMatchObject([
      { code: "bad-option", message: "--entry is 3" },
    ]);
  });

  it("writes an entry beside the one that it is for", () => {
    expect(add(BOTH, ["rotaryDim", ["16"], 1])).toContain(
      `defineSpace(small, [\n  ${neoxEntry(32)},\n  { headDim: [32], rotaryDim: [16], rope: ["neox"], dtype: ["bf16"] },\n])`,
    );
  });

  it("takes --op in the place of --entry", () => {
    const config = writeConfig(BOTH);
    expect(addValues(config, "headDim", ["48"], undefined, "small")).toEqual([
      "small_877f07b4__bf16_d48_r48_neox",
    ]);
    expect(diagnosticsOf(() => addValues(config, "headDim", ["48"], undefined, "large"))).toMatchObject([
      { code: "bad-option", message: '--op is "large"', fix: expect.stringContaining("small, qk_norm_rope") },
    ]);
  });

  it("keeps the indentation of a list on lines", () => {
    const text = `${HEAD}export default [\n  ${SMALL},\n  ${SHIPPED},\n];\n`;
    const entry = '{ headDim: [32], rotaryDim: [16], rope: ["neox"], dtype: ["bf16"] }';
    expect(add(text, ["rotaryDim", ["16"], 1])).toBe(
      `${HEAD}export default [\n  defineSpace(small, [\n    ${neoxEntry(32)},\n    ${entry},\n  ]),\n  ${SHIPPED},\n];\n`,
    );
  });

  it("edits no other file", () => {
    const space = `${HEAD}export const own = ${SMALL};\n`;
    const text = `import { own } from "./own.js";\nexport default own;\n`;
    const config = writeConfig(text, { "own.ts": space });
    const [found] = diagnosticsOf(() => appendTo(config, [POINT]));
    expect(found).toMatchObject({ code: "unsupported-expression", message: "the space is in another file" });
    expect(readFileSync(join(dirname(config), "own.ts"), "utf8")).toBe(space);
  });
});

describe("import", () => {
  const model = { model_type: "qwen3", dtype: "bfloat16", hidden_size: 4096, num_attention_heads: 32 };
  const fields = { ...model, num_key_value_heads: 8, head_dim: 64, num_hidden_layers: 2, rms_norm_eps: 1e-6 };
  const theta = { rope_theta: 1e6, max_position_embeddings: 40960 };
  function imported(text: string, ...options: string[]) {
    const config = writeConfig(text);
    const path = join(dirname(config), "config.json");
    writeFileSync(path, JSON.stringify({ ...fields, ...theta }));
    return normrope(["import", path, "--config", config, ...options]);
  }

  it("goes to the space that --op names, and asks for it where several can be meant", async () => {
    const refused = await imported(BOTH);
    expect(refused.err).toMatch(/\[op-needed\].*small, qk_norm_rope[\s\S]*--op NAME/);
    expect((await imported(BOTH, "--op", "small")).out).toContain("small_877f07b4__bf16_d64_r64_neox");
    expect((await imported(BOTH, "--op", "qk_norm_rope")).out).toContain(" qk_norm_rope__bf16_d64_r64_neox");
    expect((await imported(BOTH, "--op", "large")).err).toMatch(
      /\[bad-option\]: --op is "large"[\s\S]*small/,
    );
  });

  it("needs no --op where there is one space", async () => {
    expect((await imported(listOf(SMALL))).out).toContain("small_877f07b4__bf16_d64_r64_neox");
  });
});
