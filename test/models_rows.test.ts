/** Every layer of the survey of models: imported with its sizes, or refused with the reason. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readModel } from "../generator/models/model.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { temporaryFolder } from "./helpers.js";
import { MODEL_ROWS, type ModelRow } from "./model_rows.js";

/** How many of the 102 an op does. */
const IMPORTED = 79;

const TAKEN = MODEL_ROWS.flatMap(([name, config, reason]) =>
  reason === undefined ? [[name, config] as const] : [],
);
const REFUSED = MODEL_ROWS.flatMap(([name, config, reason]) =>
  reason ? [[name, config, reason] as const] : [],
);

function read(config: ModelRow[1]) {
  const path = join(temporaryFolder(), "config.json");
  if (typeof config !== "string") writeFileSync(path, JSON.stringify(config));
  const file = typeof config === "string" ? join(PACKAGE_ROOT, "test", "hf_configs", `${config}.json`) : path;
  return readModel(file, { axes: {}, tp: 1, dtype: "bf16" });
}

describe("a layer of the survey", () => {
  it.each(REFUSED)("is refused: %s", (_, config, reason) => {
    expect(() => read(config)).toThrow(reason);
  });

  it.each(TAKEN)("is imported: %s", (_, config) => {
    expect(read(config).layers).not.toEqual([]);
  });

  it(`is imported in ${IMPORTED} cases of ${MODEL_ROWS.length}`, () => {
    expect(MODEL_ROWS).toHaveLength(102);
    expect(TAKEN).toHaveLength(IMPORTED);
  });

  it("is named in docs/models.md if it is refused", () => {
    const page = readFileSync(join(PACKAGE_ROOT, "docs", "models.md"), "utf8");
    for (const [name] of REFUSED) expect(page).toContain(name);
    expect(page).toContain(`${IMPORTED} of ${MODEL_ROWS.length}`);
  });
});

/** A layer as the survey tells it. Null: not known. */
interface Surveyed {
  readonly name: string;
  readonly num_attention_heads: number | null;
  readonly num_key_value_heads: number | null;
  readonly head_dim: number | null;
  readonly rotary_dim: number | null;
  readonly rope_theta: number | null;
  readonly rope_style: string | null;
  readonly norm_kind: string;
  readonly weight_form: string;
  readonly order: string;
  readonly mrope_section: readonly number[] | null;
}

const SURVEY = join(PACKAGE_ROOT, "..", "shared", "models.json");

describe.skipIf(!existsSync(SURVEY))("the survey", () => {
  const survey: readonly Surveyed[] = existsSync(SURVEY) ? JSON.parse(readFileSync(SURVEY, "utf8")) : [];

  it("has these layers, in this order", () => {
    expect(MODEL_ROWS.map(([name]) => name)).toEqual(survey.map(({ name }) => name));
  });

  it.each(TAKEN)("agrees with: %s", (name, config) => {
    const said = survey.find((row) => row.name === name);
    if (said === undefined) return expect(name).toBe("a layer of the survey");
    const { op, layers } = read(config);
    const found = layers.map(({ numQHeads, numKvHeads, headDim, rope, values }) => ({
      num_attention_heads: numQHeads,
      num_key_value_heads: numKvHeads,
      head_dim: headDim,
      // The pairs of Gemma 4 that rest are pairs that turn by 0.
      rotary_dim: rope.rotaryDim,
      rope_theta: rope.tables[0]?.parameters.base ?? said.rope_theta,
      rope_style: values.rope === "neox" ? "neox" : "interleaved",
      norm_kind: values.norm === "none" ? "none" : values.norm === "layer" ? "layernorm" : "rms",
      weight_form: { one_plus: "1+w", none: "none", plain: "w" }[String(values.weight)] ?? "none",
      order:
        values.norm === "none"
          ? "rope only"
          : op.name === "qk_rope_norm"
            ? "rope then norm"
            : "norm then rope",
      mrope_section: rope.pairAxes?.sections ?? null,
    }));
    const wanted = {
      ...said,
      rope_style: said.rope_style?.startsWith("neox") ? "neox" : "interleaved",
      norm_kind: /^(l2|q: rms)/.test(said.norm_kind) ? "rms" : said.norm_kind.split(" ")[0],
      // DeepSeek-V4's q has none.
      weight_form: /^q none/.test(said.weight_form) ? "w" : said.weight_form,
    };
    const known = (Object.keys(found[0] ?? {}) as (keyof Surveyed)[]).filter(
      (key) => wanted[key] !== null || key === "mrope_section",
    );
    const expected = Object.fromEntries(known.map((key) => [key, wanted[key]]));
    expect(found).toContainEqual(expect.objectContaining(expected));
  });
});
