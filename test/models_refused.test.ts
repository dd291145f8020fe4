/** Models that `import` refuses, or imports in part: with every reason, and nothing written that is not told. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { REFUSED } from "./hf_refused.js";
import { ACME, type Fields, project } from "./model_project.js";

describe("unsupported-model: the language has no word for it, and each reason is told:", () => {
  it.each(REFUSED)("%s", async (name, ...reasons) => {
    const text = readFileSync(join(PACKAGE_ROOT, "test", "hf_configs", `${name}.json`), "utf8");
    const err = await project(text).refuses();
    const told = err.split("\n").filter((line) => line.includes("error [unsupported-model]"));
    expect(told).toHaveLength(reasons.length);
    reasons.forEach((reason, i) => {
      expect(told[i]).toMatch(reason);
    });
    expect(err.match(/\n {2}fix: /g)).toHaveLength(reasons.length);
    // A way round one reason is none round two.
    if (reasons.length > 1) expect(err).not.toContain("normrope add");
  });

  it.each<[string, Fields, RegExp]>([
    [
      "mRoPE in the config of any model",
      { rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] } },
      /mRoPE/,
    ],
    [
      "HunYuan's positions on four axes",
      { rope_scaling: { xdrope_section: [16, 16, 16, 16] } },
      /different rows of positions/,
    ],
    ["a head_dim of no kernel", { head_dim: 100 }, /headDim 100 is not a multiple of 8 from 16 to 1024/],
    ["heads that are too wide", { head_dim: 2048 }, /headDim 2048 is not a multiple of 8 from 16 to 1024/],
    [
      "an odd rotary_dim",
      { model_type: "glm4_moe", use_qk_norm: true, partial_rotary_factor: 0.4 },
      /rotaryDim 51 is not a multiple of 2/,
    ],
    [
      "no attention at all",
      { layer_types: ["conv", "conv"], num_hidden_layers: 2 },
      /no layer norms or rotates q and k/,
    ],
    [
      "layers of RoPE alone that do not rotate",
      { model_type: "smollm3", no_rope_layers: [0, 0], num_hidden_layers: 2 },
      /no layer norms or rotates q and k/,
    ],
  ])("%s", async (_, changed, reason) => {
    const err = await project({ ...ACME, model_type: "qwen3", head_dim: 128, ...changed }).refuses();
    expect(err).toMatch(/\[unsupported-model\]/);
    expect(err).toMatch(reason);
  });
});

describe("some layers that the op can do, and some that it cannot:", () => {
  const gemma = {
    ...{ model_type: "gemma4_text", dtype: "float16", num_attention_heads: 8, num_key_value_heads: 2 },
    ...{ head_dim: 256, global_head_dim: 2048, num_hidden_layers: 6, hidden_size: 2048 },
  };

  it("the former are imported, the latter named, in the result and beside it", async () => {
    const { run, config } = project(gemma);
    const { code, out, err } = await run();
    expect(code).toBe(0);
    expect(out).toMatch(
      /^5 layers of sliding_attention\n {2}kernel {3}qk_norm_rope__f16_d256_r256_neox_vnorm$/m,
    );
    const left =
      "1 layer of full_attention: not imported, headDim 2048 is not a multiple of 8 from 16 to 1024";
    expect(out).toContain(left);
    expect(err).toContain(left);
    expect(config()).toContain('{ headDim: [256], rope: ["neox"], dtype: ["f16"], value: ["norm"] }');
  });

  it("for programs too", async () => {
    const { layers, notImported } = JSON.parse((await project(gemma).run("--json")).out);
    expect([layers.length, notImported]).toEqual([
      1,
      [expect.objectContaining({ types: ["full_attention"], count: 1, headDim: 2048 })],
    ]);
  });
});
