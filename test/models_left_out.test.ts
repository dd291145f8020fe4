/** Fields that a config leaves out: what the model's own code takes, told in a remark, or an error. */
import { describe, expect, it } from "vitest";
import { type Fields, OPS_CONFIG, project } from "./model_project.js";

/** What every config here says. */
const HEADS: Fields = {
  ...{ hidden_size: 4096, num_attention_heads: 32, head_dim: 128, num_hidden_layers: 8 },
  ...{ torch_dtype: "bfloat16", rms_norm_eps: 1e-6, rope_theta: 1e6, use_qk_norm: true },
};

async function imported(fields: Fields, ...flags: readonly string[]) {
  const { code, out, err } = await project(fields).run(...flags);
  expect([code, err]).toEqual([0, ""]);
  return out;
}

describe("num_key_value_heads", () => {
  it.each<[string, number]>([
    ...(["qwen3", "dots1", "exaone4", "exaone_moe"] as const).map((type): [string, number] => [type, 32]),
    ...(["hy_v3", "glm4_moe", "lfm2", "lfm2_moe"] as const).map((type): [string, number] => [type, 8]),
    ...(["qwen3_moe", "mellum"] as const).map((type): [string, number] => [type, 4]),
  ])("%s takes %d", async (model_type, heads) => {
    const out = await imported({ ...HEADS, model_type });
    expect(out).toContain(`32 q, ${heads} k, ${heads} v`);
    expect(out).toMatch(RegExp(`remark {4}the config leaves out .*num_key_value_heads ${heads}\\b`));
  });

  it.each(["apertus", "afmoe"])("%s takes as many as q", async (model_type) => {
    expect(await imported({ ...HEADS, model_type })).toContain("32 q, 32 k, 32 v");
  });

  it("null is as many as q", async () => {
    const out = await imported({ ...HEADS, model_type: "qwen3_moe", num_key_value_heads: null });
    expect(out).toContain("32 q, 32 k, 32 v");
  });

  it("where nothing is known of it, it is asked for", async () => {
    const model = { ...HEADS, model_type: "bailing_moe_v2", partial_rotary_factor: 1 };
    const err = await project(model).refuses();
    expect(err).toMatch(/\[missing-model-fact\].*num_key_value_heads is missing\n.*null means as many/);
    expect(await imported({ ...model, num_key_value_heads: null })).toContain("32 q, 32 k, 32 v");
  });
});

describe("a remark names the default that is taken, where it is read", () => {
  const left = /leaves out fields; .*/;
  const remark = async (fields: Fields) =>
    left.exec(await imported({ ...HEADS, num_key_value_heads: 8, ...fields }))?.[0] ?? "";

  it.each<[string, Fields, readonly string[]]>([
    ["glm4_moe", {}, ["partial_rotary_factor 0.5"]],
    ["exaone4", {}, ["sliding_window 4096", "sliding_window_pattern 4"]],
    ["exaone_moe", { layer_types: Array(8).fill("full_attention") }, ["sliding_window 4096"]],
    ["afmoe", {}, ["global_attn_every_n_layers 4"]],
    ["gemma3n_text", { num_hidden_layers: 20 }, ["num_kv_shared_layers 15"]],
    ["gemma4_text", {}, ["global_head_dim 512", "num_kv_shared_layers 0"]],
    ["lfm2", {}, ["norm_eps 0.00001"]],
    ["exaone4", { rms_norm_eps: undefined }, ["rms_norm_eps 0.00001"]],
    ["qwen3", { rms_norm_eps: undefined }, ["rms_norm_eps 0.000001"]],
  ])("%s %j", async (model_type, fields, names) => {
    const said = await remark({ model_type, ...fields });
    for (const name of names) expect(said).toContain(name);
  });

  it("and none that is said among the parameters of RoPE, or that nothing reads", async () => {
    const rope_parameters = { rope_theta: 1e6, partial_rotary_factor: 0.5 };
    expect(await remark({ model_type: "glm4_moe", rope_parameters })).toBe("");
    const layer_types = Array(8).fill("full_attention");
    expect(await remark({ model_type: "exaone4", layer_types })).not.toContain("pattern");
  });
});

describe("all that transformers 5.18.0's class of the type has a default for: kv heads, widths, bases", () => {
  const bare = { hidden_size: 4096, num_attention_heads: 32, num_hidden_layers: 12, dtype: "bfloat16" };

  it.each<[type: string, kv: number, point: string, bases: readonly number[], beside?: Fields]>([
    ["llama", 32, "qk_norm_rope d128_r128_neox_nonorm", [1e4]],
    ["arcee", 32, "qk_norm_rope d128_r128_neox_nonorm", [1e4]],
    ["mistral", 8, "qk_norm_rope d128_r128_neox_nonorm", [1e4]],
    ["mixtral", 8, "qk_norm_rope d128_r128_neox_nonorm", [1e6]],
    ["qwen2", 32, "qk_norm_rope d128_r128_neox_nonorm", [1e4]],
    ["qwen2_moe", 16, "qk_norm_rope d128_r128_neox_nonorm", [1e4]],
    ["gemma", 16, "qk_norm_rope d256_r256_neox_nonorm", [1e4]],
    ["gemma2", 4, "qk_norm_rope d256_r256_neox_nonorm", [1e4]],
    ["gpt_oss", 8, "qk_norm_rope d64_r64_neox_nonorm", [150000]],
    ["phi3", 32, "qk_norm_rope d128_r128_neox_nonorm", [1e4]],
    ["smollm3", 4, "qk_norm_rope d128_r128_neox_nonorm", [2e6]],
    ["seed_oss", 8, "qk_norm_rope d128_r128_neox_nonorm", [1e4]],
    ["glm4", 2, "qk_norm_rope d128_r64_interleaved_nonorm", [1e4]],
    ["ernie4_5", 2, "qk_norm_rope d128_r128_interleaved_nonorm", [5e5]],
    ["cohere", 32, "qk_norm_rope d128_r128_interleaved_nonorm", [5e5]],
    ["gemma3_text", 4, "qk_norm_rope d256_r256_neox_w1p", [1e4, 1e6]],
    ["qwen3_next", 2, "qk_norm_rope d256_r64_neox_w1p", [1e4]],
    ["minimax_m3_vl_text", 4, "qk_norm_rope d128_r64_neox_w1p", [5e6], { partial_rotary_factor: 0.5 }],
    ["hunyuan_v1_dense", 32, "qk_rope_norm d128_r128_neox", [1e4]],
    ["hunyuan_v1_moe", 32, "qk_rope_norm d128_r128_neox", [1e4]],
    ["llama4_text", 8, "qk_rope_norm d128_r128_interleaved_noweight", [5e5]],
  ])("%s", async (model_type, kv, point, bases, beside) => {
    const { code, out, err } = await project({ ...bare, model_type, ...beside }, OPS_CONFIG).run("--json");
    expect([code, err]).toEqual([0, ""]);
    const { layers } = JSON.parse(out);
    for (const { id, heads } of layers) {
      expect([heads.q, heads.k]).toEqual([32, kv]);
      expect(id.replace("__bf16_", " ")).toBe(point);
    }
    const tables = layers.flatMap(({ tables }: { tables: { parameters: { base: number } }[] }) => tables);
    expect(tables.map(({ parameters }: { parameters: { base: number } }) => parameters.base)).toEqual(bases);
  });

  it("MiniMax-M3 does not say how much of a head rotates: its code and its documentation differ", async () => {
    const model = { ...bare, model_type: "minimax_m3_vl_text", rotary_dim: 64 };
    expect(await project(model).refuses()).toMatch(/\[missing-model-fact\][\s\S]*add --rotary-dim N$/);
  });

  it("Phi-3 reads longrope alone: what it calls yarn is that, too", async () => {
    const rope_scaling = { type: "yarn", factor: 4, original_max_position_embeddings: 4096 };
    const err = await project({ ...bare, model_type: "phi3", rope_scaling }, OPS_CONFIG).refuses();
    expect(err).toMatch(/\[bad-model-config\].*rope_type is "yarn"\n.*one of default, longrope/);
  });
});

describe("num_hidden_layers is missing", () => {
  const { num_hidden_layers, ...uncounted } = HEADS;

  it.each<[string, Fields]>([
    ["every n-th layer is another", { model_type: "exaone4" }],
    ["a list of layers", { model_type: "lfm2", full_attn_idxs: [2] }],
    ["layers that do not rotate", { model_type: "qwen3", no_rope_layers: [1] }],
  ])("an error where layers differ: %s", async (_, fields) => {
    const err = await project({ ...uncounted, ...fields }).refuses();
    expect(err).toMatch(/\[bad-model-config\].*num_hidden_layers is missing/);
  });

  it("none where they are alike, or where layer_types counts them", async () => {
    expect(await imported({ ...uncounted, model_type: "qwen3" })).toMatch(/^layers of full_attention$/m);
    const layer_types = ["sliding_attention", "full_attention"];
    const out = await imported({ ...uncounted, model_type: "exaone4", layer_types });
    expect(out).toMatch(/qk_norm_rope__bf16_d128_r0$/m);
  });
});
