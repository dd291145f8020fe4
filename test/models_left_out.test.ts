/** Fields that a config leaves out: what the model's own code takes, told in a remark, or an error. */
import { describe, expect, it } from "vitest";
import { type Fields, project } from "./model_project.js";

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
    expect(err).toMatch(/\[missing-model-fact\].*num_key_value_heads is missing\n.*null says as many/);
    expect(await imported({ ...model, num_key_value_heads: null })).toContain("32 q, 32 k, 32 v");
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
    expect(out).toContain("tableOf(new Float64Array(64), 1)");
  });
});
