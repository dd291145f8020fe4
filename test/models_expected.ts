/** What `import` must give for the configs of test/hf_configs: taken from the models, not from the table in the sources. */

/** One group of layers: its point in short, the heads of one rank of one, and how its table begins. */
export interface Layers {
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

const layers = (
  types: string,
  count: number | null,
  point: string,
  heads: string,
  ...tables: string[]
): Layers => ({ types, count, point, heads, tables });
const full = (count: number, point: string, heads: string, ...tables: string[]) => [
  layers("full_attention", count, point, heads, ...tables),
];
const sliding = (count: number, point: string, heads: string, table: string) =>
  layers("sliding_attention", count, point, heads, table);

const NEOX_128 = "d128_r128_neox";
const EARLY =
  /code rounds to bf16 before it multiplies by the weight.*, then .*cosine, sine and products in bf16/;
const LATE = /code rounds to bf16 at the end of the norm, then .*cosine, sine and products in bf16/;
const ROPE_ALONE = /code rotates with cosine, sine and products in bf16:/;
const UNKNOWN = /it is not known where/;
const EXAONE = `type: "llama3", factor: 16, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192`;
const GEMMA_4 = scaled(1e6, 512, `type: "proportional", partialRotaryFactor: 0.25`);

export type Case = readonly [name: string, eps: number | null, rounding: RegExp, layers: readonly Layers[]];

/** What configs leave out, and nothing guesses. */
export const FLAGS: Readonly<Record<string, readonly string[]>> = {
  "qwen3-4b-thinking-2507": ["--dtype", "bf16"],
  "qwen3-omni-30b-a3b": ["--dtype", "bf16"],
  "openelm-270m": ["--dtype", "f16"],
  "flux.1-dev": ["--dtype", "bf16"],
};

export const CASES: readonly Case[] = [
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
    [sliding(48, NEOX_128, "40/8/8", scaled(1e6, 128, EXAONE)), ...full(16, "d128_r0", "40/8/8")],
  ],
  [
    "k-exaone-236b-a23b",
    1e-5,
    EARLY,
    [sliding(36, NEOX_128, "64/8/8", plain(1e6, 128)), ...full(12, "d128_r0", "64/8/8")],
  ],
  [
    "trinity-mini",
    1e-5,
    LATE,
    [sliding(24, NEOX_128, "32/4/4", plain(1e4, 128)), ...full(8, "d128_r0", "32/4/4")],
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
      sliding(16, "d256_r256_neox_vnorm", "8/2/2", plain(1e4, 256)),
      ...full(4, "d256_r256_neox_vnorm", "8/2/2", plain(1e6, 256)),
      sliding(12, "d256_r256_neox_vnorm", "8/0/0", plain(1e4, 256)),
      ...full(3, "d256_r256_neox_vnorm", "8/0/0", plain(1e6, 256)),
    ],
  ],
  [
    "gemma-4-26b-a4b",
    1e-6,
    LATE,
    [
      sliding(25, "d256_r256_neox_vnorm", "16/8/8", plain(1e4, 256)),
      ...full(5, "d512_r512_neox_vnorm", "16/2/2", GEMMA_4),
    ],
  ],
  [
    "gemma-4-31b",
    1e-6,
    LATE,
    [
      sliding(50, "d256_r256_neox_vnorm", "32/16/16", plain(1e4, 256)),
      ...full(10, "d512_r512_neox_vnorm", "32/4/4", GEMMA_4),
    ],
  ],
  [
    "gemma-4-e2b",
    1e-6,
    LATE,
    [
      sliding(12, "d256_r256_neox_vnorm", "8/1/1", plain(1e4, 256)),
      ...full(3, "d512_r512_neox_vnorm", "8/1/1", GEMMA_4),
      sliding(16, "d256_r256_neox_vnorm", "8/0/0", plain(1e4, 256)),
      ...full(4, "d512_r512_neox_vnorm", "8/0/0", GEMMA_4),
    ],
  ],
  [
    "gemma-4-e4b",
    1e-6,
    LATE,
    [
      sliding(20, "d256_r256_neox_vnorm", "8/2/2", plain(1e4, 256)),
      ...full(4, "d512_r512_neox_vnorm", "8/2/2", GEMMA_4),
      sliding(15, "d256_r256_neox_vnorm", "8/0/0", plain(1e4, 256)),
      ...full(3, "d512_r512_neox_vnorm", "8/0/0", GEMMA_4),
    ],
  ],
  ["plamo-2-8b", 1e-6, UNKNOWN, [layers("full_attention", null, NEOX_128, "32/4/4", plain(1e4, 128))]],
  ["internvl3.5-qwen3", 1e-6, EARLY, full(36, NEOX_128, "32/8/8", plain(1e6, 128))],
  [
    "gemma-3-4b",
    1e-6,
    LATE,
    [
      sliding(29, "d256_r256_neox_w1p", "8/4/4", plain(1e4, 256)),
      ...full(5, "d256_r256_neox_w1p", "8/4/4", scaled(1e6, 256, `type: "linear", factor: 8`)),
    ],
  ],
  ["qwen3-next-80b-a3b", 1e-6, LATE, full(12, "d256_r64_neox_w1p", "16/2/2", plain(1e7, 64))],
  [
    "hunyuan-a13b",
    1e-5,
    /code rotates with .* in bf16, then rounds to bf16 before it multiplies/,
    full(32, "qk_rope_norm__bf16_d128_r128_neox", "32/8/8", scaled(1e4, 128, `type: "alpha", alpha: 1000`)),
  ],
  [
    "llama-4-scout",
    1e-5,
    /code rotates in float32, and rounds to bf16 behind it, then rounds to bf16 at the end of the norm/,
    full(
      36,
      "qk_rope_norm__bf16_d128_r128_interleaved_noweight",
      "40/8/8",
      scaled(
        ...([5e5, 128] as const),
        `type: "llama3", factor: 16, lowFreqFactor: 1, highFreqFactor: 1, originalMaxPositionEmbeddings: 8192`,
      ),
    ),
  ],
  [
    "llama-4-maverick",
    null,
    /code rotates in float32/,
    full(36, "d128_r128_interleaved_nonorm", "40/8/8", plain(5e5, 128)),
  ],
  [
    "llama-3.1-8b",
    null,
    ROPE_ALONE,
    full(
      ...([32, "d128_r128_neox_nonorm", "32/8/8"] as const),
      scaled(
        ...([5e5, 128] as const),
        `type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192`,
      ),
    ),
  ],
  [
    "gpt-oss-20b",
    null,
    ROPE_ALONE,
    [
      layers(
        "sliding_attention,full_attention",
        ...([24, "d64_r64_neox_nonorm", "64/8/8"] as const),
        scaled(
          ...([150000, 64] as const),
          `type: "yarn", factor: 32, originalMaxPositionEmbeddings: 4096, betaFast: 32, betaSlow: 1, truncate: false`,
        ),
      ),
    ],
  ],
  ["glm-4.5-air", null, ROPE_ALONE, full(46, "d128_r64_neox_nonorm", "96/8/8", plain(1e6, 64))],
  [
    "aya-23-8b",
    null,
    /code rotates in float32 with cosine and sine in f16/,
    full(32, "qk_norm_rope__f16_d128_r128_interleaved_nonorm", "32/8/8", plain(1e4, 128)),
  ],
  [
    "command-r-plus",
    1e-5,
    /rounds to f16 at the end of the norm, then rotates in float32 with cosine and sine in f16/,
    full(64, "qk_norm_rope__f16_d128_r128_interleaved_layernorm", "96/8/8", plain(75e6, 128)),
  ],
  ["chameleon-7b", 1e-5, EARLY, full(32, "d128_r128_neox_layernorm_bias", "32/32/32", plain(1e4, 128))],
  [
    "nanochat-d20",
    1e-6,
    /code rotates with cosine, sine and products in bf16, then rounds to bf16 at the end of the norm/,
    full(
      ...([20, "qk_rope_norm__bf16_d128_r128_neox_noweight", "10/10/10"] as const),
      `tableOf(${plain(1e4, 128)}.invFreq.map((w) => 2 * Math.PI - w), 1)`,
    ),
  ],
  ["qwen3.5-35b-a3b", 1e-6, LATE, full(10, "d256_r64_neox_w1p_p3", "16/2/2", plain(1e7, 64))],
  ["qwen3-vl-30b-a3b", 1e-6, EARLY, full(48, "d128_r128_neox_p3", "32/4/4", plain(5e6, 128))],
  ["qwen3-omni-30b-a3b", 1e-6, EARLY, full(48, "d128_r128_neox_p3", "32/4/4", plain(1e6, 128))],
  ["openelm-270m", 1e-6, UNKNOWN, full(3, "qk_norm_rope__f16_d64_r64_neox", "12/3/3", plain(1e4, 64))],
  [
    "flux.1-dev",
    1e-6,
    /rounds to bf16 at the end of the norm, then rotates in float32, and rounds to bf16 behind it/,
    full(19, "d128_r128_interleaved_cs32", "24/24/24"),
  ],
];
