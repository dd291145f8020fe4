/**
 * `import` on the configs of models that an op can do, in Hugging Face's form. What is expected was taken from the
 * models, not from the table in the sources.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { normrope } from "./cli_helpers.js";
import { temporaryFolder } from "./helpers.js";
import { OPS_CONFIG } from "./model_project.js";
import { CASES, type Case, FLAGS } from "./models_expected.js";

const CONFIGS = join(PACKAGE_ROOT, "test", "hf_configs");
const fixture = (name: string) => join(CONFIGS, `${name}.json`);

/** `d128_r128_neox` of the main op in bf16; of the others with the op's name. */
const shortened = (id: string) => id.replace("qk_norm_rope__bf16_", "");

interface Imported {
  readonly model: { readonly eps: number | null };
  readonly layers: readonly {
    readonly types: readonly string[];
    readonly count: number | null;
    readonly heads: { readonly q: number; readonly k: number; readonly v: number };
    readonly id: string;
    readonly tables: readonly { readonly call: string }[];
  }[];
  readonly rounding: string;
  readonly added: readonly string[];
  readonly present: readonly string[];
}

const listed = async (config: string) => {
  const { out } = await normrope(["list", "--config", config, "--json"]);
  const kernels: { id: string }[] = JSON.parse(out);
  return kernels.map(({ id }) => id);
};

describe("a model that an op can do gives its points, heads and tables:", () => {
  it.each<Case>(CASES)("%s", async (name, eps, rounding, expected) => {
    const config = join(temporaryFolder(), "normrope.config.ts");
    writeFileSync(config, OPS_CONFIG);
    const args = ["import", fixture(name), "--config", config, "--json", ...(FLAGS[name] ?? [])];
    const { code, out, err } = await normrope(args);
    expect([code, err]).toEqual([0, ""]);
    const imported: Imported = JSON.parse(out);
    expect(
      imported.layers.map(({ types, count, heads, id, tables }) => ({
        types: types.join(),
        count,
        point: shortened(id),
        heads: `${heads.q}/${heads.k}/${heads.v}`,
        tables: tables.map(({ call }) => call),
      })),
    ).toEqual(expected);
    expect([imported.model.eps, imported.rounding]).toEqual([eps, expect.stringMatching(rounding)]);

    const points = [...new Set(expected.map(({ point }) => point))].sort();
    expect([imported.added.map(shortened), imported.present]).toEqual([points, []]);
    const [ids, all] = [imported.added, await listed(config)];
    expect(all).toEqual(expect.arrayContaining([...ids]));
    expect(all).toHaveLength(3 + ids.length);

    const text = readFileSync(config, "utf8");
    const again: Imported = JSON.parse((await normrope(args)).out);
    expect([again.added, [...again.present].sort()]).toEqual([[], ids]);
    expect(readFileSync(config, "utf8")).toBe(text);
  });

  it("and each config of test/hf_configs is one of these, or of those that are refused", async () => {
    const { REFUSED } = await import("./hf_refused.js");
    const tested = [...CASES.map(([name]) => name), ...REFUSED.map(([name]) => name)].sort();
    expect(tested).toEqual(
      readdirSync(CONFIGS)
        .map((name) => name.replace(/\.json$/, ""))
        .sort(),
    );
    expect(CASES.length).toBeGreaterThanOrEqual(36);
  });
});
