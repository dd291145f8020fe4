/** Corners of what configs say of RoPE, read as transformers 5.18.0 reads them. */
import { describe, expect, it } from "vitest";
import { type Fields, printed, project, QWEN3, tablesIn } from "./model_project.js";
import { each, expectTable, frequency } from "./rope_definitions.js";

const YARN = { rope_type: "yarn", rope_theta: 1e6, factor: 4, original_max_position_embeddings: 4096 };
const layer_types = each(36, () => "full_attention");
const byType = (entry: Fields, beside: Fields = {}) => ({
  ...QWEN3,
  layer_types,
  rope_parameters: { full_attention: entry, ...beside },
});

describe("yarn's truncate", () => {
  it.each<[string, Fields, boolean]>([
    ["null is a no", { ...QWEN3, rope_parameters: { ...YARN, truncate: null } }, true],
    ["true is a yes", { ...QWEN3, rope_parameters: { ...YARN, truncate: true } }, false],
    ["so is nothing", { ...QWEN3, rope_parameters: YARN }, false],
    ["beside the layer types it counts", byType(YARN, { truncate: false }), true],
    ["there null is a no", byType(YARN, { truncate: null }), true],
    ["among them it does not", byType({ ...YARN, truncate: false }), false],
    [
      "among them it does not, whatever stands beside",
      byType({ ...YARN, truncate: true }, { truncate: false }),
      true,
    ],
  ])("%s", (_, fields, isOff) => {
    const text = printed(fields);
    expect(text.includes("truncate: false")).toBe(isOff);
  });

  it("is a yes or a no", () => {
    expect(() => printed(byType(YARN, { truncate: 3 }))).toThrow(/rope_parameters\.truncate is 3/);
  });
});

describe("the context before it was extended", () => {
  it("is the layer type's own, or the longest one", () => {
    const beside = { original_max_position_embeddings: 1024 };
    expect(printed({ ...byType(YARN), ...beside })).toContain("originalMaxPositionEmbeddings: 4096");
    const { original_max_position_embeddings: _, ...open } = YARN;
    expect(printed({ ...byType(open), ...beside })).toContain("originalMaxPositionEmbeddings: 40960");
    expect(printed({ ...QWEN3, rope_parameters: YARN, ...beside })).toContain(
      "originalMaxPositionEmbeddings: 1024",
    );
  });
});

it("alpha is HunYuan's: other models' code does not read it", () => {
  const text = printed({
    ...QWEN3,
    rope_theta: 1e6,
    rope_scaling: { type: "dynamic", factor: 2, alpha: 1000 },
  });
  expect(text).toContain('type: "dynamic", factor: 2');
  expect(text).toMatch(/remark {4}rope_scaling\.alpha is not read/);
});

it("mscale_all_dim scales the softmax without mscale too", () => {
  expect(printed({ ...QWEN3, rope_parameters: { ...YARN, mscale_all_dim: 1 } })).toMatch(/softmax scale/);
});

describe("partial_rotary_factor", () => {
  it.each(["qwen3", "qwen3_moe", "dots1", "exaone4", "exaone_moe", "hy_v3", "lfm2", "apertus"])(
    "%s rotates whole heads, and refuses it",
    async (model_type) => {
      const model = { ...QWEN3, model_type, rope_theta: 1e6, partial_rotary_factor: 0.5 };
      const err = await project(model).refuses();
      expect(err).toMatch(/\[bad-model-config\].*json: partial_rotary_factor is 0\.5\n.*must be 1/);
    },
  );

  it("among the parameters too; 1 says nothing, and proportional has it for something else", async () => {
    const inside = { ...QWEN3, rope_parameters: { rope_theta: 1e6, partial_rotary_factor: 0.5 } };
    expect(await project(inside).refuses()).toMatch(/rope_parameters\.partial_rotary_factor is 0\.5/);
    expect(printed({ ...QWEN3, rope_theta: 1e6, partial_rotary_factor: 1 })).toContain("_r128_");
    const rope = { rope_type: "proportional", rope_theta: 1e6, partial_rotary_factor: 0.25 };
    expect(printed({ ...QWEN3, rope_parameters: rope })).toContain("_r128_");
  });
});

describe("Gemma 3n", () => {
  it.each<[string, Fields, number]>([
    ["none of it", {}, 1e4],
    ["the old fields", { rope_theta: 3e6, rope_local_base_freq: 2e4 }, 2e4],
    [
      "the new one, without a base",
      { rope_local_base_freq: 3e4, rope_parameters: { sliding_attention: {} } },
      3e4,
    ],
    ["a null, which is its own", { rope_parameters: { sliding_attention: null } }, 1e4],
    ["another type's", { rope_parameters: { full_attention: { rope_theta: 9e5 } } }, 1e4],
    ["the new one", { rope_parameters: { sliding_attention: { rope_theta: 5e4 } } }, 5e4],
  ])("Gemma 3n's base of sliding layers, from %s", (_, rope, base) => {
    const gemma = { ...QWEN3, model_type: "gemma3n_text", num_kv_shared_layers: 0, num_hidden_layers: 4 };
    const [slides, ...more] = tablesIn(printed({ ...gemma, ...rope }));
    expectTable(slides, each(64, frequency(base, 128)));
    expect(more).toEqual([]);
  });

  it("a null of full layers is their own base", () => {
    const gemma = { ...QWEN3, model_type: "gemma3n_text", num_kv_shared_layers: 0, num_hidden_layers: 5 };
    const rope_parameters = { full_attention: null, sliding_attention: { rope_theta: 1e4 } };
    const [, full] = tablesIn(printed({ ...gemma, rope_parameters }));
    expectTable(full, each(64, frequency(1e6, 128)));
  });
});
