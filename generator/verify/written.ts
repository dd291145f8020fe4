/**
 * Memory that a batch writes.
 *
 * In: what was there, and which heads a call had to write. Out: their numbers, and the first change elsewhere.
 */
import type { ManifestKernel } from "../../dsl/manifest.js";
import { type Dtype, decodingTable, type Patterns } from "../../runtime/dtype.js";
import type { DeviceBuffer } from "../../runtime/memory.js";
import type { Batch } from "./made_batch.js";

/** Memory that a call writes: where it may, and what is there. */
export class Written {
  readonly what: string;
  readonly dtype: Dtype;
  readonly buffer: DeviceBuffer;
  readonly #was: Patterns;
  readonly #covered: Uint8Array;
  #now: Patterns;

  constructor(what: string, dtype: Dtype, buffer: DeviceBuffer, was: Patterns) {
    this.what = what;
    this.dtype = dtype;
    this.buffer = buffer;
    this.#was = was;
    this.#now = was;
    this.#covered = new Uint8Array(was.length);
  }

  read(): void {
    this.#now = this.buffer.read(this.#was.slice() as never) as Patterns;
  }

  /** Elements that the call had to write, as numbers if they are judged. */
  head(start: number, length: number, isJudged: boolean): Float64Array | undefined {
    this.#covered.fill(1, start, start + length);
    return isJudged ? decoded(this.dtype, this.#now, start, length) : undefined;
  }

  /** A changed element that no head covers, in words. */
  touched(): string | undefined {
    const element = this.#now.findIndex((bits, i) => this.#covered[i] === 0 && bits !== this.#was[i]);
    return element < 0 ? undefined : `element ${element} outside ${this.what}`;
  }
}

export function decoded(dtype: Dtype, bits: Patterns, start: number, length: number): Float64Array {
  const table = decodingTable(dtype);
  const numbers = new Float64Array(length);
  for (let i = 0; i < length; i++) numbers[i] = table[bits[start + i] ?? 0] ?? Number.NaN;
  return numbers;
}

/** Memory for the caches of k and v, by the paths of their inputs. They may share one buffer. */
export function cacheMemories(
  entry: ManifestKernel,
  { paging }: Batch,
  writable: (what: string, dtype: Dtype, length: number) => Written,
): ReadonlyMap<string, Written> {
  const buffers = new Map<number, Written>();
  const found = new Map<string, Written>();
  for (const side of ["k", "v"] as const) {
    const path = `${side}.cache`;
    if (paging === undefined || !entry.inputs.includes(path)) continue;
    const { buffer, length } = paging[side];
    const dtype = entry.inputDtypes[path] === "e4m3" ? "e4m3" : entry.point.dtype;
    const memory = buffers.get(buffer) ?? writable(`the cache of ${side}`, dtype, length);
    buffers.set(buffer, memory);
    found.set(path, memory);
  }
  return found;
}
