/**
 * `import` on the configs of models that the op can do, in Hugging Face's form. What is expected was taken from the
 * models, not from the table in the sources.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { neoxSpace, normrope } from "./cli_helpers.js";
import { temporaryFolder } from "./helpers.js";

const CONFIGS = join(PACKAGE_ROOT, "test", "hf_configs");
const fixture = (name: string) => join(CONFIGS, `${name}.json`);

/** One group of layers: its point in short, the heads of one rank of one, and how its table begins. */
interface Layers {
  readonly types: string;
  readonly count: number | null;
  readonly point: string;
  /** q/k/v */
  readonly heads: string;
  readonly tables: readonly string[];
}

const plain = (base: number, rotaryDim: number) => `ropeTable({ base: ${base}, rotaryDim: ${rotaryDim} })`;
const scaled = (base: number, rotaryDim: number, scaling: string) =>
  `ropeTable({ base: ${base}, rotaryDim: ${rotaryDim}, scaling: { ${scaling} } })`;
const still = (rotaryDim: number) => `tableOf(new Float64Array(${rotaryDim / 2}), 1)`;

const layers = (
  types: string,
  count: number | null,
  point: string,
  heads: string,
  ...tables: string[]
): Layers => ({ types, count, point, heads, tables });
const full = (count: number, point: string, heads: string, table: string) => [
  layers("full_attention", count, point, heads, table),
];
const sliding = (count: number, point: string, heads: string, table: string) =>
  layers("sliding_attention", count, point, heads, table);

const NEOX_128 = "d128_r128_neox";
const EARLY = /rounds to bf16 before it multiplies by the weight.*cosine, sine and products in it/;
const LATE = /rounds to bf16 behind the weight.*cosine, sine and products in it/;
const UNKNOWN = /is not known here/;
const EXAONE = `type: "llama3", factor: 16, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192`;
const GEMMA_4 = scaled(1e6, 512, `type: "proportional", partialRotaryFactor: 0.25`);

type Case = readonly [name: string, eps: number, rounding: RegExp, layers: readonly Layers[]];

/** What configs leave out, and nothing guesses. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  "qwen3-4b-thinking-2507": ["--dtype", "bf16"],
  "plamo-2-8b": ["--rope-theta", "10000"],
};

const CASES: readonly Case[] = [
  ["qwen3-0.6b", 1e-6, EARLY, full(28, NEOX_128, "16/8/8", plain(1e6, 128))],
  ["qwen3-1.7b", 1e-6, EARLY, full(28, NEOX_128, "16/8/8", plain(1e6, 128))],
  ["qwen3-4b", 1e-6, EARLY, full(36, NEOX_128, "32/8/8", plain(1e6, 128))],
  ["qwen3-4b-thinking-2507", 1e-6, EARLY, full(36, NEOX_128, "32/8/8", plain(5e6, 128))],
  [
    "qwen3-8b-yarn",
    1e-6,
    EARLY,
    full(
      36,
      NEOX_128,
      "32/8/8",
      scaled(1e6, 128, `type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32768`),
    ),
  ],
  ["qwen3-32b", 1e-6, EARLY, full(64, NEOX_128, "64/8/8", plain(1e6, 128))],
  ["qwen3-30b-a3b", 1e-6, EARLY, full(48, NEOX_128, "32/4/4", plain(1e6, 128))],
  ["qwen3-30b-a3b-thinking-2507", 1e-6, EARLY, full(48, NEOX_128, "32/4/4", plain(1e7, 128))],
  ["qwen3-235b-a22b", 1e-6, EARLY, full(94, NEOX_128, "64/4/4", plain(1e6, 128))],
  ["qwen3-235b-a22b-thinking-2507", 1e-6, EARLY, full(94, NEOX_128, "64/4/4", plain(5e6, 128))],
  ["glm-4.5", 1e-5, EARLY, full(92, "d128_r64_neox", "96/8/8", plain(1e6, 64))],
  ["glm-4.6", 1e-5, EARLY, full(92, "d128_r64_neox", "96/8/8", plain(1e6, 64))],
  ["dots.llm1", 1e-5, EARLY, full(62, NEOX_128, "32/32/32", plain(1e7, 128))],
  ["hy3-preview", 1e-5, EARLY, full(80, NEOX_128, "64/8/8", plain(11158840, 128))],
  ["ling-mini-2.0", 1e-6, EARLY, full(20, "d128_r64_neox", "16/4/4", plain(6e5, 64))],
  ["lfm2-8b-a1b", 1e-5, EARLY, full(6, "d64_r64_neox", "32/8/8", plain(1e6, 64))],
  ["lfm2-1.2b", 1e-5, EARLY, full(6, "d64_r64_neox", "32/8/8", plain(1e6, 64))],
  [
    "exaone-4.0-32b",
    1e-5,
    EARLY,
    [sliding(48, NEOX_128, "40/8/8", scaled(1e6, 128, EXAONE)), ...full(16, NEOX_128, "40/8/8", still(128))],
  ],
  [
    "k-exaone-236b-a23b",
    1e-5,
    EARLY,
    [sliding(36, NEOX_128, "64/8/8", plain(1e6, 128)), ...full(12, NEOX_128, "64/8/8", still(128))],
  ],
  [
    "trinity-mini",
    1e-5,
    LATE,
    [sliding(24, NEOX_128, "32/4/4", plain(1e4, 128)), ...full(8, NEOX_128, "32/4/4", still(128))],
  ],
  [
    "mellum2-12b-a2.5b",
    1e-6,
    EARLY,
    [sliding(21, NEOX_128, "32/4/4", plain(1e4, 128)), ...full(7, NEOX_128, "32/4/4", plain(5e5, 128))],
  ],
  [
    "gemma-3n-e4b",
    1e-6,
    LATE,
    [
      sliding(16, "d256_r256_neox", "8/2/2", plain(1e4, 256)),
      ...full(4, "d256_r256_neox", "8/2/2", plain(1e6, 256)),
      sliding(12, "d256_r256_neox", "8/0/0", plain(1e4, 256)),
      ...full(3, "d256_r256_neox", "8/0/0", plain(1e6, 256)),
    ],
  ],
  [
    "gemma-4-26b-a4b",
    1e-6,
    LATE,
    [
      sliding(25, "d256_r256_neox", "16/8/8", plain(1e4, 256)),
      ...full(5, "d512_r512_neox", "16/2/2", GEMMA_4),
    ],
  ],
  [
    "gemma-4-31b",
    1e-6,
    LATE,
    [
      sliding(50, "d256_r256_neox", "32/16/16", plain(1e4, 256)),
      ...full(10, "d512_r512_neox", "32/4/4", GEMMA_4),
    ],
  ],
  [
    "gemma-4-e2b",
    1e-6,
    LATE,
    [
      sliding(12, "d256_r256_neox", "8/1/1", plain(1e4, 256)),
      ...full(3, "d512_r512_neox", "8/1/1", GEMMA_4),
      sliding(16, "d256_r256_neox", "8/0/0", plain(1e4, 256)),
      ...full(4, "d512_r512_neox", "8/0/0", GEMMA_4),
    ],
  ],
  [
    "gemma-4-e4b",
    1e-6,
    LATE,
    [
      sliding(20, "d256_r256_neox", "8/2/2", plain(1e4, 256)),
      ...full(4, "d512_r512_neox", "8/2/2", GEMMA_4),
      sliding(15, "d256_r256_neox", "8/0/0", plain(1e4, 256)),
      ...full(3, "d512_r512_neox", "8/0/0", GEMMA_4),
    ],
  ],
  ["plamo-2-8b", 1e-6, UNKNOWN, [layers("full_attention", null, NEOX_128, "32/4/4", plain(1e4, 128))]],
  ["internvl3.5-qwen3", 1e-6, EARLY, full(36, NEOX_128, "32/8/8", plain(1e6, 128))],
];

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

describe("a model that the op can do gives its points, heads and tables:", () => {
  it.each<Case>(CASES)("%s", async (name, eps, rounding, expected) => {
    const config = join(temporaryFolder(), "normrope.config.ts");
    writeFileSync(config, neoxSpace(16));
    const args = ["import", fixture(name), "--config", config, "--json", ...(FLAGS[name] ?? [])];
    const { code, out, err } = await normrope(args);
    expect([code, err]).toEqual([0, ""]);
    const imported: Imported = JSON.parse(out);
    expect(
      imported.layers.map(({ types, count, heads, id, tables }) => ({
        types: types.join(),
        count,
        point: id.replace("qk_norm_rope__bf16_", ""),
        heads: `${heads.q}/${heads.k}/${heads.v}`,
        tables: tables.map(({ call }) => call),
      })),
    ).toEqual(expected);
    expect([imported.model.eps, imported.rounding]).toEqual([eps, expect.stringMatching(rounding)]);

    const ids = [...new Set(expected.map(({ point }) => `qk_norm_rope__bf16_${point}`))].sort();
    expect([imported.added, imported.present]).toEqual([ids, []]);
    expect(await listed(config)).toEqual(expect.arrayContaining(ids));
    expect(await listed(config)).toHaveLength(1 + ids.length);

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
    expect(CASES.length).toBeGreaterThanOrEqual(25);
  });
});
