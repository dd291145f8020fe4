/** Calls that write a KV cache or FP8, to be spoilt: their buffers, and what of them must not change. The library stays open. */
import { expect } from "vitest";
import type { DeviceBuffer, ElementType } from "../../runtime/memory.js";
import { open } from "../../runtime/open.js";
import { ropeTable } from "../../runtime/rope_table.js";
import { cacheLibrary } from "../cache_library.js";
import { expectRefusal, leaving } from "./unchanged.js";

/** Elements of a head. */
export const D = 64;
/** Slots of a block, and of a cache. */
export const BLOCK = 2;
export const SLOTS = 3 * BLOCK;

const POINT = { headDim: D, rope: "neox", dtype: "bf16" } as const;
const ENTRIES = `[
  { headDim: [${D}], rope: ["neox"], dtype: ["bf16"], cache: ["none", "same"] },
  { headDim: [${D}], rope: ["neox"], dtype: ["bf16"], cache: ["e4m3"], out: ["e4m3"], value: ["copy"] },
]`;
export const library = await open({ target: "cpu", path: await cacheLibrary("bad_input_cache", ENTRIES) });
/** By what they write: outputs alone, a cache, or a cache and outputs of e4m3. */
const KERNELS = {
  plain: await library.kernel(POINT),
  cache: await library.kernel({ ...POINT, cache: "same" }),
  e4m3: await library.kernel({ ...POINT, cache: "e4m3", out: "e4m3", value: "copy" }),
};
export type KernelName = keyof typeof KERNELS;

const bf16 = (length: number) => library.upload("bf16", new Uint16Array(length).fill(0x3f80));
/** What is written of e4m3 holds this before. */
export const E4M3_FILL = 0x55;
const e4m3 = (length: number) => library.upload("e4m3", new Uint8Array(length).fill(E4M3_FILL));
export const floats = (...numbers: number[]) => library.upload("float32", Float32Array.from(numbers));
export const int32 = (...slots: number[]) => library.upload("int32", Int32Array.from(slots));

/** Two tokens of two q heads, one k head and one v head in packed rows. */
export const qkv = bf16(2 * 4 * D);
const CACHES = {
  cache: { k: bf16(SLOTS * D), v: bf16(SLOTS * D) },
  e4m3: { k: e4m3(SLOTS * D), v: e4m3(SLOTS * D) },
};
const outputs: Readonly<Record<string, DeviceBuffer>> = { q: e4m3(4 * D), k: e4m3(4 * D), v: e4m3(4 * D) };
export const weight = bf16(D);
const positions = int32(3, 5);
/** The slots of the two tokens. */
export const givenSlots = int32(4, 1);
const rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: D }));

/** The cache of a side. */
export const cacheOf = (side: "k" | "v", name: "cache" | "e4m3" = "cache"): DeviceBuffer =>
  CACHES[name][side];

/** The bits of a buffer. */
export function bitsOfBuffer<T extends ElementType>(buffer: DeviceBuffer<T>): Uint8Array | Uint16Array {
  const bits = buffer.type === "e4m3" ? new Uint8Array(buffer.length) : new Uint16Array(buffer.length);
  return buffer.read(bits as never) as never;
}

const written = [qkv, ...Object.values(CACHES).flatMap(({ k, v }) => [k, v]), ...Object.values(outputs)];
/** The bits of everything that a call could write. */
export const contents = () => written.map((buffer) => bitsOfBuffer(buffer));

export type Call = Readonly<Record<string, object>>;

export function validCall(name: KernelName): Call {
  const side = (side: "q" | "k" | "v", head: number, numHeads: number) => ({
    ...{ in: { buffer: qkv, offset: head * D, tokenStride: 4 * D }, numHeads },
    ...(name === "e4m3" ? { out: { buffer: outputs[side], tokenStride: 2 * D } } : {}),
    ...(side === "v" ? {} : { weight }),
    ...(side === "q" || name === "plain" ? {} : { cache: { buffer: cacheOf(side, name) } }),
  });
  return {
    ...{ q: side("q", 0, 2), k: side("k", 2, 1), ...(name === "plain" ? {} : { v: side("v", 3, 1) }) },
    ...{ numTokens: 2 as never, eps: 1e-6 as never, positions, ropeTable: rope },
    ...(name === "plain" ? {} : { slots: { buffer: givenSlots, blockSize: BLOCK } }),
  };
}

export const run = (name: KernelName, call: object) => KERNELS[name].run(call as never);

/** Changes to a call; the kernel, the field that the error begins with, and what is wanted. */
export type Bad = readonly [
  what: string,
  kernel: KernelName,
  field: string,
  wanted: RegExp,
  change: (call: Call) => object,
];

export const inSide = (side: string, more: () => object) => (call: Call) => ({
  [side]: { ...call[side], ...more() },
});
export const inCache = (side: string, more: () => object) => (call: Call) => ({
  [side]: { ...call[side], cache: { ...(call[side] as { cache: object }).cache, ...more() } },
});
export const slots = (more: () => object) => () => ({
  slots: { buffer: givenSlots, blockSize: BLOCK, ...more() },
});

/** A bad call is refused by the caller's name of the field, with what is wanted, and leaves everything as it was. */
export async function expectRefused([, name, field, wanted, change]: Bad): Promise<void> {
  const call = validCall(name);
  const bad = { ...call, ...change(call) };
  await expectRefusal(contents, () => run(name, bad), "invalid-argument", `${field} `);
  const message = await leaving(contents, () => messageOf(() => run(name, bad)));
  expect(message.startsWith(`${field} `), message).toBe(true);
  expect(message).toMatch(wanted);
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return "";
}
