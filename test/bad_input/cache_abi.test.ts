/** Calls of C that write a KV cache or FP8: what is refused, by which field, and that nothing is written then. */
import { beforeAll, describe, expect, test } from "vitest";
import { encode } from "../../runtime/dtype.js";
import { loadLibrary, type NativeFunctions } from "../../runtime/library.js";
import { argsOf, type Given } from "../c_args.js";
import { cacheLibrary } from "../cache_library.js";
import { BAD_CACHES, BAD_E4M3, cacheFields, GOOD_CACHES, MEMORY, WRITTEN } from "./cache_args.js";
import { leaving } from "./unchanged.js";

const INVALID = -1;
const ENTRIES = `[
  { headDim: [64], rope: ["neox"], dtype: ["bf16"], cache: ["same"] },
  { headDim: [64], rope: ["neox"], dtype: ["bf16"], cache: ["e4m3"], out: ["e4m3"] },
]`;
const KERNELS = {
  same: "qk_norm_rope__bf16_d64_r64_neox_kv",
  e4m3: "qk_norm_rope__bf16_d64_r64_neox_kv8_out8",
};

let c: NativeFunctions;
let memory: bigint;
beforeAll(async () => {
  c = loadLibrary(await cacheLibrary("bad_input_cache_abi", ENTRIES)).functions;
  const out = new BigUint64Array(1);
  expect(c.memoryAllocate(MEMORY, new Uint8Array(out.buffer))).toBe(0);
  memory = out[0] ?? 0n;
  const bytes = new Uint8Array(new Uint16Array(MEMORY / 2).fill(0x3f80).buffer);
  // The slots: as two of 32 bits, 1 and 2; as two of 64 bits, both in the caches too.
  new Int32Array(bytes.buffer).set([1, 2], 2080 / 4);
  expect(c.copyToDevice(memory, bytes, MEMORY, 0n)).toBe(0);
});

/** All of the memory that any argument points to. */
function contents(): Uint8Array {
  const read = new Uint8Array(MEMORY);
  expect(c.copyToHost(read, memory, MEMORY, 0n)).toBe(0);
  return read;
}

function bytesOf(written: keyof typeof WRITTEN, changed: Readonly<Record<string, Given>> = {}): Uint8Array {
  const given = Object.entries({ ...cacheFields(written), ...changed });
  const addresses = given.map(([path, value]) => [
    path,
    typeof value === "object" ? memory + BigInt(value.at) : value,
  ]);
  return argsOf(Object.fromEntries(addresses));
}

const CASES = [
  ...BAD_CACHES.map((bad) => ["same", ...bad] as const),
  ...BAD_E4M3.map((bad) => ["e4m3", ...bad] as const),
];

describe("normrope_run, normrope_check", () => {
  test.each(CASES)(
    "of %s refuse %s that is %s, wanted %s, and write nothing",
    async (written, field, value, wanted, changed) => {
      const kernel = c.find(KERNELS[written]);
      await leaving(contents, () => {
        const bytes = bytesOf(written, changed);
        for (const call of [() => c.run(kernel, bytes, 0n), () => c.check(kernel, bytes)]) {
          expect([call(), c.lastErrorField()]).toEqual([INVALID, field]);
          if (typeof value === "string") expect(c.lastErrorValue()).toBe(value);
          else expect(c.lastErrorValue()).toMatch(value);
          expect(c.lastErrorWanted()).toMatch(wanted);
          expect(c.lastError()).toBe(`${field} is ${c.lastErrorValue()}: must be ${c.lastErrorWanted()}`);
        }
      });
    },
  );

  test.each(GOOD_CACHES)("take %s", (_, changed) => {
    expect([c.check(c.find(KERNELS.same), bytesOf("same", changed)), c.lastError()]).toEqual([
      0,
      c.lastError(),
    ]);
  });

  test.each(["same", "e4m3"] as const)(
    "write for the valid call of %s that the bad ones are made from",
    (written) => {
      const before = contents();
      expect([c.run(c.find(KERNELS[written]), bytesOf(written), 0n), c.lastError()]).toEqual([
        0,
        c.lastError(),
      ]);
      const after = contents();
      // Slot 1 of block 0 and slot 0 of block 1 of v's cache hold v, and the slots around them what was there.
      const bytes = 64 * WRITTEN[written];
      const slot = (contents: Uint8Array, n: number) =>
        contents.slice(6144 + n * bytes, 6144 + (n + 1) * bytes);
      const one = written === "same" ? [0x80, 0x3f] : [encode("e4m3", 1)];
      for (const n of [1, 2])
        expect(slot(after, n)).toEqual(
          Uint8Array.from({ length: bytes }, (_, i) => one[i % one.length] ?? 0),
        );
      for (const n of [0, 3]) expect(slot(after, n)).toEqual(slot(before, n));
    },
  );
});
