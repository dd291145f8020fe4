/** What is given to `import` for a model's config: anything. Each is told by its name, and nothing is written. */
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { normrope } from "../cli_helpers.js";
import { temporaryFolder } from "../helpers.js";
import { type Project, project } from "./project.js";
import { filesIn, leaving } from "./unchanged.js";

const QWEN3 = {
  ...{ model_type: "qwen3", dtype: "bfloat16", rope_theta: 1e6, rms_norm_eps: 1e-6 },
  ...{ hidden_size: 4096, num_attention_heads: 32, num_key_value_heads: 8, head_dim: 128 },
  ...{ num_hidden_layers: 4, max_position_embeddings: 40960 },
};

/** What `import` says of a file; that it ends with 1 and leaves the project as it is. */
async function refusal({ folder, config }: Project, path: string): Promise<string> {
  const { code, out, err } = await leaving(filesIn(folder), () =>
    normrope(["import", path, "--config", config]),
  );
  expect([code, out]).toEqual([1, ""]);
  return err;
}

const written = (content: string | Buffer) => (folder: string) => {
  const path = join(folder, "config.json");
  writeFileSync(path, content);
  return path;
};

describe("model-config-unreadable:", () => {
  it.each<[string, (folder: string) => string, RegExp]>([
    ["no file", (folder) => join(folder, "no.json"), /no\.json cannot be read: ENOENT/],
    ["no name", () => "", /"" cannot be read: ENOENT/],
    ["a line break in the name", (folder) => join(folder, "a\nb"), /"\/.*a\\nb" cannot be read/],
    ["NUL in the name", (folder) => join(folder, "a\0b"), /"\/.*a\\u0000b" is no path/],
    ["a folder", (folder) => folder, / is a folder\n {2}fix: name the config\.json in it/],
    [
      "the folder of a model",
      (folder) => {
        mkdirSync(join(folder, "Qwen3"));
        writeFileSync(join(folder, "Qwen3", "config.json"), "{}");
        return join(folder, "Qwen3");
      },
      / is a folder\n {2}fix: name \/.*\/Qwen3\/config\.json/,
    ],
    ["a pipe", pipe, /pipe is not a file/],
    ["a link to itself", selfLink, /link cannot be read: ELOOP/],
    ["nothing", written(""), /config\.json is not JSON/],
    [
      "a model card",
      written("# Qwen3\n\n## Use, // as it is\n"),
      /is not JSON.*\n {2}fix: name the config\.json of a/,
    ],
    ["a program", written("// {\nconst x = 1;\n"), /is not JSON.*\n {2}fix: name the config\.json of a/],
    ["a web page", written("<!DOCTYPE html>\n<p>config.json // raw</p>"), /fix: it is a web page: download/],
    ["what stands for a file", written("version https://git-lfs.github.com/spec/v1\n"), /`git lfs pull`/],
    ["a comment before the object", written("# mine\n{}"), /fix: JSON has no comments/],
    ["many comments", written("/* a */ ".repeat(500_000)), /is not JSON/],
    ["an infinite NaN", written('{"rope_theta": -NaN}'), /is not JSON/],
    ["infinity with a letter too many", written('{"rope_theta": Infinityy}'), /is not JSON/],
    ["half a config", written('{"model_type": "qw'), /is not JSON/],
    ["brackets without end", written("[".repeat(100_000)), /is not JSON/],
    ["weights", written(Buffer.from([0x80, 0xff, 0xfe, 0])), /is no text in UTF-8/],
    ["4 MB and more", written(" ".repeat(2 ** 22 + 1)), /has 4194305 bytes, and a config at most 4194304/],
    ["a list", written("[{}]"), /holds an array of 1, and a config is an object/],
    ["a number", written("128"), /holds 128, and/],
    ["null", written("null"), /holds null, and/],
  ])("%s", async (_, make, message) => {
    const made = project();
    const err = await refusal(made, make(temporaryFolder()));
    expect(err).toMatch(/^error \[model-config-unreadable\]: /);
    expect(err).toMatch(message);
  });
});

describe("bad-model-config:", () => {
  type Row = readonly [changed: Readonly<Record<string, unknown>>, message: RegExp];
  const counts = [
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_hidden_layers",
    "hidden_size",
  ];
  const wrong = [0, -8, 1.5, 1e300, "32", "NaN", true, [8], { n: 8 }];
  it.each<Row>([
    ...counts.flatMap((name) =>
      wrong.map(
        (value): Row => [{ [name]: value }, RegExp(`${name} is .*\\n  fix: it must be a whole number`)],
      ),
    ),
    [{ num_attention_heads: undefined }, /num_attention_heads is missing/],
    [{ num_attention_heads: null }, /num_attention_heads is null|num_attention_heads is missing/],
    [{ num_attention_heads: 65_537 }, /num_attention_heads is 65537\n.*from 1 to 65536/],
    [{ num_key_value_heads: 5 }, /num_key_value_heads is 5\n.*a divisor of num_attention_heads, 32/],
    [{ num_key_value_heads: 64 }, /num_key_value_heads is 64\n.*a divisor of num_attention_heads, 32/],
    [{ model_type: 3 }, /model_type is 3\n.*the name of an architecture/],
    [{ model_type: "" }, /model_type is ""/],
    [{ model_type: ["qwen3"] }, /model_type is an array of 1/],
    [{ text_config: "qwen3" }, /text_config is "qwen3"\n.*an object/],
    [{ text_config: {} }, /text_config\.num_attention_heads is missing/],
    [{ rms_norm_eps: -1 }, /rms_norm_eps is -1\n.*a number from 0/],
    [{ max_position_embeddings: "long" }, /max_position_embeddings is "long"/],
    [{ partial_rotary_factor: 0 }, /partial_rotary_factor is 0\n.*above 0 and at most 1/],
    [{ partial_rotary_factor: 2 }, /partial_rotary_factor is 2/],
    [{ rope_theta: 0 }, /rope_theta is 0/],
    [{ rope_theta: "1e6" }, /rope_theta is "1e6"\n.*a positive number/],
    [{ rope_theta: "Infinity" }, /rope_theta is "Infinity"/],
    [{ rope_scaling: "yarn" }, /rope_scaling is "yarn"\n.*an object, or null/],
    [{ rope_scaling: [] }, /rope_scaling is an array of 0/],
    [
      { rope_scaling: { type: "spiral", factor: 2 } },
      /rope_scaling\.rope_type is "spiral"\n.*one of default, linear/,
    ],
    [{ rope_scaling: { type: 7 } }, /rope_scaling\.rope_type is 7/],
    [{ rope_scaling: { type: "toString" } }, /rope_scaling\.rope_type is "toString"/],
    [{ rope_scaling: { type: "linear" } }, /rope_scaling\.factor is missing\n.*a positive number/],
    [{ rope_scaling: { type: "linear", factor: "8" } }, /rope_scaling\.factor is "8"/],
    [{ rope_scaling: { type: "dynamic" } }, /rope_scaling\.factor is missing/],
    [{ rope_scaling: { type: "yarn", factor: -4 } }, /rope_scaling\.factor is -4/],
    [
      { rope_scaling: { type: "yarn", factor: 4, truncate: "no" } },
      /rope_scaling\.truncate is "no"\n.*true or false/,
    ],
    [
      { rope_scaling: { type: "yarn", factor: 4, beta_fast: 1, beta_slow: 32 } },
      /gives no table: scaling\.betaFast/,
    ],
    [
      { rope_scaling: { type: "llama3", factor: 8 } },
      /low_freq_factor is missing[\s\S]*high_freq_factor is missing/,
    ],
    [
      { rope_scaling: { type: "longrope", short_factor: [1, 2], long_factor: [1, 2], factor: 4 } },
      /gives no table: scaling\.shortFactor is an array of 2\. .* 64 numbers long/,
    ],
    [
      { rope_scaling: { type: "longrope", short_factor: "x", long_factor: [0] } },
      /short_factor is "x"[\s\S]*long_factor is/,
    ],
    [{ rope_scaling: { type: "proportional", partial_rotary_factor: 3 } }, /partial_rotary_factor is 3/],
    [
      { rope_scaling: { type: "linear", factor: 2 }, rope_parameters: { rope_type: "default" } },
      /rope_scaling and rope_parameters say different things/,
    ],
    [{ rope_parameters: { rope_theta: -1 } }, /rope_parameters\.rope_theta is -1/],
    [
      { rope_parameters: { full_attention: { rope_theta: "x" } } },
      /rope_parameters\.full_attention\.rope_theta is "x"/,
    ],
    [{ rope_parameters: { sliding_attention: {} } }, /rope_parameters\.full_attention is missing/],
    [
      { max_position_embeddings: null, rope_scaling: { type: "dynamic", factor: 2 } },
      /needs max_position_embeddings/,
    ],
    [{ head_dim: null, hidden_size: null }, /head_dim is missing\n.*or hidden_size in its place/],
    [{ head_dim: null, hidden_size: 4097 }, /hidden_size 4097 is no multiple of 32 heads/],
    [{ layer_types: "full" }, /layer_types is "full"/],
    [{ layer_types: ["full_attention"] }, /layer_types is an array of 1\n.*a list of 4/],
    [{ layer_types: [], num_hidden_layers: null }, /layer_types is an array of 0/],
    [
      { layer_types: Array(4).fill("warp_attention") },
      /layer_types holds "warp_attention", which is not known/,
    ],
    [{ no_rope_layers: [1, 2] }, /no_rope_layers is an array of 2\n.*1 and 0/],
    [{ no_rope_layers: [1] }, /no_rope_layers is an array of 1\n.*a list of 4/],
    [{ model_type: "glm4_moe", use_qk_norm: "yes" }, /use_qk_norm is "yes"\n.*true or false/],
    [{ model_type: "exaone4", sliding_window_pattern: 0 }, /sliding_window_pattern is 0\n.*such as LLLG/],
    [{ model_type: "lfm2", full_attn_idxs: 2 }, /full_attn_idxs is 2\n.*a list of layers/],
    [{ model_type: "gemma4_text", global_head_dim: "wide" }, /global_head_dim is "wide"/],
    [
      { model_type: "gemma4_text", num_kv_shared_layers: 4 },
      /num_kv_shared_layers is 4\n.*fewer than there are layers/,
    ],
    [
      { model_type: "bailing_moe_v2", use_qk_norm: true, rotary_dim: "half" },
      /rotary_dim is "half"\n.*a whole number/,
    ],
  ])("%j", async (changed, message) => {
    const made = project();
    const path = written(JSON.stringify({ ...QWEN3, ...changed }))(temporaryFolder());
    const err = await refusal(made, path);
    expect(err).toMatch(/^error \[bad-model-config\]: /);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/undefined|\[object/);
  });

  it.each<[string, RegExp]>([
    ['"rope_theta": NaN', /rope_theta is "NaN"\n.*a positive number/],
    ['"rope_theta": Infinity', /rope_theta is "Infinity"\n.*a positive number/],
    ['"rms_norm_eps": -Infinity', /rms_norm_eps is "-Infinity"\n.*a number from 0/],
    ['"head_dim": NaN', /head_dim is "NaN"\n.*a whole number/],
    ['"rope_scaling": {"rope_type": "linear", "factor": Infinity}', /rope_scaling\.factor is "Infinity"/],
    [
      '"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": NaN}',
      /original_max_position_embeddings is "NaN"/,
    ],
    ['"partial_rotary_factor": NaN', /partial_rotary_factor is "NaN"/],
    ['"num_hidden_layers": Infinity', /num_hidden_layers is "Infinity"/],
  ])("a number that Python writes, where one is needed: %s", async (field, message) => {
    const text = JSON.stringify(QWEN3).replace(/\}$/, `, ${field}}`);
    expect(await refusal(project(), written(text)(temporaryFolder()))).toMatch(message);
  });

  it("all that is wrong is told at once", async () => {
    const path = written(JSON.stringify({ ...QWEN3, head_dim: 0, num_attention_heads: "x" }))(
      temporaryFolder(),
    );
    expect((await refusal(project(), path)).match(/\[bad-model-config\]/g)).toHaveLength(2);
  });
});

describe("and what belongs to other commands:", () => {
  it.each<[string, readonly string[], number, RegExp]>([
    ["ranks that are none", ["--tp", "0"], 1, /\[bad-option\]: --tp is "0"/],
    ["ranks in words", ["--tp", "two"], 1, /\[bad-option\]: --tp is "two"/],
    ["--tp twice", ["--tp", "1", "--tp", "2"], 2, /--tp is given more than once/],
    ["a value for --dry-run", ["--dry-run=yes"], 2, /--dry-run=yes: it takes no value/],
    ["a dtype of no kernel", ["--dtype", "fp8"], 2, /"fp8".*"bf16", "f16"/],
    ["a dtype that others name", ["--dtype", "bfloat16"], 2, /"bfloat16".*\nDid you mean bf16\?/],
    ["a style that others name", ["--rope", "gptj"], 2, /"gptj".*\nDid you mean interleaved\?/],
    ["--dtype without one", ["--dtype"], 2, /dtype/],
    ["another command's option", ["--entry", "1"], 2, /import has no option --entry/],
    ["a slip", ["--rotry-dim", "64"], 2, /Did you mean --rotary-dim\?/],
  ])("%s", async (_, flags, exit, message) => {
    const { folder, config } = project();
    const path = written(JSON.stringify(QWEN3))(temporaryFolder());
    const { code, out, err } = await leaving(filesIn(folder), () =>
      normrope(["import", path, "--config", config, ...flags]),
    );
    expect([code, out, err]).toEqual([exit, "", expect.stringMatching(message)]);
  });

  it("a project config that is wrong, or is not there", async () => {
    const path = written(JSON.stringify(QWEN3))(temporaryFolder());
    expect(await refusal(project("export default 1;\n"), path)).toMatch(/\[not-a-space\]/);
    const { folder } = project();
    const missing = { folder, config: join(folder, "no.config.ts") };
    expect(await refusal(missing, path)).toMatch(/\[config-not-found\][\s\S]*normrope init/);
  });
});

function pipe(folder: string): string {
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  return path;
}

function selfLink(folder: string): string {
  const path = join(folder, "link");
  symlinkSync(path, path);
  return path;
}
