/**
 * One case of a benchmark → one row of its record.
 *
 * In: an open library, the yardsticks, a case. Out: the times of kernel, floor and empty, measured one after the other over
 * the same memory. Buffers are kept until the library is closed.
 */
import { readFileSync } from "node:fs";
import type { ConfigPoint, ManifestKernel } from "../../dsl/manifest.js";
import { typesOf } from "../../runtime/call_inputs.js";
import { bytesOf } from "../../runtime/dtype.js";
import type { DeviceBuffer, Library, Stream } from "../../runtime/index.js";
import { encode, ropeTable } from "../../runtime/index.js";
import { compilerFor } from "../build/toolchain.js";
import { cacheRoot } from "../cache/folder.js";
import { counted, internalError, userError } from "../diagnostics.js";
import { kernelSides, madeOptions } from "../verify/made_call.js";
import { randomBits, randomNumbers } from "../verify/random.js";
import { givenAngles } from "./angles.js";
import type { BenchCase } from "./cases.js";
import { quantile } from "./quantile.js";
import type { BenchRow } from "./record.js";
import { PAGE_SLOTS, pagesOf, storesElsewhere, storesOf } from "./stores.js";
import { buildYardstick, openYardstick, type StoreRows, type Yardstick } from "./yardstick.js";

export interface Bench {
  readonly library: Library;
  readonly yardstick: Yardstick;
  /** The yardstick's stream. The kernels run in it too. */
  readonly stream: Stream | undefined;
  readonly replays: number;
}

const VECTOR_BYTES = 16;

/** Short launches are repeated more often, since the clock ticks in half microseconds. */
const LAUNCHES = { few: 16, many: 64, fewFromTokens: 4096 } as const;

/** Bytes between two uses of a cold batch: many times any cache of unknown size. */
const COLD_BYTES_MIN = 400e6;
const COLD_L2_TIMES = 8;
const COPIES_MAX = 4096;

/** The part of the device's memory that buffers may take. */
const MEMORY_SHARE_MAX = 0.8;

/** Positions of a long context: from 100,000. */
const FIRST_POSITION = 100_000;
const ROPE_BASE = 1e6;
const EPS = 1e-6;

/** Builds or finds the yardsticks of a library's target. @throws UserError as `buildYardstick` does. */
export async function prepareBench(library: Library, replays: number): Promise<Bench> {
  const { archs } = library.manifest.build;
  const compiler = await compilerFor(library.target, archs.length === 0 ? undefined : archs);
  const stream = library.target === "cuda" ? library.createStream() : undefined;
  return {
    library,
    yardstick: openYardstick(await buildYardstick(compiler, cacheRoot()), stream),
    stream,
    replays,
  };
}

/** Yields the row of each case as it is measured. */
export async function* measure(bench: Bench, cases: readonly BenchCase[]): AsyncGenerator<BenchRow> {
  const { library } = bench;
  const { l2Bytes = 0, memoryBytes = 0 } = library.devices[0] ?? {};
  const copiesOf = (one: BenchCase) => copies(one, l2Bytes);
  const elements = Math.max(...cases.map((one) => copiesOf(one) * batchElements(one)));
  const cached = Math.max(...cases.map((one) => copiesOf(one) * cacheElements(library, one)));
  const dtypes = [...new Set(cases.map(({ kernel }) => kernel.point.dtype))];
  const most = Math.max(...dtypes.map(bytesOf));
  requireMemory((elements * dtypes.length + cached) * most, memoryBytes);
  const tokens = Math.max(...cases.map((one) => one.tokens));
  const positions = library.upload(
    "int32",
    Int32Array.from({ length: tokens }, (_, i) => FIRST_POSITION + i),
  );
  const pools = new Map<ConfigPoint["dtype"], DeviceBuffer>();
  for (const one of cases) {
    const { dtype } = one.kernel.point;
    const pool = pools.get(dtype) ?? randomBuffer(library, dtype, elements);
    pools.set(dtype, pool);
    yield await measureCase(bench, one, { pool, positions, copies: copiesOf(one) });
  }
}

interface Memory {
  readonly pool: DeviceBuffer;
  readonly positions: DeviceBuffer;
  readonly copies: number;
}

async function measureCase(
  { library, yardstick, stream, replays }: Bench,
  { kernel: { id, op: opName, point }, heads, tokens, memory, pdl }: BenchCase,
  { pool, positions, copies }: Memory,
): Promise<BenchRow> {
  const { headDim, dtype } = point;
  const kernel = await library.kernel({ ...point, op: opName });
  const entry = kernelNamed(library, id);
  const moved = kernelSides(entry).reduce((sum, side) => sum + heads[side], 0);
  // With weights other than 1, repeated norms in place would fade into subnormal numbers.
  using weights = library.upload(dtype, new Uint16Array(headDim).fill(encode(dtype, 1)));
  const floatCount = Math.max(headDim, heads.q, heads.k, heads.v);
  using floats = library.upload("float32", new Float32Array(floatCount).fill(1));
  const rotaryDim = entry.pairing?.rotaryDim ?? 0;
  using rope = library.uploadRope(ropeTable({ base: ROPE_BASE, rotaryDim: rotaryDim || headDim }));
  using angles = givenAngles(library, entry, tokens);
  using stores = storesElsewhere(entry) ? storesOf(library, entry, heads, { tokens, copies }) : undefined;
  const rowElements = (heads.q + heads.k + heads.v) * headDim;
  const firstElement = (i: number) => (i % copies) * rowElements * tokens;
  const calls = Array.from({ length: copies }, (_, i) => {
    const from = firstElement(i);
    const place = (head: number) => ({
      buffer: pool,
      offset: from + head * headDim,
      tokenStride: rowElements,
    });
    const options = madeOptions(entry, {
      counts: { numTokens: tokens, numQHeads: heads.q, numKHeads: heads.k, numVHeads: heads.v },
      in: { q: place(0), k: place(heads.q), v: place(heads.q + heads.k) },
      ...{ isForEachHead: false, ropeTable: rope, eps: EPS },
      ...{ paging: stores?.paging, isCacheOnly: true, out: stores?.out(i) },
      bufferOf: (tensor) => {
        const made = { positions: angles.positions, pair_axes: angles.pairAxes, cos_sin: angles.rows };
        const given = new Map(Object.entries(made)).get(tensor.path) ?? stores?.buffers.get(tensor.path);
        if (given !== undefined) return given;
        if (tensor.dtype === "index") return positions;
        return typesOf(entry, tensor)[0] === "float32" ? floats : weights;
      },
    });
    const slots = options.slots && { ...options.slots, offset: stores?.firstSlot(i) };
    return kernel.prepare({ ...options, slots, stream, pdl });
  });
  // The floor writes what it reads, and rows of cosines are only read.
  const rowBytes = moved * headDim * bytesOf(dtype) + angles.bytesPerToken / 2;
  const floorRows = {
    rowVectors: Math.ceil(rowBytes / VECTOR_BYTES),
    rowStride: (rowElements * bytesOf(dtype)) / VECTOR_BYTES,
    rows: tokens,
  };
  const batches = Array.from(
    { length: copies },
    (_, i) => pool.address + BigInt(firstElement(i) * bytesOf(dtype)),
  );

  const launches = Math.max(copies, tokens < LAUNCHES.fewFromTokens ? LAUNCHES.many : LAUNCHES.few);
  const time = (launch: (i: number) => void) => statistics(yardstick.time(launch, launches, replays));
  const waitedBefore = waitedMs();
  const start = performance.now();
  const empty = time(() => yardstick.empty(tokens * moved, pdl));
  const floors = stores === undefined ? [] : batches.map((_, i) => stores.floor(i));
  const batchOf = (i: number) => batches[i % copies] ?? 0n;
  const floorOf = (isPlain: boolean) =>
    time((i) =>
      stores === undefined
        ? yardstick.floor(batchOf(i), floorRows, pdl)
        : yardstick.storeFloor(batchOf(i), floors[i % copies] as StoreRows, isPlain, pdl),
    );
  const floor = floorOf(false);
  const plainFloor = stores && floorOf(true);
  const own = time((i) => calls[i % copies]?.run());
  const waited = (waitedMs() - waitedBefore) / (performance.now() - start);
  const bytes = tokens * rowBytes;
  const storedBytes = tokens * (stores?.storedBytes ?? rowBytes);
  return {
    kernel: id,
    ...point,
    q_heads: heads.q,
    k_heads: heads.k,
    v_heads: heads.v,
    tokens,
    memory,
    pdl,
    bytes,
    us: rounded(own.median),
    floor_us: rounded(floor.median),
    empty_us: rounded(empty.median),
    over_floor: rounded(own.median / floor.median),
    ...(plainFloor && { plain_floor_us: rounded(plainFloor.median) }),
    gbps: rounded((bytes + storedBytes) / own.median / 1000),
    spread: rounded(Math.max(own.spread, floor.spread)),
    ...(library.target === "cpu" ? { waited: rounded(waited) } : {}),
  };
}

function kernelNamed(library: Library, id: string): ManifestKernel {
  const entry = library.manifest.kernels.find((kernel) => kernel.id === id);
  if (entry === undefined) throw internalError("bench", "the library lacks the kernel", id);
  return entry;
}

/** Linux overcommits memory and kills the process that uses it. */
function requireMemory(bytes: number, available: number): void {
  if (bytes <= MEMORY_SHARE_MAX * available) return;
  const gib = (count: number) => `${(count / 2 ** 30).toFixed(1)} GiB`;
  throw userError(
    "bad-option",
    `the largest batch and its copies take ${gib(bytes)}, and the device has ${gib(available)}`,
    "give fewer --tokens, or fewer --heads",
  );
}

function batchElements({ kernel, heads, tokens }: BenchCase): number {
  return tokens * (heads.q + heads.k + heads.v) * kernel.point.headDim;
}

/** The elements of a batch's caches. */
function cacheElements(library: Library, { kernel, heads, tokens }: BenchCase): number {
  const { inputs, point } = kernelNamed(library, kernel.id);
  if (!inputs.includes("slots")) return 0;
  return pagesOf(tokens) * PAGE_SLOTS * (heads.k + heads.v) * point.headDim;
}

/** The number of batches in memory: one if warm, and more than the cache holds if cold. */
function copies(one: BenchCase, l2Bytes: number): number {
  if (one.memory === "warm") return 1;
  const bytes = Math.max(COLD_BYTES_MIN, COLD_L2_TIMES * l2Bytes);
  const wanted = Math.ceil(bytes / (batchElements(one) * bytesOf(one.kernel.point.dtype))) + 1;
  if (wanted <= COPIES_MAX) return wanted;
  throw userError(
    "bad-option",
    `--memory cold: ${wanted} batches of ${counted(one.tokens, "token")} would be needed to exceed the cache`,
    `give more --tokens, so that ${COPIES_MAX} batches are enough, or leave --memory out`,
  );
}

/** The pattern that fills a buffer of many batches. */
const BLOCK_ELEMENTS = 2 ** 22;

function randomBuffer(library: Library, dtype: ConfigPoint["dtype"], elements: number): DeviceBuffer {
  const buffer = library.allocate(dtype, elements);
  const block = randomBits(dtype, Math.min(BLOCK_ELEMENTS, elements), randomNumbers(2));
  for (let at = 0; at < elements; at += block.length) {
    buffer.write(block.subarray(0, Math.min(block.length, elements - at)), at);
  }
  return buffer;
}

/** How long this thread waited for a CPU; 0 if Linux does not say. */
function waitedMs(): number {
  try {
    return waitedIn(readFileSync("/proc/thread-self/schedstat", "utf8"));
  } catch {
    return 0;
  }
}

/** Milliseconds of waiting in Linux's schedstat: nanoseconds on a CPU, nanoseconds waiting, and slices. */
export function waitedIn(schedstat: string): number {
  return Number(schedstat.split(" ")[1] ?? 0) / 1e6;
}

/** The median, and the distance of the quartiles over the median. */
function statistics(times: readonly number[]): { readonly median: number; readonly spread: number } {
  const median = quantile(times, 1 / 2);
  return { median, spread: (quantile(times, 3 / 4) - quantile(times, 1 / 4)) / median };
}

/** Rounds to four digits, more than a time is worth. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
