/** What a config leaves open is asked for, and never guessed; flags, ranks, and what they may not say. */
import { describe, expect, it } from "vitest";
import { ACME, type Fields, project } from "./model_project.js";

const KNOWN = "--head rotate(norm(x)) --rope interleaved --weight plain".split(" ");

describe("a model that is not known is never guessed:", () => {
  it("unknown-model-type: each flag that is needed is named, with its choices", async () => {
    const { partial_rotary_factor, rope_theta, torch_dtype, ...bare } = ACME;
    const { refuses } = project(bare);
    const all = [
      ...["--head EXPRESSION", "--rope neox|interleaved", "--weight plain|one_plus|none"],
      ...["--rotary-dim N", "--rope-theta N", "--dtype bf16|f16"],
    ].join(" ");
    const err = await refuses();
    expect(err).toMatch(/^error \[unknown-model-type\]: .*config\.json: model_type "acme" is not known\n/);
    expect(err.endsWith(`\n  fix: say what its attention does to q and k: ${all}`)).toBe(true);
    const some = await refuses("--head", "rotate(norm(x))", "--rope", "neox", "--dtype", "f16");
    expect(some).toMatch(/: --weight plain\|one_plus\|none --rotary-dim N --rope-theta N$/);
    // RoPE alone has no weight to ask for.
    const bareRope = await refuses("--head", " rotate( x ) ", "--dtype", "f16");
    expect(bareRope).toMatch(/q and k: --rope neox\|interleaved --rotary-dim N --rope-theta N$/);
  });

  it("missing-model-fact: and those that remain where the attention is known", async () => {
    const { partial_rotary_factor, rope_theta, torch_dtype, ...bare } = ACME;
    const err = await project(bare).refuses(...KNOWN);
    expect(err).toMatch(/\[missing-model-fact\][\s\S]*add --rotary-dim N --rope-theta N --dtype bf16\|f16$/);
  });

  it("with all of them it is imported", async () => {
    const { partial_rotary_factor, rope_theta, torch_dtype, ...bare } = ACME;
    const rest = ["--rotary-dim", "64", "--rope-theta", "5e5", "--dtype", "f16"];
    const { code, out } = await project(bare).run(...KNOWN, ...rest, "--tp", "16");
    expect(code).toBe(0);
    expect(out).toContain("kernel   qk_norm_rope__f16_d128_r64_interleaved");
    expect(out).toContain("2 q, 1 k, 1 v of 128 elements on each of 16 ranks");
    expect(out).toContain("each kv head on 2 ranks");
    expect(out).toContain("ropeTable({ base: 500000, rotaryDim: 64 })");
    expect(out).toContain('{ headDim: [128], rotaryDim: [64], rope: ["interleaved"], dtype: ["f16"] }');
  });

  it.each<[string, Fields, readonly string[], RegExp]>([
    ["a slip in the name", { model_type: "qwem3" }, [], /"qwem3" is not known\n/],
    [
      "a name that models share, of a class that is not known",
      { model_type: "bailing_moe", architectures: ["BailingMoeForCausalLM"] },
      [],
      /\[unknown-model-type\].*"bailing_moe" of "BailingMoeForCausalLM" is not known/,
    ],
    ["and of no class", { model_type: "bailing_moe" }, [], /\[unknown-model-type\].*"bailing_moe" is not/],
    ["no name", { model_type: null }, [], /\[unknown-model-type\].*has no model_type/],
    ["a name of the prototype chain", { model_type: "constructor" }, [], /\[unknown-model-type\]/],
    [
      "a weight of stages that have none",
      {},
      ["--head", "rotate(x)", "--rope", "neox", "--weight", "none"],
      /\[bad-option\]: --weight is none, and rotate\(x\) has no weight\n.*leave it out/,
    ],
    [
      "a weight of a known model that has none",
      { model_type: "llama" },
      ["--weight", "plain"],
      /\[bad-option\]: --weight is plain, and rotate\(x\) has no weight: transformers/,
    ],
    ["several rows of positions", { rope_scaling: { mrope_section: [16, 24, 24] } }, KNOWN, /has mRoPE/],
    [
      "a dtype without a kernel",
      { torch_dtype: "float32" },
      KNOWN,
      /torch_dtype is "float32".*\n.*--dtype bf16/,
    ],
    ["a dtype that is none", { torch_dtype: 16 }, KNOWN, /\[missing-model-fact\].*torch_dtype is 16/],
    [
      "a rotary_dim that the config denies",
      {},
      [...KNOWN, "--rotary-dim", "64"],
      /--rotary-dim is 64, and the model's is 128/,
    ],
    [
      "a base that the config denies",
      {},
      [...KNOWN, "--rope-theta", "1e4"],
      /--rope-theta is 10000, and the config has 1000000/,
    ],
    ["a base that is none", {}, [...KNOWN, "--rope-theta", "x"], /\[bad-option\]: --rope-theta is "x"/],
    ["a base of 0", {}, [...KNOWN, "--rope-theta", "0"], /\[bad-option\]: --rope-theta is "0"/],
    ["a rotary_dim of 0", {}, [...KNOWN, "--rotary-dim", "0"], /\[bad-option\]: --rotary-dim is "0"/],
    [
      "heads that --tp does not divide",
      {},
      [...KNOWN, "--tp", "3"],
      /--tp 3 does not divide 32 q and 8 kv heads/,
    ],
    [
      "kv heads that --tp does not divide",
      { head_dim: 128, num_attention_heads: 24, num_key_value_heads: 8 },
      [...KNOWN, "--tp", "12"],
      /--tp 12 does not divide 24 q and 8 kv/,
    ],
    [
      "a flag against what is known",
      { model_type: "qwen3" },
      ["--rope", "interleaved"],
      /--rope is interleaved, and qwen3 has neox: transformers 5\.18\.0/,
    ],
    [
      "stages against what is known",
      { model_type: "qwen3" },
      ["--head", "norm(rotate(x))"],
      /--head is norm\(rotate\(x\)\), and qwen3 has rotate\(norm\(x\)\): transformers 5\.18\.0/,
    ],
    [
      "a default of the language against what is known",
      { model_type: "gemma3_text" },
      ["--weight", "plain"],
      /--weight is plain, and gemma3 has one_plus: transformers 5\.18\.0/,
    ],
    [
      "stages with a norm that the config has switched off",
      { model_type: "glm4_moe", use_qk_norm: false },
      ["--head", "rotate(norm(x))"],
      /--head is rotate\(norm\(x\)\), and glm4_moe has rotate\(x\)/,
    ],
    [
      "a switch that is not said",
      { model_type: "bailing_moe_v2" },
      [],
      /\[missing-model-fact\].*use_qk_norm is missing/,
    ],
    [
      "a rotary_dim that nothing says",
      { model_type: "bailing_moe_v2", use_qk_norm: true, partial_rotary_factor: null },
      [],
      /add --rotary-dim N$/,
    ],
    [
      "two rotary_dims",
      { model_type: "bailing_moe_v2", use_qk_norm: true, rotary_dim: 64 },
      [],
      /rotary_dim is 64, and partial_rotary_factor makes it 128/,
    ],
  ])("%s", async (_, changed, flags, message) => {
    expect(await project({ ...ACME, ...changed }).refuses(...flags)).toMatch(message);
  });

  it.each<[string, Fields, readonly string[], RegExp]>([
    [
      "flags that agree with what is known",
      { model_type: "qwen3", head_dim: 128 },
      ["--rope", "neox", "--rotary-dim", "128"],
      /d128_r128_neox/,
    ],
    [
      "--dtype, whatever the weights are in",
      { model_type: "qwen3", torch_dtype: "float32" },
      ["--dtype", "bf16"],
      /bf16_d128_r128_neox/,
    ],
    [
      "torch.float16, as it was once written",
      { model_type: "qwen3", torch_dtype: "torch.float16" },
      [],
      /f16_d128/,
    ],
    [
      "Ling-1T's rotary_dim",
      { model_type: "bailing_moe_v2", use_qk_norm: true, partial_rotary_factor: null, rotary_dim: 64 },
      [],
      /d128_r64_neox/,
    ],
    [
      "a head_dim that is the width's share",
      { model_type: "qwen3_moe", hidden_size: 2048 },
      [],
      /d64_r64_neox/,
    ],
    [
      "kv heads that are left out: as many as q",
      { model_type: "qwen3", num_key_value_heads: null },
      [],
      /32 q, 32 k, 32 v/,
    ],
    [
      "a weight for each head",
      { model_type: "plamo2", head_dim: null, hidden_size_per_head: 64 },
      [],
      /d64_r64_neox$[\s\S]*remark {4}the weights are \[num_heads, head_dim\]: .* a headStride of head_dim/m,
    ],
    ["a weight that is added to 1", {}, [...KNOWN.slice(0, 4), "--weight", "one_plus"], /interleaved_w1p$/m],
    [
      "flags that repeat what is known",
      { model_type: "qwen3" },
      ["--head", "rotate(norm(x))", "--weight", "plain"],
      /d128_r128_neox/,
    ],
    [
      "a head that lies in front of its gate",
      { model_type: "qwen3_next", partial_rotary_factor: 0.25 },
      [],
      /give q a headStride of 2 \* head_dim/,
    ],
    [
      "layers that a sparse type does not change",
      {
        model_type: "minimax_m3_vl_text",
        layer_types: ["full_attention", ...Array(3).fill("minimax_m3_sparse")],
      },
      [],
      /^4 layers of full_attention and minimax_m3_sparse\n.*_w1p$/m,
    ],
    [
      "layers that do not rotate, in a list",
      { model_type: "qwen3", no_rope_layers: [1, 1, 0, 1] },
      [],
      /3 layers.*[\s\S]*1 layer of full_attention\n.*_d128_r0$/m,
    ],
    [
      "kv heads of Gemma 4's own full layers, where its switch is off",
      { model_type: "gemma4_text", num_global_key_value_heads: 2 },
      [],
      /of full_attention\n.*\n {2}heads {4}32 q, 8 k, 8 v of 512 elements/,
    ],
    [
      "and where it is on",
      { model_type: "gemma4_text", num_global_key_value_heads: 2, attention_k_eq_v: true },
      [],
      /of full_attention\n.*\n {2}heads {4}32 q, 2 k, 2 v of 512 elements[\s\S]*give k an `out`/,
    ],
  ])("imported: %s", async (_, changed, flags, message) => {
    const { code, out, err } = await project({ ...ACME, ...changed }).run(...flags);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(message);
  });

  const qwen3 = { ...ACME, model_type: "qwen3", head_dim: 128 };
  it.each<[string, Fields]>([
    ["text_config", { text_config: qwen3 }],
    ["llm_config", { llm_config: qwen3 }],
    ["language_config", { language_config: qwen3 }],
    ["thinker_config.text_config", { thinker_config: { text_config: qwen3 } }],
  ])("the text model is found in %s", async (name, parts) => {
    const { code, out } = await project({ model_type: "acme", torch_dtype: "float16", ...parts }).run();
    expect(code).toBe(0);
    expect(out).toMatch(RegExp(`the model is ${name} of .*: qwen3, a part of acme$`, "m"));
    expect(out).not.toContain("leaves out");
  });

  it("a dtype of auto counts as missing", async () => {
    expect(await project({ ...qwen3, torch_dtype: "auto" }).refuses()).toMatch(/add --dtype bf16\|f16$/);
  });

  it("--dry-run shows it, and writes nothing", async () => {
    const { run, config } = project(qwen3);
    const before = config();
    const { code, out } = await run("--dry-run");
    expect([code, config()]).toEqual([0, before]);
    expect(out).toMatch(/would be added, for 1 new kernel\n.*\nNothing is written: --dry-run$/);
    const { dryRun, added } = JSON.parse((await run("--dry-run", "--json")).out);
    expect([dryRun, added, config()]).toEqual([true, ["qk_norm_rope__bf16_d128_r128_neox"], before]);
  });

  it("an unknown choice ends with 2", async () => {
    const { code, err } = await project(ACME).run("--rope", "spiral");
    expect([code, err]).toEqual([2, expect.stringMatching(/"spiral".*"neox"/)]);
  });

  it.each<[string, RegExp]>([
    [
      "",
      /--head is "", which no op does that ships\n.*one of rotate\(norm\(x\)\), norm\(rotate\(x\)\), rotate\(x\);/,
    ],
    ["rotate(norm(x)", /which no op does that ships/],
    [
      'rotate(norm(x, { weight: "none" }))',
      /which no op does that ships\n.*; other flags set the axes of its stages/,
    ],
    ["rotate(nrom(x))", /which no op does that ships/],
    ["constructor", /which no op does that ships/],
    ["norm(x)", /which no op does that ships/],
  ])("--head %j is refused", async (head, message) => {
    const err = await project(ACME).refuses("--head", head, "--rope", "neox", "--weight", "plain");
    expect(err).toMatch(/^error \[bad-option\]: /);
    expect(err).toMatch(message);
  });
});
