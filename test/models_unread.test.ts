/** Configs that `import` does not read in whole: what it says of that, and what to do. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readModel } from "../generator/models/model.js";
import { temporaryFolder } from "./helpers.js";
import { ACME, type Fields, project, QWEN3 } from "./model_project.js";

const FLAGS = "--head rotate(norm(x)) --rope neox --weight plain".split(" ");
const LIST = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"];

describe("of a model that is not known", () => {
  it.each<[string, Fields]>([
    ["rope_local_base_freq", { rope_local_base_freq: 1e4 }],
    ["no_rope_layer_interval", { no_rope_layer_interval: 4 }],
    ["num_kv_shared_layers", { num_kv_shared_layers: 2 }],
    ["layer_types", { layer_types: LIST }],
  ])("a remark names what is not read: %s", async (name, fields) => {
    const { code, out } = await project({ ...ACME, ...fields }).run(...FLAGS);
    expect([code, out]).toEqual([0, expect.stringMatching(RegExp(`remark {4}not read, .*: ${name};`))]);
    expect((await project(ACME).run(...FLAGS)).out).not.toContain("not read");
  });

  it.each<[string, Fields, readonly string[], RegExp]>([
    ["use_qk_norm", { use_qk_norm: false }, [], /--head has a norm, and use_qk_norm of the config is false/],
    [
      "rotary_dim",
      { partial_rotary_factor: null, rotary_dim: 64 },
      ["--rotary-dim", "32"],
      /--rotary-dim is 32, and the model's is 64/,
    ],
  ])("a plain contradiction is refused: %s", async (_, fields, flags, message) => {
    const err = await project({ ...ACME, ...fields }).refuses(...FLAGS, ...flags);
    expect(err).toMatch(/\[bad-option\]/);
    expect(err).toMatch(message);
  });

  it("rotary_dim says how much of a head rotates", async () => {
    const model = { ...ACME, partial_rotary_factor: null, rotary_dim: 64 };
    expect((await project(model).run(...FLAGS)).out).toContain("d128_r64_neox");
  });

  it.each(["47", "98"])("--rotary-dim %s of heads of 96: the fix names the flag", async (rotaryDim) => {
    const model = { ...ACME, head_dim: 96, partial_rotary_factor: null };
    const err = await project(model).refuses(...FLAGS, "--rotary-dim", rotaryDim);
    expect(err).toMatch(/\[bad-option\].*\n {2}fix: write --rotary-dim with an even number from 2 to 96$/);
  });
});

it("NaN and infinity, which Python writes, are read where nothing needs them, and texts stay texts", async () => {
  const more =
    '"time_step_limit": [0.0, Infinity], "floor": -Infinity, "dropout": NaN, "note": "x: \\"NaN\\", Infinity"';
  const { code, out } = await project(JSON.stringify(QWEN3).replace(/\}$/, `, ${more}}`)).run();
  expect([code, out]).toEqual([0, expect.stringContaining("qk_norm_rope__bf16_d128_r128_neox")]);
});

describe("the fix says what to do about", () => {
  const model = { ...ACME, model_type: "qwen3", head_dim: 128 };
  const text = JSON.stringify(model);
  const utf16 = Buffer.from(text, "utf16le");

  it.each<[string, string | Buffer, RegExp]>([
    ["a comment", text.replace("{", "{\n// mine\n"), /fix: JSON has no comments/],
    ["an empty file", "", /fix: it is empty: download it again/],
    [
      "UTF-16",
      Buffer.concat([Buffer.from([0xff, 0xfe]), utf16]),
      /no text in UTF-8\n {2}fix: write it as UTF-8/,
    ],
    ["what is no JSON at all", "x", /fix: name the config\.json of a Hugging Face model/],
  ])("%s", (_, bytes, message) => {
    const path = join(temporaryFolder(), "config.json");
    writeFileSync(path, bytes);
    expect(() => readModel(path, { axes: {}, tp: 1 })).toThrow(message);
  });

  it("a dtype of the prototype chain", async () => {
    const err = await project({ ...model, torch_dtype: "constructor" }).refuses();
    expect(err).toMatch(/\[missing-model-fact\].*torch_dtype is "constructor"/);
  });

  it("an axis of the config's op that is too narrow", async () => {
    const err = await project({ ...model, head_dim: 2048 }).refuses();
    expect(err).toMatch(/\[unsupported-model\][\s\S]*fix: widen headDim where the op is your own/);
  });

  it.each([[["1"]], [[99]], [[-1]], [[2.5]]])("layers that are none: %j", async (full_attn_idxs) => {
    const err = await project({ ...model, model_type: "lfm2", full_attn_idxs }).refuses();
    expect(err).toMatch(/\[bad-model-config\].*full_attn_idxs is .*\n.*a list of layers, from 0 to 3$/);
  });

  it.each(["gemma4_text", "qwen3"])("per_layer_config of %s", async (model_type) => {
    const per_layer_config = { "05": { head_dim: 512, num_key_value_heads: 2 } };
    const err = await project({ ...model, model_type, per_layer_config }).refuses();
    expect(err).toMatch(/\[unsupported-model\].*per_layer_config.*\n.*that the model was published with/);
    expect((await project({ ...model, per_layer_config: {} }).run()).code).toBe(0);
  });
});
