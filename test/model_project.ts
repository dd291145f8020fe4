/** Projects with the config of a model in them, for `import`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { completed } from "../dsl/points.js";
import { kernelId } from "../generator/kernel_id.js";
import type { ModelFlags } from "../generator/models/head.js";
import { readModel } from "../generator/models/model.js";
import { reportLines } from "../generator/models/report.js";
import { type RopeTable, ropeTable, tableOf } from "../runtime/index.js";
import { filesIn, leaving } from "./bad_input/unchanged.js";
import { neoxSpace, normrope } from "./cli_helpers.js";
import { temporaryFolder, writeFiles } from "./helpers.js";

export type Fields = Readonly<Record<string, unknown>>;

/** Of a type that no table has. */
export const ACME: Fields = {
  ...{ model_type: "acme", torch_dtype: "bfloat16", rope_theta: 1e6, partial_rotary_factor: 1 },
  ...{ hidden_size: 4096, num_attention_heads: 32, num_key_value_heads: 8, num_hidden_layers: 4 },
  rms_norm_eps: 1e-6,
};

export const QWEN3: Fields = {
  ...{ architectures: ["Qwen3ForCausalLM"], model_type: "qwen3", torch_dtype: "bfloat16" },
  ...{ hidden_size: 4096, num_attention_heads: 32, num_key_value_heads: 8, num_hidden_layers: 36 },
  ...{ head_dim: 128, rms_norm_eps: 1e-6, max_position_embeddings: 40960 },
};

/** What flags say of acme's attention. */
const ACME_FLAGS: ModelFlags = { head: "rotate(norm(x))", axes: { rope: "neox", weight: "plain" }, tp: 1 };

/** A config with every op that ships. */
export const OPS_CONFIG = `import { defineSpace, qkNormRope, qkRopeNorm, qNormKvNormRope } from "normrope/dsl";
const small = { headDim: [16], rope: ["neox"], dtype: ["bf16"] } as const;
export default [defineSpace(qkNormRope, small), defineSpace(qkRopeNorm, small), defineSpace(qNormKvNormRope, small)];
`;

/** What `import` prints of a config. */
export function printed(fields: Fields): string {
  const path = join(temporaryFolder(), "config.json");
  writeFileSync(path, JSON.stringify(fields));
  const model = readModel(path, fields.model_type === "acme" ? ACME_FLAGS : { axes: {}, tp: 1 });
  const outcomes = model.layers.map((layers) => {
    const point = completed(model.op.axes, layers.values);
    return { layers, point, id: kernelId(model.op, point) };
  });
  return reportLines(model, outcomes).join("\n");
}

/** The tables that the printed calls make, as a user's program would. */
export function tablesIn(text: string): RopeTable[] {
  const calls = [...text.matchAll(/^ {2}table {4}(.*)$/gm)].map(([, call = ""]) => call);
  expect(calls).not.toEqual([]);
  const run = (call: string) => new Function("ropeTable", "tableOf", `return (\n${call}\n)`);
  return calls.map((call) => run(call)(ropeTable, tableOf));
}

/** A project with a model in it. */
export function project(model: string | Fields, config = neoxSpace(16)) {
  const folder = temporaryFolder();
  const text = typeof model === "string" ? model : JSON.stringify(model);
  writeFiles(folder, { "config.json": text, "normrope.config.ts": config });
  const run = (...flags: readonly string[]) =>
    normrope([
      "import",
      join(folder, "config.json"),
      "--config",
      join(folder, "normrope.config.ts"),
      ...flags,
    ]);
  const refuses = async (...flags: readonly string[]) => {
    const { code, out, err } = await leaving(filesIn(folder), () => run(...flags));
    expect([code, out]).toEqual([1, ""]);
    return err;
  };
  return { run, refuses, config: () => readFileSync(join(folder, "normrope.config.ts"), "utf8") };
}

/** A config that says heads and nothing of RoPE. */
export const BARE: Fields = {
  ...{ num_attention_heads: 32, num_key_value_heads: 8, hidden_size: 4096, num_hidden_layers: 4 },
  dtype: "bfloat16",
};

/** What `--json` says of a model, in a project with every op that ships. */
export async function imported(fields: Fields, ...flags: readonly string[]) {
  const { code, out, err } = await project(fields, OPS_CONFIG).run("--json", ...flags);
  expect([code, err]).toEqual([0, ""]);
  return JSON.parse(out);
}
