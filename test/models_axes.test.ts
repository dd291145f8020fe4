/** What becomes axis values: rows of positions, the model's own rounding, layers that differ. */
import { describe, expect, it } from "vitest";
import { pairAxes } from "../runtime/index.js";
import {
  ACME,
  BARE,
  type Fields,
  imported,
  OPS_CONFIG,
  printed,
  project,
  QWEN3,
  tablesIn,
} from "./model_project.js";
import { each, expectTable, frequency, yarn } from "./rope_definitions.js";

describe("several rows of positions", () => {
  it.each<
    [
      type: string,
      fields: Fields,
      id: string,
      sections: readonly number[],
      layout: "sectioned" | "interleaved",
    ]
  >([
    ["qwen2_vl", {}, "d128_r128_neox_nonorm_p3", [16, 24, 24], "sectioned"],
    [
      "qwen2_5_vl",
      { rope_scaling: { type: "mrope", mrope_section: [16, 16, 32] } },
      "d128_r128_neox_nonorm_p3",
      [16, 16, 32],
      "sectioned",
    ],
    ["qwen3_vl", {}, "d128_r128_neox_p3", [24, 20, 20], "interleaved"],
    ["qwen3_5", {}, "d256_r64_neox_w1p_p3", [11, 11, 10], "interleaved"],
    ["glm4v", { partial_rotary_factor: 0.5 }, "d128_r64_interleaved_nonorm_p3", [8, 12, 12], "sectioned"],
    ["glm4v_moe", {}, "d128_r64_neox_nonorm_p3", [8, 12, 12], "sectioned"],
    ["glm_ocr", { partial_rotary_factor: 0.5 }, "d128_r64_interleaved_nonorm_p3", [8, 12, 12], "sectioned"],
    ["paddleocr_vl", {}, "d128_r128_neox_nonorm_p3", [16, 24, 24], "sectioned"],
  ])("%s %j", async (model_type, fields, id, sections, layout) => {
    const model = { ...BARE, model_type, rope_theta: 1e6, ...fields };
    const { layers } = await imported(model);
    expect(layers[0].id).toBe(`qk_norm_rope__bf16_${id}`);
    const { call, python, ...options } = layers[0].pairAxes;
    expect(options).toEqual({ sections, layout });
    // The call that is printed, run.
    const made: Uint8Array = new Function("pairAxes", `return ${call}`)(pairAxes);
    expect(made).toEqual(pairAxes({ sections, layout }));
    expect(python).toMatch(/^torch\.tensor\(.*, dtype=torch\.uint8\)$/);
    const text = await imported(model, "--text-only");
    expect(text.layers[0]).toMatchObject({
      id: `qk_norm_rope__bf16_${id.replace("_p3", "")}`,
      pairAxes: null,
    });
  });

  it.each([[[16, 24]], [[16, 24, 25]], [["a", 1, 2]], [7]])(
    "sections that do not fit: %j",
    async (mrope_section) => {
      const model = { ...BARE, model_type: "qwen2_vl", rope_scaling: { mrope_section } };
      const err = await project(model).refuses();
      expect(err).toMatch(/\[bad-model-config\].*mrope_section is .*\n.*3 whole numbers whose sum is 64/);
    },
  );

  it("HunYuan's pairs are torn: text alone is left", async () => {
    const rope_scaling = { type: "xdrope", alpha: 1000, xdrope_section: [16, 16, 16, 16] };
    const model = { ...BARE, model_type: "hunyuan_vl", rope_scaling, rope_theta: 1e4 };
    expect(await project(model).refuses()).toMatch(/different rows of positions.*\n.*add --text-only$/);
    const { layers } = await imported(model, "--text-only");
    expect(layers[0].id).toBe("qk_rope_norm__bf16_d128_r128_neox");
    expect(layers[0].tables[0].parameters.scaling).toEqual({ type: "alpha", alpha: 1000 });
  });

  it("of a type that is not known, the layout is not known either", async () => {
    const model = { ...ACME, rope_scaling: { mrope_section: [16, 24, 24] } };
    const flags = "--head rotate(norm(x)) --rope neox --weight plain".split(" ");
    expect(await project(model).refuses(...flags)).toMatch(/layout that is not known.*\n.*add --text-only$/);
    expect((await imported(model, ...flags, "--text-only")).layers[0].id).toBe(
      "qk_norm_rope__bf16_d128_r128_neox",
    );
  });

  it("--text-only says nothing of what sees", async () => {
    const model = { ...QWEN3, text_config: QWEN3, vision_config: { model_type: "siglip_vision_model" } };
    expect((await imported(model)).remarks.join()).toMatch(
      /vision_config \(siglip_vision_model\) is not imported/,
    );
    expect((await imported(model, "--text-only")).remarks.join()).not.toContain("vision_config");
  });
});

describe("--rounding model", () => {
  it.each<[type: string, fields: Fields, id: string]>([
    ["qwen3", {}, "qk_norm_rope__bf16_d128_r128_neox_nearly_cs16_rproducts"],
    ["gemma3_text", {}, "qk_norm_rope__bf16_d256_r256_neox_w1p_nlate_cs16_rproducts"],
    ["gemma4_text", { global_head_dim: 256 }, "qk_norm_rope__bf16_d256_r256_neox_nlate_cs16_rproducts_vnorm"],
    ["llama", {}, "qk_norm_rope__bf16_d128_r128_neox_nonorm_cs16_rproducts"],
    ["ernie4_5", {}, "qk_norm_rope__bf16_d128_r128_interleaved_nonorm_cs32_rsum"],
    ["cohere", { use_qk_norm: true }, "qk_norm_rope__bf16_d128_r128_interleaved_layernorm_nlate_cs16_rsum"],
    ["chameleon", {}, "qk_norm_rope__bf16_d128_r128_neox_layernorm_bias_nearly_cs16_rproducts"],
    ["llama4_text", {}, "qk_rope_norm__bf16_d128_r128_interleaved_noweight_nlate_cs32_rsum"],
    ["exaone4", { layer_types: Array(4).fill("full_attention") }, "qk_norm_rope__bf16_d128_r0_nearly"],
  ])("%s", async (model_type, fields, id) => {
    const { layers, rounding } = await imported({ ...BARE, model_type, ...fields }, "--rounding", "model");
    expect(layers[0].id).toBe(id);
    expect(rounding).toMatch(/^as the model's own code: it r/);
    const rotates = !id.includes("_r0");
    expect(layers[0].tables).toEqual([]);
    if (rotates)
      expect(layers[0].cosSin).toMatch(/^\[positions, \d+\] of (bf16|float32), rows \[cos \| sin\]/);
  });

  it.each<[string, Fields, RegExp]>([
    ["deepseek_v4", { compress_ratios: [0, 4, 4, 4] }, /: q and k round at different places/],
    ["openelm", { head_dim: 64 }, /it is not known where the own code of openelm rounds/],
  ])("is refused for %s", async (model_type, fields, message) => {
    const err = await project({ ...BARE, model_type, ...fields }, OPS_CONFIG).refuses("--rounding", "model");
    expect(err).toMatch(/\[unsupported-model\]/);
    expect(err).toMatch(message);
  });
});

describe("--cache", () => {
  it("makes the kernels of a known model write the KV cache", async () => {
    const { layers } = await imported(QWEN3, "--cache", "e4m3");
    expect(layers[0].id).toBe("qk_norm_rope__bf16_d128_r128_neox_kv8");
  });
});

describe("layers that differ", () => {
  it("Laguna: 10 layers of 48 q heads of which half a head rotates, 30 of 64", async () => {
    const types = each(40, (i) => (i % 4 === 0 ? "full_attention" : "sliding_attention"));
    const { layers } = await imported({
      ...{
        ...BARE,
        model_type: "laguna",
        num_hidden_layers: 40,
        layer_types: types,
        num_attention_heads: 48,
      },
      num_attention_heads_per_layer: each(40, (i) => (i % 4 === 0 ? 48 : 64)),
    });
    expect(layers.map(({ count, heads, rotaryDim }: Fields) => [count, heads, rotaryDim])).toEqual([
      [10, { q: 48, k: 8, v: 8 }, 64],
      [30, { q: 64, k: 8, v: 8 }, 128],
    ]);
    expect(
      layers.map(({ tables }: { tables: { parameters: { base: number } }[] }) => tables[0]?.parameters.base),
    ).toEqual([500_000, 10_000]);
  });

  it.each([[[48, 64]], [7], [[48, 0, 64, 64]]])(
    "heads of each layer that are none: %j",
    async (num_attention_heads_per_layer) => {
      const model = { ...BARE, model_type: "laguna", num_attention_heads: 48, num_attention_heads_per_layer };
      expect(await project(model).refuses()).toMatch(
        /num_attention_heads_per_layer is .*\n.*one for each layer$/,
      );
    },
  );

  it("MiMo-V2: the first layer is full, sliding ones have twice the kv heads; what is not read is named", async () => {
    const { layers, remarks } = await imported({
      ...{ ...BARE, model_type: "mimo_v2_flash", num_attention_heads: 64, num_key_value_heads: 4 },
      ...{ num_hidden_layers: 12, swa_num_key_value_heads: 8, attention_other_setting: {} },
    });
    expect(layers.map(({ count, heads, id }: Fields) => [count, heads, id])).toEqual([
      [3, { q: 64, k: 4, v: 4 }, "qk_norm_rope__bf16_d192_r64_neox_nonorm"],
      [9, { q: 64, k: 8, v: 8 }, "qk_norm_rope__bf16_d192_r64_neox_nonorm"],
    ]);
    expect(remarks.join("\n")).toMatch(/not read: attention_other_setting, swa_num_key_value_heads;/);
    expect(remarks.join("\n")).toMatch(/v has heads of v_head_dim elements, narrower than k's/);
  });

  it("DeepSeek-V4: compressed layers have YaRN, sliding ones none, and the factor of cosine and sine stays 1", () => {
    const text = printed({
      ...{
        ...BARE,
        model_type: "deepseek_v4",
        head_dim: 512,
        num_attention_heads: 64,
        num_key_value_heads: 1,
      },
      ...{ compress_ratios: [0, 128, 4, 128, 4], rope_theta: 1e4, compress_rope_theta: 160_000 },
      rope_scaling: { type: "yarn", factor: 16, original_max_position_embeddings: 65_536 },
    });
    expect(text).toMatch(
      /^1 layer of sliding_attention\n {2}kernel {3}q_norm_kv_norm_rope__bf16_d512_r64_interleaved_trailing$/m,
    );
    const [main, compress, ...more] = tablesIn(text);
    expectTable(main, each(32, frequency(1e4, 64)));
    expectTable(compress, yarn(160_000, 64, 16, 15, 25), 1);
    expect(more).toEqual([]);
  });

  it.each([[undefined], [[0, 4]], [[0, 4, 5, 128]]])(
    "DeepSeek-V4's layers are said: not %j",
    async (compress_ratios) => {
      const model = { ...BARE, model_type: "deepseek_v4", compress_ratios };
      expect(await project(model).refuses()).toMatch(
        /\[bad-model-config\].*compress_ratios is .*\n.*a list of 4 numbers/,
      );
    },
  );

  it("Gemma 4's v has a norm; layers that share k and v leave them out", () => {
    const text = printed({
      ...BARE,
      model_type: "gemma3n_text",
      num_hidden_layers: 20,
      num_kv_shared_layers: 10,
    });
    expect(text.match(/^ {2}kernel {3}qk_norm_rope__bf16_d256_r256_neox_vnorm$/gm)).toHaveLength(4);
    expect(text).toMatch(/32 q of 256 elements; k and v are an earlier layer's, so leave them out/);
  });

  it("LFM2's sliding_attention is a convolution in its code", () => {
    const layer_types = ["sliding_attention", "full_attention", "conv", "conv"];
    const text = printed({ ...BARE, model_type: "lfm2", layer_types });
    expect(text).toMatch(/^1 layer of full_attention$/m);
    expect(text).toMatch(/^3 layers of conv: no kernel$/m);
  });
});

it.each([
  "exaone4_5",
  "gemma4_unified",
  "diffusion_gemma",
  "doge",
  "muse_glimmer_assistant",
  "minimax_m3",
  "stablelm",
  "persimmon",
  "phi",
  "mimo",
])("%s is known", async (model_type) => {
  const fields = { qk_layernorm: true, partial_rotary_factor: model_type === "minimax_m3" ? 0.5 : undefined };
  expect(
    (await imported({ ...BARE, model_type, head_dim: 128, global_head_dim: 128, ...fields })).layers,
  ).not.toEqual([]);
});

it.each<[string, string]>([
  ["stablelm", "qk_norm_rope__bf16_d128_r32_neox_layernorm"],
  ["persimmon", "qk_norm_rope__bf16_d128_r64_neox_layernorm_bias"],
  ["phi", "qk_norm_rope__bf16_d128_r64_neox_layernorm_bias"],
])("%s norms heads with a LayerNorm if it is switched on", async (model_type, id) => {
  const model = { ...BARE, model_type };
  expect((await imported({ ...model, qk_layernorm: true })).layers[0].id).toBe(id);
  expect((await imported({ ...model, qk_layernorm: false })).layers[0].id).toBe(
    id.replace(/layernorm(_bias)?/, "nonorm"),
  );
});
