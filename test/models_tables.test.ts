/**
 * The calls that `import` prints, run: the tables that they make, against the definitions of the scalings, written down
 * here once more, and against values that were worked out from them.
 */
import { describe, expect, it } from "vitest";
import { type Fields, printed, QWEN3, tablesIn } from "./model_project.js";
import { each, expectTable, frequency, llama3, yarn } from "./rope_definitions.js";

const factors = (from: number) => each(64, (i) => from + i / 8);

type Scaling = readonly [
  what: string,
  base: number,
  parameters: Fields,
  beside: Fields,
  tables: readonly (readonly [frequencies: readonly number[], attentionFactor?: number])[],
];

const SCALINGS: readonly Scaling[] = [
  ["none", 1e6, { rope_type: "default" }, {}, [[each(64, frequency(1e6, 128))]]],
  ["linear", 1e6, { rope_type: "linear", factor: 8 }, {}, [[each(64, (i) => frequency(1e6, 128)(i) / 8)]]],
  [
    "yarn, ends 20 and 37 worked out, 0.1 ln 16 + 1",
    1e6,
    { rope_type: "yarn", factor: 16, original_max_position_embeddings: 16384 },
    {},
    [[yarn(1e6, 128, 16, 20, 37), 0.1 * Math.log(16) + 1]],
  ],
  [
    "yarn of OLMo-3's ends, 18 and 35, with an attention factor",
    5e5,
    {
      ...{
        rope_type: "yarn",
        factor: 8,
        original_max_position_embeddings: 8192,
        beta_fast: 32,
        beta_slow: 1,
      },
      attention_factor: 1.5,
    },
    {},
    [[yarn(5e5, 128, 8, 18, 35), 1.5]],
  ],
  [
    "yarn of gpt-oss, whose ends are not rounded",
    150000,
    { rope_type: "yarn", factor: 32, original_max_position_embeddings: 4096, truncate: false },
    { head_dim: 64 },
    [
      [
        yarn(
          ...[150000, 64, 32],
          (32 * Math.log(4096 / (64 * Math.PI))) / Math.log(150000),
          (32 * Math.log(4096 / (2 * Math.PI))) / Math.log(150000),
        ),
        1.3465735902799727,
      ],
    ],
  ],
  [
    "yarn of DeepSeek-V3, whose two mscales leave a factor of 1",
    1e4,
    {
      ...{ rope_type: "yarn", factor: 40, original_max_position_embeddings: 4096 },
      ...{ mscale: 1, mscale_all_dim: 1 },
    },
    { head_dim: 64 },
    [[yarn(1e4, 64, 40, 10, 23), 1]],
  ],
  [
    "yarn of Kimi-K2, whose ramp is one index wide",
    5e4,
    {
      ...{ rope_type: "yarn", factor: 32, original_max_position_embeddings: 4096 },
      ...{ beta_fast: 1, beta_slow: 1, mscale: 1, mscale_all_dim: 1 },
    },
    { head_dim: 64 },
    [[yarn(5e4, 64, 32, 19, 20), 1]],
  ],
  [
    "yarn without a factor: the longest context over the original one",
    1e6,
    { rope_type: "yarn", factor: null, original_max_position_embeddings: 16384 },
    { max_position_embeddings: 262144 },
    [[yarn(1e6, 128, 16, 20, 37), 0.1 * Math.log(16) + 1]],
  ],
  [
    "llama3 of EXAONE 4",
    1e6,
    {
      ...{ rope_type: "llama3", factor: 16, original_max_position_embeddings: 8192 },
      ...{ low_freq_factor: 1, high_freq_factor: 4 },
    },
    {},
    [[llama3(1e6, 128, 16, [1, 4], 8192)]],
  ],
  [
    "dynamic, which is none up to the longest context",
    1e6,
    { rope_type: "dynamic", factor: 4 },
    {},
    [[each(64, frequency(1e6, 128))]],
  ],
  [
    "HunYuan's alpha: the base of Hy3-preview",
    1e4,
    { rope_type: "dynamic", factor: 1, alpha: 1000 },
    { model_type: "acme", partial_rotary_factor: 1 },
    [[each(64, frequency(1e4 * 1000 ** (128 / 126), 128))]],
  ],
  [
    "longrope, of which the original context stands outside and counts, and 32 times that",
    1e4,
    {
      ...{ rope_type: "longrope", original_max_position_embeddings: 1 },
      ...{ short_factor: factors(1), long_factor: factors(2) },
    },
    { max_position_embeddings: 131072, original_max_position_embeddings: 4096 },
    [
      [each(64, (i) => frequency(1e4, 128)(i) / (1 + i / 8)), 1.1902380714238083],
      [each(64, (i) => frequency(1e4, 128)(i) / (2 + i / 8)), 1.1902380714238083],
    ],
  ],
  [
    "proportional: a quarter of the pairs of the whole head turns",
    1e6,
    { rope_type: "proportional", partial_rotary_factor: 0.25 },
    { head_dim: 512 },
    [[each(256, (i) => (i < 64 ? frequency(1e6, 512)(i) : 0))]],
  ],
  [
    "part of the head",
    5e6,
    { rope_type: "default", partial_rotary_factor: 0.34 }, // 0.34 · 96 = 32.6
    { head_dim: 96, model_type: "qwen3_next", layer_types: each(36, () => "full_attention") },
    [[each(16, frequency(5e6, 32))]],
  ],
];

/** By layer type, a length beside the parameters is none. */
const lengthIn = ({ original_max_position_embeddings }: Fields): Fields =>
  original_max_position_embeddings === undefined ? {} : { original_max_position_embeddings };

describe.each<Scaling>(SCALINGS)("%s", (_, base, parameters, beside, expected) => {
  const { rope_type: type, ...rest } = parameters;
  it.each<[string, Fields]>([
    ["rope_theta and rope_scaling", { rope_theta: base, rope_scaling: parameters }],
    ["rope_scaling with `type`", { rope_theta: base, rope_scaling: { type, ...rest } }],
    ["rope_parameters", { rope_parameters: { rope_theta: base, ...parameters } }],
    ["rope_parameters, and rope_theta beside them", { rope_theta: base, rope_parameters: parameters }],
    [
      "both, of which one is null",
      { rope_scaling: null, rope_parameters: { rope_theta: base, ...parameters } },
    ],
    [
      "rope_parameters by layer type",
      {
        layer_types: each(36, () => "full_attention"),
        rope_parameters: { full_attention: { rope_theta: base, ...parameters, ...lengthIn(beside) } },
      },
    ],
  ])("as %s", (form, rope) => {
    // The sources of transformers look for `truncate` outside the layer types.
    const isIgnored = form.endsWith("layer type") && parameters.truncate === false;
    const text = printed({ ...QWEN3, ...beside, ...rope });
    const tables = tablesIn(text);
    expect(tables).toHaveLength(expected.length);
    if (isIgnored) {
      expect(text).toMatch(/truncate is not read/);
      return expectTable(tables[0], yarn(150000, 64, 32, 8, 18), 1.3465735902799727);
    }
    expected.forEach(([frequencies, attentionFactor], i) => {
      expectTable(tables[i], frequencies, attentionFactor);
    });
  });
});

describe("what a table cannot say is said beside it:", () => {
  it.each<[string, Fields, RegExp]>([
    [
      "a table for one length",
      { rope_theta: 1e6, rope_scaling: { rope_type: "dynamic", factor: 2 } },
      /\/\/ sequences of up to 40960 tokens[\s\S]*a table is for one `length`, in tokens/,
    ],
    [
      "short and long sequences",
      {
        ...{ rope_theta: 1e4, original_max_position_embeddings: 4096 },
        rope_scaling: { type: "longrope", short_factor: factors(1), long_factor: factors(2) },
      },
      /\/\/ batches of up to 4096 tokens a sequence\n {2}python .*\n.*length: 40960.*\/\/ longer ones/,
    ],
    [
      "the softmax scale",
      {
        rope_theta: 1e6,
        rope_scaling: {
          ...{ type: "yarn", factor: 4, original_max_position_embeddings: 4096 },
          ...{ mscale: 1, mscale_all_dim: 1 },
        },
      },
      /remark {4}mscale_all_dim: .*softmax scale/,
    ],
    [
      "an original context that is left out",
      { rope_theta: 1e6, rope_scaling: { type: "yarn", factor: 4 } },
      /originalMaxPositionEmbeddings: 40960[\s\S]*remark {4}rope_scaling\.original_max_position_embeddings is left out/,
    ],
    [
      "a field that no formula has",
      { rope_parameters: { rope_theta: 1e6, rope_type: "default", warmth: 3 } },
      /remark {4}rope_parameters\.warmth is not read/,
    ],
    [
      "a base that is left out",
      {},
      /base: 10000,[\s\S]*remark {4}the config leaves out .*: rope_theta 10000$/m,
    ],
    [
      "a head_dim that is left out: the class's, not the width's share",
      { head_dim: undefined, hidden_size: 2048, rope_theta: 1e6 },
      /d128_r128_neox[\s\S]*remark {4}the config leaves out .*head_dim 128/,
    ],
  ])("%s", (_, rope, message) => {
    expect(printed({ ...QWEN3, ...rope })).toMatch(message);
  });

  it("layers without RoPE: a kernel that norms alone, and no table", () => {
    const exaone = {
      ...QWEN3,
      model_type: "exaone4",
      rope_theta: 1e6,
      sliding_window: 4096,
      num_hidden_layers: 8,
    };
    const text = printed(exaone);
    expect(text).toMatch(
      /^2 layers of full_attention\n {2}kernel {3}qk_norm_rope__bf16_d128_r0\n.*\n {2}eps .*\n\n/m,
    );
    const [turning, ...more] = tablesIn(text);
    expectTable(turning, each(64, frequency(1e6, 128)));
    expect(more).toEqual([]);
    const rope = { rope_parameters: { sliding_attention: { rope_theta: 1e6 } } };
    expect(tablesIn(printed({ ...exaone, ...rope }))).toHaveLength(1);
    const everyLayerTurns = tablesIn(printed({ ...exaone, sliding_window: null }));
    expect(everyLayerTurns).toHaveLength(1);
    expectTable(everyLayerTurns[0], each(64, frequency(1e6, 128)));
  });

  it("nanochat's angles are negative: with each frequency a whole turn less", () => {
    const [table] = tablesIn(printed({ ...QWEN3, model_type: "nanochat" }));
    expectTable(
      table,
      each(64, (i) => 2 * Math.PI - frequency(1e4, 128)(i)),
    );
  });

  it("Python's call has the same parameters, and YaRN's ramp stands beside it", () => {
    const rope_scaling = {
      rope_type: "yarn",
      factor: 16,
      original_max_position_embeddings: 16384,
      truncate: true,
    };
    const text = printed({ ...QWEN3, rope_theta: 1e6, rope_scaling });
    expect(text).toContain(
      'RopeTable(base=1000000, rotary_dim=128, scaling={"rope_type": "yarn", "factor": 16, "original_max_position_embeddings": 16384, "truncate": True})',
    );
    expect(text).toMatch(/^ {2}ramp {5}factor 16, low 20, high 37, attention factor 1\.2772588722239782$/m);
  });

  it("two tables of two bases, of the layer types", () => {
    const mellum = { ...QWEN3, model_type: "mellum", num_hidden_layers: 2 };
    const layerTypes = { layer_types: ["sliding_attention", "full_attention"] };
    const [slides, full] = tablesIn(printed({ ...mellum, ...layerTypes }));
    expectTable(slides, each(64, frequency(1e4, 128)));
    expectTable(full, each(64, frequency(5e5, 128)));
  });
});
