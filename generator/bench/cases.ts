/**
 * The cases of a benchmark: geometries, batch sizes, and ways of running.
 *
 * In: the library's kernels, and the command line's choices. Out: cases in the order in which they run. Pure.
 */
import { z } from "zod";
import type { ConfigPoint } from "../../dsl/axes.js";
import { type ManifestKernel, pointShape } from "../../dsl/manifest.js";
import { completed, type Values } from "../../dsl/points.js";
import { quoted, show, userError } from "../diagnostics.js";
import { closest } from "../load/closest.js";
import { GEOMETRY } from "./geometry.js";

/** Heads of a packed qkv row. */
export interface HeadCounts {
  readonly q: number;
  readonly k: number;
  readonly v: number;
}

export type MemoryState = "warm" | "cold";

export interface BenchCase {
  readonly kernel: BenchKernel;
  readonly heads: HeadCounts;
  readonly tokens: number;
  readonly memory: MemoryState;
  readonly pdl: boolean;
}

/** The parts of a kernel that running it needs. */
export type BenchKernel = Pick<ManifestKernel, "id" | "op" | "point">;

/** From this size on, batches also run cold by default. In a model, a smaller one is still in the cache. */
const COLD_TOKENS_MIN = 1024;

export const DEFAULT_TOKENS = {
  cuda: [1, 64, 256, 1024, 4096, 16384],
  cpu: [1, 64, 1024],
} as const;

/** `1,64,4096`. @throws UserError `bad-option`. */
export function parseTokens(text: string): readonly number[] {
  return text.split(",").map((part) => wholeNumber("--tokens", part));
}

/** `32/8/8,8/1/1`: q, k and v heads. @throws UserError `bad-option`. */
export function parseHeads(text: string): readonly HeadCounts[] {
  return text.split(",").map((part) => {
    const [q, k, v, ...more] = part
      .split("/")
      .map((count, i) => wholeNumber("--heads", count, i === 0 ? 1 : 0));
    if (q !== undefined && k !== undefined && v !== undefined && more.length === 0) return { q, k, v };
    throw userError(
      "bad-option",
      `--heads ${quoted(part)} is not three counts`,
      "write q/k/v, such as 32/8/8",
    );
  });
}

const MAX = { "--tokens": 1_048_576, "--heads": 4096 } as const;

function wholeNumber(option: keyof typeof MAX, text: string, least = 1): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= MAX[option]) return value;
  const range = `write whole numbers from ${least} to ${MAX[option]}`;
  throw userError("bad-option", `${option}: ${show(text)} is no count`, range);
}

/** The default heads: those of the peers' benchmarks. */
export function usualHeads({ headDim, rotaryDim = headDim }: ConfigPoint): readonly HeadCounts[] {
  if (headDim > 128) return [{ q: 16, k: 4, v: 4 }];
  const whole = { q: 32, k: 8, v: 8 };
  if (headDim < 128 || rotaryDim < headDim) return [whole];
  // A quarter of Qwen3-30B-A3B, and Qwen3-235B-A22B.
  return [whole, { q: 8, k: 1, v: 1 }, { q: 64, k: 4, v: 4 }];
}

const modelSchema = z.strictObject({
  q_heads: z.int().positive(),
  kv_heads: z.int().positive(),
  ...Object.fromEntries(
    Object.entries(pointShape).filter(([name]) => GEOMETRY.some((axis) => axis.name === name)),
  ),
});
export const modelsSchema = z.record(z.string(), modelSchema);
export type Models = z.infer<typeof modelsSchema>;

/** The attention of a model on one of `tp` devices. With fewer kv heads than devices, devices share a head. */
export function modelShape(
  models: Models,
  name: string,
  tp: number,
): { readonly point: Values; readonly heads: HeadCounts } {
  const model = Object.hasOwn(models, name) ? models[name] : undefined;
  if (model === undefined) {
    const near = closest(name, Object.keys(models));
    const guess = near === undefined ? "" : `did you mean ${near}? `;
    const fix = `${guess}known are ${Object.keys(models).join(", ")}; or give --heads`;
    throw userError("bad-option", `--model ${quoted(name)} is not known`, fix);
  }
  const { q_heads, kv_heads, ...written } = model;
  const point = completed(GEOMETRY, written);
  const kv = kv_heads / tp;
  if (q_heads % tp !== 0 || !(Number.isInteger(kv) || Number.isInteger(1 / kv))) {
    const message = `--tp ${tp} does not divide the ${q_heads} q and ${kv_heads} kv heads of ${name}`;
    throw userError(
      "bad-option",
      message,
      "write a number that divides the q heads, and divides or is a multiple of the kv heads",
    );
  }
  return { point, heads: { q: q_heads / tp, k: Math.max(1, kv), v: Math.max(1, kv) } };
}

export interface Choice {
  readonly headsOf: (point: ConfigPoint) => readonly HeadCounts[];
  readonly tokens: readonly number[];
  /** Default: warm, and cold where the batch is large. */
  readonly memory?: MemoryState | undefined;
  /** Also with programmatic dependent launch. */
  readonly pdl: boolean;
}

export function casesOf(kernels: readonly BenchKernel[], choice: Choice): readonly BenchCase[] {
  const memories = (tokens: number): readonly MemoryState[] => {
    if (choice.memory !== undefined) return [choice.memory];
    return tokens < COLD_TOKENS_MIN ? ["warm"] : ["warm", "cold"];
  };
  return kernels.flatMap((kernel) =>
    choice
      .headsOf(kernel.point)
      .flatMap((heads) =>
        choice.tokens.flatMap((tokens) =>
          memories(tokens).flatMap((memory) =>
            (choice.pdl ? [false, true] : [false]).map((pdl) => ({ kernel, heads, tokens, memory, pdl })),
          ),
        ),
      ),
  );
}
