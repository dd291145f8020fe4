/**
 * A call of a real kernel to be spoilt: its buffers, and what of them must not change. The libraries stay open: several
 * test files use them.
 */

import { type Heads, packedHeads } from "../../runtime/heads.js";
import type { DeviceBuffer } from "../../runtime/memory.js";
import { open } from "../../runtime/open.js";
import { ropeTable } from "../../runtime/rope_table.js";
import type { RunOptions } from "../../runtime/run_options.js";
import { buildFixture, buildFolder } from "../fixture.js";
import { bitsOf } from "./unchanged.js";

export const HEAD_DIM = 64;
export const TOKENS = 3;
export const ROW = 4 * HEAD_DIM; // two q heads, one k head, one v head
export const POINT = { headDim: HEAD_DIM, rope: "neox", dtype: "bf16" } as const;
const FILL = 0x3f80;

await buildFixture("default", "cpu");
const options = { target: "cpu", path: buildFolder("default") } as const;
export const openAgain = () => open(options);
export const library = await open(options);
export const other = await open(options);
export const kernel = await library.kernel(POINT);

const filled = (length: number) => library.upload("bf16", new Uint16Array(length).fill(FILL));
export const qkv = filled(TOKENS * ROW);
/** Where a result that goes elsewhere would go. */
export const spare = filled(TOKENS * ROW);
export const weight = filled(HEAD_DIM);
export const positions = library.upload("int32", Int32Array.of(1, 2, 3));
export const tableFor = (rotaryDim: number) => library.uploadRope(ropeTable({ base: 10_000, rotaryDim }));
export const rope = tableFor(HEAD_DIM);

/** The bits of everything that a call could write. */
export const bits = bitsOf(qkv, spare, weight);

export function validCall(): RunOptions & { readonly q: Heads; readonly k: Heads } {
  const heads = packedHeads({
    ...{ qkv, headDim: HEAD_DIM, numQHeads: 2, numKHeads: 1, numVHeads: 1 },
    ...{ qWeight: weight, kWeight: weight },
  });
  return { ...heads, numTokens: TOKENS, positions, ropeTable: rope, eps: 1e-6 };
}

export const withIn = (change: object, other: object = {}) =>
  withQ({ in: { ...validCall().q.in, ...change }, ...other });
export const withQ = (change: object) => ({ q: { ...validCall().q, ...change } });

/** A buffer that begins one element further on, between vectors. */
export const between = (buffer: DeviceBuffer) =>
  library.borrow("bf16", { address: buffer.address + 2n, length: buffer.length - 1 });
/** Two heads of the packed rows, to `offset` in rows of another buffer. */
export const outOfPlace = (offset: number) => ({
  ...{ ...validCall().q, numHeads: 2 },
  out: { buffer: spare, offset, tokenStride: ROW },
});
export const betweenEntries = () => {
  const { address, length } = library.allocate("uint64", HEAD_DIM);
  return library.borrow("uint64", { address: address + 8n, length: length / 2 });
};

/** Something that a caller's own code does. */
export function fails(): never {
  throw new Error("of the caller's own");
}

/** What a caller without types could give in the place of anything. */
export const NO_VALUES: readonly (readonly [what: string, value: unknown])[] = [
  ["null", null],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-1", -1],
  ["1e308", 1e308],
  ["1n", 1n],
  ["text", "1\n\u001b[31m"],
  ["a list", [1]],
  ["a symbol", Symbol("one")],
  ["a function", () => 1],
  ["a date", new Date(1)],
  ["a number in a box", Object(1)],
  ["an object without a prototype", Object.create(null)],
  ["an object that is no number", { valueOf: fails, toString: fails }],
];
