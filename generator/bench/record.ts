/**
 * The record of a benchmark: what was measured, on what, and how.
 *
 * In: the JSON text of a record. Out: checked, typed rows. Pure: must not touch files; measures and draws nothing.
 */
import { z } from "zod";
import { configPointSchema } from "../../runtime/manifest.js";
import { userError } from "../diagnostics.js";

const count = z.int().nonnegative();

/** One batch shape of one kernel. Unknown keys are a later version's, and are let through. */
const benchRowSchema = z.looseObject({
  ...configPointSchema.shape,
  q_heads: count,
  k_heads: count,
  v_heads: count,
  tokens: count.positive(),
  /** `warm`: launches over one buffer. `cold`: over more buffers than the cache holds. */
  cache: z.enum(["warm", "cold"]),
  /** With programmatic dependent launch. */
  pdl: z.boolean(),
  /** Microseconds of a launch. */
  us: z.number().positive(),
  /** Microseconds of a kernel that only loads and stores the same bytes, and of one that does nothing. */
  floor_us: z.number().positive(),
  empty_us: z.number().nonnegative(),
  /** `us` over `floor_us`. */
  over_floor: z.number().positive(),
  gbps: z.number().nonnegative(),
});

const benchRecordSchema = z.looseObject({
  device: z.string(),
  driver: z.string(),
  toolkit: z.string(),
  commit: z.string(),
  date: z.string(),
  method: z.string(),
  rows: z.array(benchRowSchema),
});

export type BenchRow = z.infer<typeof benchRowSchema>;
export type BenchRecord = z.infer<typeof benchRecordSchema>;

/**
 * Reads a record; `where` names its file in the message.
 * @throws UserError `bad-record`.
 */
export function parseBenchRecord(text: string, where: string): BenchRecord {
  const fix = "write it anew, or name another with --bench FILE";
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw userError("bad-record", `${where} is not JSON`, fix);
  }
  const result = benchRecordSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "the whole" : issue.path.join(".");
  throw userError("bad-record", `${where} is not a benchmark record: ${place}: ${issue?.message}`, fix);
}
