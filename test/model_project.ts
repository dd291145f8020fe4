/** Projects with the config of a model in them, for `import`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
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
/** A project with a model in it. */
export function project(model: string | Fields) {
  const folder = temporaryFolder();
  const text = typeof model === "string" ? model : JSON.stringify(model);
  writeFiles(folder, { "config.json": text, "normrope.config.ts": neoxSpace(16) });
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
