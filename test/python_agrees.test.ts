/** Python and TypeScript make the same tables of the same parameters and configs, and refuse the same parameters. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../generator/diagnostics.js";
import { renderPython } from "../generator/emit/render.js";
import { readTemplates } from "../generator/emit/templates.js";
import { type ModelLayers, readModel } from "../generator/models/model.js";
import { readShippedOp } from "../generator/op_file.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { pythonScalings, SCALINGS_FILE } from "../generator/python/formulas.js";
import { OP_MODULE, pythonOpView } from "../generator/python/op_view.js";
import { snake } from "../generator/python/snake.js";
import { NormropeError } from "../runtime/errors.js";
import { type RopeTable, ropeTable } from "../runtime/rope_table.js";
import { PYTHON_FOLDER, python, pythonEnvironment } from "./python.js";

type Parameters = Readonly<Record<string, unknown>>;

const factors = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i / 8);
const yarn = { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 16384 };
const llama3 = { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4 };
const longrope = { type: "longrope", originalMaxPositionEmbeddings: 4096, maxPositionEmbeddings: 131072 };
const lists = { shortFactor: factors(1, 32), longFactor: factors(2, 32) };

const GOOD: readonly Parameters[] = [
  undefined,
  { type: "linear", factor: 8 },
  { type: "dynamic", factor: 2, maxPositionEmbeddings: 2048, length: 5000 },
  { type: "alpha", alpha: 1000 },
  yarn,
  { ...yarn, betaFast: 16, betaSlow: 2, truncate: false, attentionFactor: 1.5 },
  { ...yarn, mscale: 0.8, mscaleAllDim: 1 },
  { ...yarn, factor: 0.5 },
  { type: "yarn-ramp", factor: 2.5, low: 4, high: 4, attentionFactor: 0.9 },
  { type: "yarn-ramp", factor: 4, low: 3.5, high: 20, attentionFactor: 1 },
  { ...llama3, originalMaxPositionEmbeddings: 8192 },
  { ...llama3, highFreqFactor: 1, originalMaxPositionEmbeddings: 8192 },
  { ...longrope, ...lists },
  { ...longrope, ...lists, length: 4097, factor: 32 },
  { ...longrope, ...lists, maxPositionEmbeddings: undefined, attentionFactor: 1.25 },
  { type: "proportional", partialRotaryFactor: 0.25 },
  { type: "proportional", partialRotaryFactor: 0.3, factor: 8 },
].flatMap((scaling) => [1e4, 1e6, 12345.678].map((base) => ({ base, rotaryDim: 64, scaling })));

const BAD: readonly Parameters[] = [
  { base: 0 },
  { base: "10000" },
  { rotaryDim: 63 },
  { rotaryDim: 0 },
  { rotaryDim: "64" },
  { rotaryDim: 2, scaling: { type: "alpha", alpha: 2 } },
  { base: 1, scaling: yarn },
  ...[
    { type: "linear" },
    { type: "linear", factor: 0 },
    { type: "linear", factor: "8" },
    { type: "linear", factor: 8, beta: 1 },
    { type: "dynamic", factor: 2, maxPositionEmbeddings: 2048 },
    { ...yarn, betaFast: 1, betaSlow: 2 },
    { ...yarn, truncate: 1 },
    { ...yarn, attentionFactor: -1 },
    { ...yarn, originalMaxPositionEmbeddings: undefined },
    { type: "yarn-ramp", factor: 2, low: 3, high: 1, attentionFactor: 1 },
    { ...llama3, originalMaxPositionEmbeddings: 8192, highFreqFactor: 0.5 },
    { ...longrope, ...lists, originalMaxPositionEmbeddings: 1 },
    { ...longrope, ...lists, longFactor: [1, 2] },
    { ...longrope, ...lists, longFactor: [...factors(1, 31), -1] },
    { ...longrope, ...lists, maxPositionEmbeddings: undefined },
    { type: "proportional", partialRotaryFactor: 1.5 },
  ].map((scaling) => ({ scaling })),
];

const withGood = (change: Parameters) => ({ base: 1e4, rotaryDim: 64, ...change });

/** As Python has it: names, and `rope_type` for the type of a scaling, as configs write it. */
function asPython(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name === "type" ? "rope_type" : snake(name),
      asPython(inner),
    ]),
  );
}

const CONFIGS = join(PACKAGE_ROOT, "test", "hf_configs");

/** None of a model that the language has no words for. */
function layersOf(path: string): readonly ModelLayers[] {
  try {
    return readModel(path, { axes: {}, tp: 1, dtype: "bf16" }).layers;
  } catch (error) {
    if (error instanceof UserError) return [];
    throw error;
  }
}

/** The tables that `import` gives the layers of a config. */
function imported(name: string): { asked: Parameters; table: RopeTable }[] {
  const path = join(CONFIGS, name);
  const config = JSON.parse(readFileSync(path, "utf8"));
  return layersOf(path).flatMap(({ types, rope }) =>
    rope.tables.map(({ parameters }) => ({
      table: ropeTable(parameters),
      asked: {
        ...{ config, layer_type: types[0] },
        length: parameters.scaling?.type === "longrope" ? parameters.scaling.length : undefined,
      },
    })),
  );
}

const literal = (text: string) => text.replace(/[[\]]/g, "\\$&");

interface Answer {
  readonly error?: readonly [code: string, message: string, fix: string];
  readonly frequencies?: readonly number[];
  readonly attentionFactor?: number;
}

async function ask(questions: readonly unknown[]): Promise<Answer[]> {
  const { stdout } = await execa(python?.path ?? "", [join(PYTHON_FOLDER, "tests", "tables.py")], {
    input: JSON.stringify(questions),
    env: pythonEnvironment,
  });
  return JSON.parse(stdout);
}

function expectSame(answer: Answer | undefined, { invFreq, attentionFactor }: RopeTable): void {
  expect(answer?.error).toBeUndefined();
  expect(answer?.frequencies).toHaveLength(invFreq.length);
  invFreq.forEach((frequency, i) => {
    // V8's power is off by a unit in the last place here and there, that of C's library hardly ever; 1 - t may lose some.
    const unit = frequency === 0 ? 0 : 2 ** (Math.floor(Math.log2(frequency)) - 52);
    expect(Math.abs((answer?.frequencies?.[i] ?? 0) - frequency)).toBeLessThanOrEqual(8 * unit);
  });
  expect(answer?.attentionFactor).toBeCloseTo(attentionFactor, 14);
}

describe("what `npm run compile` writes for Python", () => {
  it.each([
    ["the scalings", SCALINGS_FILE, pythonScalings],
    ["the functions", OP_MODULE, () => renderPython(readTemplates(), pythonOpView(readShippedOp()))],
  ])("is fresh: %s", (_, file, write) => {
    expect(readFileSync(file, "utf8")).toBe(write());
  });

  it("has the sides of the op", () => {
    const { axes, stages } = readShippedOp();
    const text = renderPython(readTemplates(), pythonOpView({ axes, stages: { k: stages.k, v: stages.q } }));
    expect(text).toContain("    k: Any,\n    v: Any = None,\n    *,\n");
    const k = ["k", "k_out", "k_weight", "k_bias", "k_cache", "k_cache_scale", "k_out_scale"];
    const v = ["v", "v_out", "v_weight", "v_bias", "v_out_scale"];
    expect(text.replaceAll(/\s+/g, " ")).toContain([...k, ...v, "positions"].join(", "));
    expect(text).toContain("    return results\n");
    expect(text).not.toContain("q_weight");
  });

  it("has no input that no stage of a side reads, and no result of a side that is left alone", () => {
    const { axes, stages } = readShippedOp();
    const text = renderPython(readTemplates(), pythonOpView({ axes, stages }));
    for (const name of ["v_weight", "v_bias", "q_cache"]) expect(text).not.toContain(name);
    expect(text).toContain("    return results if v is not None else results[:-1]\n");
    const still = { k: [{ name: "norm", args: { norm: "rms" } }] };
    const stillText = renderPython(readTemplates(), pythonOpView({ axes, stages: still }));
    for (const name of ["k_bias", "positions", "cos_sin", "k_cache", "slots"])
      expect(stillText).not.toContain(` ${name}:`);
    expect(stillText).toContain(" k_weight:");
  });

  it("is no wider than a line", () => {
    const lines = readFileSync(OP_MODULE, "utf8").split("\n");
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });
});

describe.skipIf(python === undefined)("Python and TypeScript agree", () => {
  let good: Answer[];
  let bad: Answer[];
  beforeAll(async () => {
    const questions = [...GOOD, ...BAD.map(withGood)].map((parameters) => ({
      parameters: asPython(parameters),
    }));
    const answers = await ask(questions);
    [good, bad] = [answers.slice(0, GOOD.length), answers.slice(GOOD.length)];
  });

  it.each(GOOD.map((parameters, i) => [JSON.stringify(parameters), parameters, i] as const))(
    "in the table of %s",
    (_, parameters, i) => expectSame(good[i], ropeTable(parameters as never)),
  );

  it.each(BAD.map((change, i) => [JSON.stringify(change), change, i] as const))(
    "in what they say of %s",
    (_, change, i) => {
      let error: unknown;
      try {
        ropeTable(withGood(change) as never);
      } catch (thrown) {
        error = thrown;
      }
      if (!(error instanceof NormropeError)) throw new Error("TypeScript takes it");
      const [code, message, fix] = bad[i]?.error ?? [];
      const field = snake(error.message.slice(0, error.message.indexOf(" is "))).replace(
        ".type",
        ".rope_type",
      );
      expect(code).toBe(error.code);
      expect([message, fix]).toEqual([
        expect.stringMatching(`^${literal(field)} is `),
        expect.stringMatching(`^${literal(field)} must be `),
      ]);
    },
  );

  it("in the tables of the models that they know", async () => {
    const known = readdirSync(CONFIGS).filter((name) => name !== "plamo-2-8b.json"); // which lacks rope_theta
    const tables = known.flatMap(imported);
    expect(tables.length).toBeGreaterThan(20);
    const answers = await ask(tables.map(({ asked }) => asked));
    const unread = answers.filter(({ error }) => error !== undefined);
    tables.forEach(({ table }, i) => {
      if (answers[i]?.error === undefined) expectSame(answers[i], table);
    });
    // What a config leaves out, transformers' own classes fill in: of Gemma 3 the bases of both types, of five models all.
    const messages = unread.map(({ error }) => error?.[1] ?? "");
    expect(messages.filter((message) => message === "config.rope_theta is missing")).toHaveLength(2);
    const whole = "config is an object of type dict, without rope_theta or rope_parameters";
    expect(messages.filter((message) => message === whole)).toHaveLength(5);
    expect(messages).toHaveLength(7);
  });
});
