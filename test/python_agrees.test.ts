/** Python and TypeScript say the same of the same bad calls, and make the same tables. */
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, it } from "vitest";
import { NormropeError } from "../runtime/errors.js";
import { packedHeads } from "../runtime/heads.js";
import type { DeviceBuffer } from "../runtime/memory.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import { BUILDS, buildFor, PYTHON_FOLDER, python, pythonEnvironment } from "./python.js";

const buffer = (type: "bf16" | "f16" | "int32" | "int64", length: number) => ({ type, length });

/** A right call: the names and the order are those of the op, in Python's spelling. */
const GOOD = {
  qkv: buffer("bf16", 2 * 3 * 64) as unknown,
  num_heads_q: 1 as unknown,
  num_heads_k: 1 as unknown,
  num_heads_v: 1 as unknown,
  head_dim: 64 as unknown,
  eps: 1e-5 as unknown,
  q_weight: buffer("bf16", 64) as unknown,
  k_weight: buffer("bf16", 64) as unknown,
  base: 1e4 as unknown,
  is_neox: true as unknown,
  position_ids: buffer("int32", 2) as unknown,
  factor: 1 as unknown,
  low: 0 as unknown,
  high: 1 as unknown,
  attention_factor: 1 as unknown,
  rotary_dim: null as unknown,
};
type Call = typeof GOOD;

const number = (text: string) => ({ number: text });

/** What both check; what only the argument list of Python's op can have wrong is in python/tests. */
const BAD: readonly Partial<Call>[] = [
  { num_heads_q: -1 },
  { num_heads_k: true },
  { num_heads_v: 1.5 },
  { num_heads_v: 2 ** 31 },
  { num_heads_k: null },
  { num_heads_k: "1" },
  { base: 0 },
  { base: -1 },
  { base: "10000" },
  { base: number("nan") },
  { base: number("inf") },
  { factor: 0 },
  { factor: number("nan") },
  { factor: number("-inf") },
  { attention_factor: 0 },
  { attention_factor: -1 },
  { attention_factor: number("nan") },
  { attention_factor: 1e39 },
  { factor: 2, low: 3 },
  { factor: 2, low: number("nan") },
  { factor: 2, low: number("-inf") },
  { factor: 2, high: number("inf") },
  { eps: number("nan") },
  { eps: -1e-3 },
  { eps: "1e-6" },
  { eps: null },
  { eps: 1e39 },
  { eps: 1e-39 },
  { position_ids: buffer("bf16", 2) },
  { rotary_dim: 63 },
  { rotary_dim: 128 },
  { rotary_dim: 0 },
  { rotary_dim: -2 },
  { rotary_dim: "64" },
  { head_dim: 60 },
  { head_dim: -64 },
  { head_dim: "64" },
  { head_dim: true },
  { head_dim: 2048 },
  { head_dim: 96 },
  { head_dim: 96, rotary_dim: 46 },
];

const ROPES = [1e4, 5e5, 1e6, 12345.678].flatMap((base) =>
  [2, 36, 64, 128].flatMap((dim) => [
    [base, dim, 1, 0, 0],
    [base, dim, 4, dim / 8, dim / 3],
    [base, dim, 2.5, 4, 4],
  ]),
);

function valueFor(library: Library, given: unknown): unknown {
  if (typeof given !== "object" || given === null || Array.isArray(given)) return given;
  if ("number" in given) return Number(String(given.number).replace("inf", "Infinity"));
  const { type, length } = given as ReturnType<typeof buffer>;
  return library.allocate(type, length);
}

/** The call in terms of the TypeScript runtime. */
async function run(library: Library, call: Call): Promise<void> {
  // Calls are made without types, as Python's are.
  const given = Object.fromEntries(
    Object.entries(call).map(([name, value]) => [name, valueFor(library, value)]),
  ) as Record<keyof Call, never>;
  const { qkv, position_ids: positions, head_dim: headDim, eps, factor, low, high } = given;
  const rotaryDim = given.rotary_dim ?? headDim;
  const rope = given.is_neox ? "neox" : "interleaved";
  const counts = { numQHeads: given.num_heads_q, numKHeads: given.num_heads_k, numVHeads: given.num_heads_v };
  const { type: dtype } = qkv as DeviceBuffer<"bf16">;
  const kernel = await library.kernel({ headDim, rotaryDim, rope, dtype });
  const weights = { qWeight: given.q_weight, kWeight: given.k_weight };
  const heads = packedHeads({ qkv, headDim, ...counts, ...weights });
  const ramp = { factor, low, high, attentionFactor: given.attention_factor };
  const scaling = { type: "yarn-ramp", ...ramp } as const;
  const table = library.uploadRope(ropeTable({ base: given.base, rotaryDim, scaling }));
  const { length: numTokens } = positions as DeviceBuffer;
  kernel.run({ ...heads, numTokens, positions, rope: table, eps });
}

async function errorOf(library: Library, call: Call): Promise<string[]> {
  try {
    await run(library, call);
  } catch (error) {
    if (!(error instanceof NormropeError)) throw error;
    const { code, message, fix } = error;
    return [code, message.slice(0, -`. ${fix}`.length), fix];
  }
  return ["", "", ""];
}

/** A text of the TypeScript runtime in Python's spelling. */
function inPython(text: string): string {
  return text
    .replace(/\b(scaling|rope|table)\.(?=factor|low|high|attentionFactor)/g, "")
    .replace(/\bq\.weight\b/g, "q_weight")
    .replace(/\bpositions\b/g, "position_ids")
    .replace(
      /\b(position|attention)([A-Z])/g,
      (_, word: string, next: string) => `${word}_${next.toLowerCase()}`,
    )
    .replace(/\bnum([QKV])Heads\b/g, (_, side: string) => `num_heads_${side.toLowerCase()}`)
    .replace(/\bNaN\b/g, "nan")
    .replace(/\bInfinity\b/g, "inf")
    .replace(/\bnull\b/g, "None")
    .replace(/\bundefined\b/g, "None")
    .replace(/\btrue\b/g, "True")
    .replace(/\bfalse\b/g, "False")
    .replace(/\ban array of\b/g, "a list of");
}

/** Python writes a float's fraction though it is 0, and an exponent with two digits. */
const plain = (text: string) => text.replace(/(\d)\.0\b/g, "$1").replace(/e([+-])0?/g, "e$1");

describe.skipIf(python === undefined)("Python and TypeScript agree", () => {
  let library: Library;
  let answer: { errors: string[][]; tables: { frequencies: number[]; turns: string[] }[] };
  beforeAll(async () => {
    const path = await buildFor("tests", "cpu");
    library = await open({ target: "cpu", path });
    const calls = [GOOD, ...BAD.map((change) => ({ ...GOOD, ...change }))];
    const input = JSON.stringify({ library: path, calls, ropes: ROPES });
    const env = { ...pythonEnvironment, NORMROPE_JIT: "0", NORMROPE_CACHE_DIR: join(BUILDS, "no cache") };
    const { stdout } = await execa(python?.path ?? "", [join(PYTHON_FOLDER, "tests", "messages.py")], {
      input,
      env,
    });
    answer = JSON.parse(stdout);
  });

  it("that a good call is one", async () => {
    expect(answer.errors[0]).toEqual(["", "", ""]);
    expect(await errorOf(library, GOOD)).toEqual(["", "", ""]);
  });

  it.each(BAD.map((change, i) => [JSON.stringify(change), change, i + 1] as const))(
    "in what they say of %s",
    async (_, change, i) => {
      const [code = "", message = "", fix = ""] = await errorOf(library, { ...GOOD, ...change });
      expect(code).not.toBe("");
      const [itsCode, itsMessage = "", itsFix = ""] = answer.errors[i] ?? [];
      expect([itsCode, plain(itsMessage)]).toEqual([code, plain(inPython(message))]);
      expect(plain(itsFix)).toBe(plain(inPython(fix)));
    },
  );

  it("in the tables that they make", () => {
    ROPES.forEach(([base = 0, rotaryDim = 0, factor = 0, low = 0, high = 0], i) => {
      const scaling = { type: "yarn-ramp", factor, low, high, attentionFactor: 1 } as const;
      const { invFreq } = ropeTable({ base, rotaryDim, scaling });
      const made = answer.tables[i];
      expect(made?.frequencies).toHaveLength(invFreq.length);
      invFreq.forEach((frequency, pair) => {
        // V8's power is off by a unit in the last place here and there, that of C's library hardly ever.
        const unit = 2 ** (Math.floor(Math.log2(frequency)) - 52);
        expect(Math.abs((made?.frequencies[pair] ?? 0) - frequency) / unit).toBeLessThanOrEqual(2);
      });
    });
  });
});
