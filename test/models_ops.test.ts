/** Which op of a config takes a model's kernels: by its stages of q and k, and the values that these fix. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { appendPoints } from "../generator/edit/append.js";
import { readShippedOp } from "../generator/op_file.js";
import { neoxSpace } from "./cli_helpers.js";
import { temporaryFolder } from "./helpers.js";
import { ACME, type Fields, OPS_CONFIG, project } from "./model_project.js";

const HUNYUAN: Fields = { ...ACME, model_type: "hunyuan_v1_dense", head_dim: 128 };
const LLAMA: Fields = { ...ACME, model_type: "llama", head_dim: 128 };
const QWEN3: Fields = { ...ACME, model_type: "qwen3", head_dim: 128 };
const GEMMA: Fields = { ...ACME, model_type: "gemma3_text", head_dim: 128, rope_theta: 1e6 };

const SMALL = `{ headDim: [16], rope: ["neox"], dtype: ["bf16"] }`;
/** A config of one op, with its own sides. */
const configOf = (sides: string, entry = SMALL) =>
  `import { defineOp, defineSpace, norm, rotate } from "normrope/dsl";
export default defineSpace(defineOp({ name: "own", ${sides} }), ${entry});
`;

describe("the op with the model's stages takes the kernels:", () => {
  it.each<[string, Fields, string, RegExp]>([
    ["the one that ships", QWEN3, OPS_CONFIG, /^ {2}kernel {3}qk_norm_rope__bf16_d128_r128_neox$/m],
    ["RoPE alone", LLAMA, OPS_CONFIG, /^ {2}kernel {3}qk_norm_rope__bf16_d128_r128_neox_nonorm$/m],
    ["the norm behind RoPE", HUNYUAN, OPS_CONFIG, /^ {2}kernel {3}qk_rope_norm__bf16_d128_r128_neox$/m],
    [
      "q and k apart",
      LLAMA,
      configOf("q: (x) => rotate(x), k: (x) => rotate(x)"),
      / own_\w+_d128_r128_neox$/m,
    ],
    [
      "with something done to v",
      QWEN3,
      configOf('head: (x) => rotate(norm(x)), v: (x) => norm(x, { weight: "none" })'),
      / own_\w+_d128_r128_neox$/m,
    ],
    [
      "with an axis fixed at the model's value",
      GEMMA,
      configOf('head: (x) => rotate(norm(x, { weight: "one_plus" }))'),
      / own_\w+_d128_r128_neox$/m,
    ],
  ])("%s", async (_, model, config, kernel) => {
    const { run, config: text } = project(model, config);
    const { code, out, err } = await run();
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(kernel);
    expect(text()).toContain('{ headDim: [128], rope: ["neox"], dtype: ["bf16"]');
  });

  it("and RoPE alone has no eps", async () => {
    const { out } = await project(LLAMA, OPS_CONFIG).run();
    expect(out).not.toContain("eps");
    expect(JSON.parse((await project(LLAMA, OPS_CONFIG).run("--json")).out).model).toMatchObject({
      op: "qk_norm_rope",
      eps: null,
    });
  });

  it("layers in which nothing is done need no kernel, and no table", async () => {
    const smol = { ...ACME, model_type: "smollm3", num_hidden_layers: 8 };
    const { out } = await project(smol, OPS_CONFIG).run();
    expect(out).toMatch(/^6 layers of full_attention\n {2}kernel {3}qk_norm_rope__\w+_nonorm$/m);
    expect(out).toMatch(/^2 layers of full_attention without RoPE: no kernel$/m);
    expect(out.match(/^ {2}table /gm)).toHaveLength(1);
    const listed = { ...smol, no_rope_layers: [0, 1, 0, 1, 0, 1, 0, 1] };
    const { layers, withoutKernel } = JSON.parse((await project(listed, OPS_CONFIG).run("--json")).out);
    expect([layers[0].count, withoutKernel]).toEqual([4, { "full_attention without RoPE": 4 }]);
  });
});

const ROPE_NORM = configOf("head: (x) => norm(rotate(x))");

describe("op-missing: no op does what the model does:", () => {
  it.each<[string, Fields, string]>([
    ["RoPE alone", LLAMA, configOf('head: (x) => rotate(norm(x, { norm: "rms" }))')],
    ["the norm behind RoPE", HUNYUAN, neoxSpace(16)],
    [
      "partly rotated, of f16",
      { ...LLAMA, model_type: "glm4", torch_dtype: "float16", partial_rotary_factor: 0.5 },
      configOf("q: (x) => rotate(norm(x))"),
    ],
    ["two widths", { ...ACME, model_type: "gemma4_text", head_dim: 64 }, ROPE_NORM],
    [
      "a norm of v",
      { ...ACME, model_type: "gemma3n_text", num_kv_shared_layers: 0 },
      configOf("head: (x) => rotate(norm(x))"),
    ],
    [
      "q unlike k",
      {
        ...ACME,
        model_type: "deepseek_v4",
        qk_rope_head_dim: 64,
        compress_ratios: [0, 0, 4, 128],
        head_dim: 512,
        num_attention_heads: 64,
        num_key_value_heads: 1,
      },
      neoxSpace(16),
    ],
    ["k as it is", QWEN3, configOf("q: (x) => rotate(norm(x))")],
    ["k the other way round", QWEN3, configOf("q: (x) => rotate(norm(x)), k: (x) => norm(rotate(x))")],
    ["an axis fixed at another value", QWEN3, configOf('head: (x) => rotate(norm(x, { weight: "none" }))')],
  ])("%s: the space that the fix shows takes the import", async (_, model, config) => {
    const err = await project(model, config).refuses();
    expect(err).toMatch(
      /^error \[op-missing\]: no op of \S+normrope\.config\.ts does .+ to .+\n {2}fix: import /,
    );
    const [, words = ""] = /import ([\w ]+) from normrope\/dsl/.exec(err) ?? [];
    const [, space = ""] = /^ {4}(defineSpace\(.*\),)$/m.exec(err) ?? [];
    // Beside what the config has, and in a list.
    const old = config.replace(/^import .*$/m, "").replace("export default ", "const old = ");
    const names = [...new Set([...words.split(" and "), "defineOp", "norm", "rotate", "qkNormRope"])].join(
      ", ",
    );
    const fixed = `import { ${names} } from "normrope/dsl";\n${old}export default [\n  old,\n  ${space}\n];\n`;
    const { run, config: text } = project(model, fixed);
    const { code, out } = await run();
    expect(code).toBe(0);
    expect(out).toMatch(/has \d kernels? for it already: nothing is added$/);
    expect(text()).toBe(fixed);
  });

  it("where no op could, the reason is the point's", async () => {
    const err = await project({ ...LLAMA, head_dim: 100 }).refuses();
    expect(err).toMatch(
      /\[unsupported-model\].*allows no kernel for llama: headDim 100 is not a multiple of 8/,
    );
  });
});

describe("--op", () => {
  it("names an op that does something else", async () => {
    const err = await project(HUNYUAN, OPS_CONFIG).refuses("--op", "qk_norm_rope");
    expect(err).toMatch(
      /\[bad-option\]: --op is qk_norm_rope \(q: rotate\(norm\(x\)\); k: cache\(rotate\(norm\(x\)\)\); v: cache\(value\(x\)\)\), and the model needs norm\(rotate\(x\)\) to q and k/,
    );
  });

  it("names an op that fixes another value", async () => {
    const config = configOf('head: (x) => rotate(norm(x, { weight: "none" }))');
    expect(await project(QWEN3, config).refuses("--op", "own")).toMatch(
      /\[bad-option\]: --op is own \(q and k: /,
    );
  });
});

it("an op of the config's own that comes down to the same takes them, and one that ships goes before it", async () => {
  const own = configOf("head: (x) => rotate(x)");
  const { out } = await project(LLAMA, own).run();
  expect(out).toMatch(/^ {2}kernel {3}own_[0-9a-f]{8}__bf16_d128_r128_neox$/m);
  const noped = { ...QWEN3, no_rope_layers: [0, 0, 0, 0] };
  expect(
    (await project(noped, configOf("head: (x) => norm(x)", '{ headDim: [16], dtype: ["bf16"] }')).run()).out,
  ).toMatch(/ own_[0-9a-f]{8}__bf16_d128$/m);
  const two = `${own.replace("export default ", "const rope = ")}export default [rope, ${'defineSpace(qkNormRope, { headDim: [16], rope: ["neox"], dtype: ["bf16"] })'}];\n`;
  const both = two.replace("import { ", "import { qkNormRope, ");
  expect((await project(LLAMA, both).run()).out).toMatch(/ qk_norm_rope__bf16_d128_r128_neox_nonorm$/m);
});

it("layers of which an op fixes the rotary_dim of some are told", () => {
  const config = join(temporaryFolder(), "normrope.config.ts");
  writeFileSync(config, configOf("head: (x) => rotate(x, { rotaryDim: 64 })", SMALL.replace("16", "64")));
  const point = { headDim: 128, rope: "neox", dtype: "bf16", norm: "none" };
  const values = [64, 128].map((rotaryDim) => ({ ...point, rotaryDim }));
  const { kernels, added } = appendPoints(config, { op: readShippedOp(), values });
  expect(kernels.map(({ problem }) => problem)).toEqual([
    undefined,
    "rotaryDim is 64 in own, and 128 in the model",
  ]);
  expect(added).toHaveLength(1);
});
