/**
 * The yardsticks and the clock of a benchmark: bench/yardstick.h, built into the cache.
 *
 * In: a target's compiler. Out: the launches of floor and empty, and a clock. Measures nothing itself.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { NormropeError } from "../../runtime/errors.js";
import { type Address, bindFunctions, bytesOf } from "../../runtime/library.js";
import type { Stream } from "../../runtime/stream.js";
import { runCompiler, writeInputs } from "../build/run_compiler.js";
import type { TargetCompiler } from "../build/target_compiler.js";
import { cached, cacheKey } from "../cache/cache.js";
import { PACKAGE_ROOT } from "../package_root.js";
import { quantile } from "./quantile.js";

/** The memory of a floor: an op's heads in packed rows, in 16-byte vectors. */
export interface FloorRows {
  readonly rowVectors: number;
  readonly rowStride: number;
  readonly rows: number;
}

/** The part of each row that is a side's heads, and where it is stored. */
export interface FloorPart {
  /** In the row, in 16-byte vectors. */
  readonly first: number;
  readonly vectors: number;
  /** Undefined: in place. */
  readonly to: Address | undefined;
  /** Bytes from one row there to the next. */
  readonly toStride: number;
  /** Whether the row there is the slot of the token. */
  readonly isBySlot: boolean;
  /** Bytes that a vector is stored as. */
  readonly storedBytes: 8 | 16;
}

/** The memory of a floor that stores elsewhere. */
export interface StoreRows {
  readonly rowStride: number;
  readonly rows: number;
  /** Of q, k and v, by `partsBytes`. */
  readonly parts: Uint8Array;
  /** `[rows]`, int32. */
  readonly slots: Address;
  readonly blockSize: number;
}

export interface Yardstick {
  readonly floor: (data: Address, rows: FloorRows, pdl: boolean) => void;
  /** `isPlain`: places are found by division. */
  readonly storeFloor: (data: Address, rows: StoreRows, isPlain: boolean, pdl: boolean) => void;
  /** `heads`: tokens times heads. */
  readonly empty: (heads: number, pdl: boolean) => void;
  /** Microseconds of a launch, one number for each of `replays` runs of all `launches`. */
  readonly time: (launch: (i: number) => void, launches: number, replays: number) => readonly number[];
}

/** Runs before the first measurement, to warm up. */
const WARM_UPS = 2;

const LIBRARY = "libyardstick.so";
const EXPORTS = "common/exports.map";

/** @throws UserError `compile-failed`, `compile-timeout`, `cache-unusable`. */
export async function buildYardstick(compiler: TargetCompiler, cacheRoot: string): Promise<string> {
  const text = (path: string) => readFileSync(join(PACKAGE_ROOT, path), "utf8");
  const source = `yardstick.${compiler.target === "cuda" ? "cu" : "cpp"}`;
  const threads = compiler.target === "cpu" ? ["threads.hpp", "threads.cpp"] : [];
  const inputs = [
    { path: source, text: text(`bench/${source}`) },
    { path: "yardstick.h", text: text("bench/yardstick.h") },
    ...threads.map((path) => ({ path, text: text(`templates/cpu/${path}`) })),
    { path: EXPORTS, text: text(`templates/${EXPORTS}`) },
  ];
  const args = [
    ...compiler.compileArgs,
    ...compiler.linkArgs,
    "-o",
    LIBRARY,
    source,
    ...threads.filter((path) => path.endsWith(".cpp")),
  ];
  const key = cacheKey([compiler.identity, args, inputs]);
  const { folder } = await cached(cacheRoot, key, [LIBRARY], async (staging) => {
    writeInputs(staging, inputs);
    await runCompiler({ path: compiler.path, args, cwd: staging, name: LIBRARY });
  });
  return join(folder, LIBRARY);
}

interface Yardsticks {
  readonly error: () => string;
  readonly floor: (...args: [Address, number, number, number, number, Address]) => number;
  readonly storeFloor: (
    ...args: [Address, number, number, Uint8Array, Address, number, number, number, Address]
  ) => number;
  readonly empty: (heads: number, dependent: number, stream: Address) => number;
}
interface Graphs {
  readonly begin: (stream: Address) => number;
  readonly end: (stream: Address, graph: Uint8Array) => number;
  readonly replay: (graph: Address, stream: Address, milliseconds: Uint8Array) => number;
  readonly destroy: (graph: Address) => number;
}

const P = "void *";
const I = "int64_t";
const YARDSTICKS = {
  error: ["normrope_yardstick_error", "str", []],
  floor: ["normrope_yardstick_floor", "int", [P, I, I, I, "int", P]],
  storeFloor: ["normrope_yardstick_store_floor", "int", [P, I, I, P, P, I, "int", "int", P]],
  empty: ["normrope_yardstick_empty", "int", [I, "int", P]],
} as const;
const GRAPHS = {
  begin: ["normrope_yardstick_begin", "int", [P]],
  end: ["normrope_yardstick_end", "int", [P, P]],
  replay: ["normrope_yardstick_replay", "int", [P, P, P]],
  destroy: ["normrope_yardstick_destroy", "int", [P]],
} as const;

/** The yardsticks of a built library. CUDA is timed by graphs in a stream, the CPU by the host's clock. */
export function openYardstick(path: string, stream: Stream | undefined): Yardstick {
  const { error, floor, storeFloor, empty } = bindFunctions<Yardsticks>(path, YARDSTICKS);
  const check = (status: number) => {
    if (status !== 0)
      throw new NormropeError("device-error", `the yardstick: ${error()}`, "See the CUDA error");
  };
  const address = stream?.address ?? 0n;
  return {
    floor: (data, { rowVectors, rowStride, rows }, pdl) =>
      check(floor(data, rowVectors, rowStride, rows, Number(pdl), address)),
    storeFloor: (data, { rowStride, rows, parts, slots, blockSize }, isPlain, pdl) =>
      check(
        storeFloor(
          ...([data, rowStride, rows, parts, slots, blockSize] as const),
          ...([Number(isPlain), Number(pdl), address] as const),
        ),
      ),
    empty: (heads, pdl) => check(empty(heads, Number(pdl), address)),
    time:
      stream === undefined ? timeByClock : timeByGraph(bindFunctions<Graphs>(path, GRAPHS), address, check),
  };
}

const PART_BYTES = 40;

/** The parts as C has them. */
export function partsBytes(parts: readonly FloorPart[]): Uint8Array {
  const bytes = new Uint8Array(parts.length * PART_BYTES);
  const view = new DataView(bytes.buffer);
  parts.forEach(({ first, vectors, to, toStride, isBySlot, storedBytes }, i) => {
    const words = [BigInt(first), BigInt(vectors), to ?? 0n, BigInt(toStride)];
    for (const [n, word] of words.entries()) view.setBigInt64(i * PART_BYTES + 8 * n, word, true);
    view.setInt32(i * PART_BYTES + 32, Number(isBySlot), true);
    view.setInt32(i * PART_BYTES + 36, storedBytes, true);
  });
  return bytes;
}

function timeByGraph(
  { begin, end, replay, destroy }: Graphs,
  stream: Address,
  check: (status: number) => void,
) {
  return (launch: (i: number) => void, launches: number, replays: number): readonly number[] => {
    const handle = new BigUint64Array(1);
    const record = () => {
      check(begin(stream));
      let ended = 0;
      try {
        for (let i = 0; i < launches; i++) launch(i);
      } finally {
        ended = end(stream, bytesOf(handle)); // also after an error: a stream must not stay in capture
      }
      check(ended);
      return handle[0] ?? 0n;
    };
    try {
      const graph = record();
      const milliseconds = new Float32Array(1);
      const once = () => {
        check(replay(graph, stream, bytesOf(milliseconds)));
        return ((milliseconds[0] ?? Number.NaN) * 1000) / launches;
      };
      for (let i = 0; i < WARM_UPS; i++) once();
      return Array.from({ length: replays }, once);
    } finally {
      if (handle[0] !== 0n) check(destroy(handle[0] ?? 0n));
    }
  };
}

/** The length of a stretch. Shorter ones would measure the clock; longer ones would be interrupted on a busy machine. */
const STRETCH_US = 50;

/**
 * Every call of the CPU target has finished when it returns. A replay's number is the median of short stretches of calls,
 * most of which meet no other process.
 */
function timeByClock(launch: (i: number) => void, launches: number, replays: number): readonly number[] {
  const stretch = (first: number, calls: number) => {
    const start = performance.now();
    for (let i = first; i < first + calls; i++) launch(i);
    return ((performance.now() - start) * 1000) / calls;
  };
  const warm = Array.from({ length: WARM_UPS }, () => stretch(0, launches));
  const calls = Math.min(launches, Math.ceil(STRETCH_US / Math.min(...warm)));
  const stretches = Array.from({ length: Math.floor(launches / calls) }, (_, n) => n * calls);
  const once = () =>
    quantile(
      stretches.map((first) => stretch(first, calls)),
      1 / 2,
    );
  return Array.from({ length: replays }, once);
}
