/**
 * The op under the name and with the arguments that `sgl_kernel` gives it, for code that is ported from there.
 *
 * In: an open library, a packed qkv and numbers. Out: one launch, in place. Uses the public runtime only. RoPE tables
 * are made once for each set of parameters, and a bounded number of them is kept on the device.
 */
import type { DeviceRope, RunOptions } from "./call.js";
import {
  invalidArgument,
  isA,
  requireFields,
  requireObject,
  requirePositive,
  unfitArgument,
} from "./errors.js";
import { packedHeads, requireCount } from "./heads.js";
import type { ConfigPoint } from "./manifest.js";
import { DeviceBuffer } from "./memory.js";
import { Library } from "./open_library.js";
import { ropeTable } from "./rope_table.js";

/** A model has one table, or one for each kind of layer. */
const TABLES_KEPT = 16;

const tables = new WeakMap<Library, Map<string, DeviceRope & Disposable>>();

/**
 * RMSNorm of every q and k head of a packed qkv, then RoPE, in place: the argument list of
 * `sgl_kernel.fused_qk_norm_rope`, after the library, and how to launch at its end. v is not touched. It launches
 * before the promise resolves: await it before what is to come after it.
 *
 * @param qkv `[numTokens, (numHeadsQ + numHeadsK + numHeadsV) * headDim]`, bf16 or f16; its type selects the kernel.
 * @param eps Added to the mean of squares; not negative.
 * @param qWeight `[headDim]`, of qkv's type; so is `kWeight`.
 * @param base `rope_theta`.
 * @param isNeox Pairs (i, i + rotaryDim/2); otherwise (2i, 2i + 1).
 * @param positionIds `[numTokens]`, int32 or int64.
 * @param factor YaRN's factor; 1 is no scaling, and `low` and `high` mean nothing then.
 * @param low Index of the last frequency that stays, where `factor` is not 1.
 * @param high Index of the first frequency that is divided by `factor`.
 * @param attentionFactor Multiplies cosine and sine; 1 without scaling.
 * @param rotaryDim Leading elements of a head that rotate; default `headDim`.
 * @throws NormropeError `invalid-argument`, `kernel-not-found`, `closed`, `no-device`, `device-error`, through the
 * promise; nothing was launched.
 */
export async function fusedQkNormRope(
  library: Library,
  qkv: DeviceBuffer,
  numHeadsQ: number,
  numHeadsK: number,
  numHeadsV: number,
  headDim: number,
  eps: number,
  qWeight: DeviceBuffer,
  kWeight: DeviceBuffer,
  base: number,
  isNeox: boolean,
  positionIds: DeviceBuffer,
  factor: number,
  low: number,
  high: number,
  attentionFactor: number,
  rotaryDim: number | null = headDim,
  launch: Pick<RunOptions, "stream" | "pdl"> = {},
): Promise<void> {
  if (!isA(library, Library)) throw invalidArgument("library", library, "a library that is open");
  requireObject("launch", launch);
  requireFields("launch", launch, ["stream", "pdl"]);
  const { stream, pdl } = launch;
  const dtype = dtypeOf(qkv);
  if (!isA(positionIds, DeviceBuffer)) throw invalidArgument("positionIds", positionIds, "a buffer");
  for (const [name, value] of Object.entries({ factor, low, high, attentionFactor })) {
    if (typeof value !== "number") throw invalidArgument(name, value, "a number");
  }
  for (const [name, value] of Object.entries({ numHeadsQ, numHeadsK, numHeadsV })) requireCount(name, value);
  if (typeof isNeox !== "boolean") throw invalidArgument("isNeox", isNeox, "true or false");
  const rope = isNeox ? "neox" : "interleaved";
  const kernel = await library.kernel({ headDim, rotaryDim: rotaryDim ?? headDim, rope, dtype });
  const numTokens = positionIds.length;
  const elements = numTokens * (numHeadsQ + numHeadsK + numHeadsV) * headDim;
  if (qkv.length !== elements) {
    const shape = `${numTokens} tokens of ${numHeadsQ} + ${numHeadsK} + ${numHeadsV} heads of ${headDim}`;
    throw unfitArgument("qkv", `a buffer of ${qkv.length} elements`, `${elements} long: ${shape}`);
  }
  const heads = packedHeads({
    ...{ qkv, headDim, numQHeads: numHeadsQ, numKHeads: numHeadsK, numVHeads: numHeadsV },
    ...{ qWeight, kWeight },
  });
  const ramp = factor === 1 ? { low: 0, high: 0 } : { low, high };
  const table = tableFor(library, base, rotaryDim ?? headDim, { factor, ...ramp, attentionFactor });
  kernel.run({ ...heads, numTokens, positions: positionIds, rope: table, eps, stream, pdl });
}

function dtypeOf(qkv: DeviceBuffer): ConfigPoint["dtype"] {
  if (!isA(qkv, DeviceBuffer)) throw invalidArgument("qkv", qkv, "a buffer");
  if (qkv.type === "bf16" || qkv.type === "f16") return qkv.type;
  throw unfitArgument("qkv", `a buffer of ${qkv.type}`, "of bf16 or f16");
}

type Ramp = Readonly<Record<"factor" | "low" | "high" | "attentionFactor", number>>;

function tableFor(library: Library, base: number, rotaryDim: number, ramp: Ramp): DeviceRope {
  requirePositive("base", base);
  const kept = tables.get(library) ?? new Map<string, DeviceRope & Disposable>();
  tables.set(library, kept);
  const key = JSON.stringify([base, rotaryDim, ramp]);
  const found = kept.get(key);
  const table =
    found ?? library.uploadRope(ropeTable({ base, rotaryDim, scaling: { type: "yarn-ramp", ...ramp } }));
  // The table used last is the last in the map.
  kept.delete(key);
  kept.set(key, table);
  const [oldest] = kept;
  if (kept.size > TABLES_KEPT && oldest !== undefined) {
    kept.delete(oldest[0]);
    oldest[1][Symbol.dispose]();
  }
  return table;
}
