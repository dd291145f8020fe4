/**
 * The record of a benchmark: times, machine and method.
 *
 * In: the JSON text of a record, or rows and their library's manifest. Out: checked, typed rows, or the text. Pure.
 */
import { z } from "zod";
import type { ConfigPoint } from "../../dsl/axes.js";
import { type BuiltManifest, pointShape, type Resources, type Target } from "../../dsl/manifest.js";
import { qkNormRope } from "../../dsl/qk_norm_rope.op.js";
import { quoted, userError } from "../diagnostics.js";
import { spelledPoint } from "../kernel_id.js";

const count = z.int().nonnegative();

/** One batch shape of one kernel. Unknown keys belong to later versions and are kept. */
const benchRowSchema = z.looseObject({
  /** The id of the op. Default: the op that ships, as in all older records. */
  kernel: z.string().optional(),
  ...pointShape,
  q_heads: count,
  k_heads: count,
  v_heads: count,
  tokens: count.positive(),
  /** `warm`: launches over one buffer. `cold`: over more buffers than the cache holds. */
  memory: z.enum(["warm", "cold"]),
  /** Whether launches were programmatic dependent launches. */
  pdl: z.boolean(),
  /** Bytes of the op's heads, read once. Default: q's and k's, as in all older records. */
  bytes: count.optional(),
  /** Microseconds of a launch. */
  us: z.number().positive(),
  /** Microseconds of a kernel that only loads and stores the same bytes, and of one that does nothing. */
  floor_us: z.number().positive(),
  empty_us: z.number().nonnegative(),
  /** Of a kernel that stores elsewhere: a floor of the same bytes that finds places by division, as the peers' own floors do. */
  plain_floor_us: z.number().positive().optional(),
  /** `us` over `floor_us`. */
  over_floor: z.number().positive(),
  gbps: z.number().nonnegative(),
  /** The distance of the quartiles over the median: the larger of kernel and floor. */
  spread: z.number().nonnegative().optional(),
  /** On the CPU: the part of the time in which the calling thread waited for a CPU. */
  waited: z.number().nonnegative().optional(),
});

/** A kernel's resources, and its best ratio. */
const benchKernelSchema = z.looseObject({
  id: z.string(),
  registers: count.optional(),
  spillBytes: count.optional(),
  gbps: z.number().nonnegative(),
});

const benchRecordSchema = z.looseObject({
  device: z.string(),
  driver: z.string(),
  toolkit: z.string(),
  commit: z.string(),
  date: z.string(),
  method: z.string(),
  kernels: z.array(benchKernelSchema).optional(),
  rows: z.array(benchRowSchema),
});

export type BenchRow = z.infer<typeof benchRowSchema>;
export type BenchKernel = z.infer<typeof benchKernelSchema>;
export type BenchRecord = z.infer<typeof benchRecordSchema>;

/**
 * Reads a record; `where` names its file in the message.
 * @throws UserError `bad-record`.
 */
export function parseBenchRecord(text: string, where: string): BenchRecord {
  return parseJson(benchRecordSchema, text, where);
}

/** The time over a plain loop, as peers give theirs: the floor, or the plain one of a kernel that stores elsewhere. */
export const overPlainFloor = ({ us, plain_floor_us, over_floor }: BenchRow): number =>
  plain_floor_us === undefined ? over_floor : us / plain_floor_us;

/** Limits of spread and waiting. Above them a median tells more about the machine than about the kernel. */
const SPREAD_MAX = 0.3;
const WAITED_MAX = 0.1;

/** Whether a row's times agree and were measured on a free machine. */
export function isSteady({ spread = 0, waited = 0 }: BenchRow): boolean {
  return spread <= SPREAD_MAX && waited <= WAITED_MAX;
}

/** Reads a benchmark file by its schema. @throws UserError `bad-record`. */
export function parseJson<T>(schema: z.ZodType<T>, text: string, where: string): T {
  const fix = "name another, or make a new one with `normrope bench`";
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw userError("bad-record", `${quoted(where)} is not JSON`, fix);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "the whole" : issue.path.join(".");
  throw userError(
    "bad-record",
    `${quoted(where)} is not a benchmark record: ${quoted(place)}: ${quoted(issue?.message ?? "")}`,
    fix,
  );
}

/** The id of a row's kernel. */
export function kernelOf(row: ConfigPoint & { readonly kernel?: string | undefined }): string {
  return row.kernel ?? `${qkNormRope.name}__${spelledPoint(row)}`;
}

/** The resources of each measured kernel, and its best ratio. */
export function kernelsOf({ kernels, build }: BuiltManifest, rows: readonly BenchRow[]): BenchKernel[] {
  return kernels.flatMap(({ id }) => {
    const own = rows.filter((row) => kernelOf(row) === id);
    if (own.length === 0) return [];
    const found = build.resources[id] ?? [];
    const most = (value: (one: Resources) => number) => Math.max(...found.map(value));
    const resources = {
      registers: most(({ registers }) => registers),
      spillBytes: most(({ spillStoreBytes, spillLoadBytes }) => spillStoreBytes + spillLoadBytes),
    };
    return [{ id, ...(found.length === 0 ? {} : resources), gbps: Math.max(...own.map(({ gbps }) => gbps)) }];
  });
}

/** The version of the compiler that made a library. */
export function toolkitOf({ build: { toolchain } }: BuiltManifest): string {
  const release = /release [\d.]+, V([\d.]+)/.exec(toolchain)?.[1];
  return release === undefined ? (toolchain.split("\n")[0] ?? "") : `CUDA ${release}`;
}

export function methodOf(target: Target, replays: number): string {
  const what =
    target === "cuda"
      ? `median of ${replays} replays of a CUDA graph of at least 16 launches, by events`
      : `median of ${replays} times at least 16 calls, each the median of stretches of 50 us, by the host's clock`;
  const cache =
    "warm: over one buffer; cold: over buffers of 400 MB and 8 times the L2 together, at most 4096 of them";
  return `${what}, after 2 that do not count; in place; ${cache}; with pdl, floor and empty are dependent launches too`;
}

/** The text of a record, with a line for each row, so that diffs are readable. */
export function recordText({ kernels = [], rows, ...facts }: BenchRecord): string {
  const list = (items: readonly unknown[]) =>
    `[\n${items.map((item) => `    ${JSON.stringify(item)}`).join(",\n")}\n  ]`;
  const head = JSON.stringify(facts, undefined, 2).slice(0, -2);
  return `${head},\n  "kernels": ${list(kernels)},\n  "rows": ${list(rows)}\n}\n`;
}
