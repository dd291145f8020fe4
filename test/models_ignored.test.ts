/** Fields that a model's own code does not look at: they change nothing, and remarks say so. */
import { describe, expect, it } from "vitest";
import { BARE, imported, printed, project, tablesIn } from "./model_project.js";
import { each, expectTable, frequency } from "./rope_definitions.js";

describe("parameters of RoPE that the model's own code does not look at", () => {
  it("those beside rope_parameters, of Laguna and others: a remark names them, and flat ones are refused", async () => {
    const laguna = {
      ...BARE,
      model_type: "laguna",
      head_dim: 128,
      rope_theta: 3e6,
      partial_rotary_factor: 0.25,
    };
    const text = printed(laguna);
    expectTable(tablesIn(text)[0], each(32, frequency(5e5, 64)));
    expect(text).toMatch(/remark {4}rope_theta, partial_rotary_factor: not read, .* by layer type$/m);
    const said = { full_attention: { rope_type: "default", rope_theta: 7e4 } };
    expectTable(tablesIn(printed({ ...laguna, rope_parameters: said }))[0], each(64, frequency(7e4, 128)));
    const scaled = { full_attention: { rope_type: "linear", factor: 8, rope_theta: 7e4 } };
    const torn = await project({ ...laguna, rope_parameters: scaled }).refuses();
    expect(torn).toMatch(/partial_rotary_factor is 0\.25\n.*in rope_parameters, for each layer type/);
    const err = await project({ ...laguna, rope_parameters: { rope_theta: 1e4 } }).refuses();
    expect(err).toMatch(
      /rope_parameters\.full_attention is missing\n.*the parameters of these layers, or null/,
    );
  });

  it("flat ones, of Gemma 3 and 3n: their own bases remain", () => {
    const rope_parameters = { rope_type: "linear", factor: 8, rope_theta: 5e6 };
    for (const model_type of ["gemma3n_text", "gemma3_text"]) {
      const text = printed({
        ...BARE,
        model_type,
        num_kv_shared_layers: 0,
        num_hidden_layers: 6,
        rope_parameters,
      });
      const [slides, full] = tablesIn(text);
      expectTable(slides, each(128, frequency(1e4, 256)));
      expectTable(full, each(128, frequency(1e6, 256)));
      expect(text).toMatch(/remark {4}rope_parameters for all layers is not read/);
    }
  });

  it.each(["qwen3_moe", "hy_v3", "apertus", "glm4_moe"])(
    "those by layer type, of %s, which has one table",
    (model_type) => {
      const rope_parameters = { full_attention: { rope_type: "linear", factor: 8, rope_theta: 5e6 } };
      const model = { ...BARE, head_dim: 128, model_type, use_qk_norm: true, partial_rotary_factor: 1 };
      const [said] = tablesIn(printed({ ...model, rope_parameters, rope_theta: 3e6 }));
      expectTable(said, each(64, frequency(3e6, 128)));
      const [left] = tablesIn(printed({ ...model, rope_parameters }));
      const base = { hy_v3: 11_158_840, apertus: 12_000_000 }[model_type] ?? 1e4;
      expectTable(left, each(64, frequency(base, 128)));
    },
  );
});

it("PLaMo-2's source fixes eps and the base", async () => {
  const { model, layers, remarks } = await imported({ ...BARE, model_type: "plamo2", rms_norm_eps: 1e-5 });
  expect([model.eps, layers[0].tables[0].parameters.base]).toEqual([1e-6, 10_000]);
  expect(remarks.join("\n")).toContain("fixed in the source");
});
