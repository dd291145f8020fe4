/** The C interface, called with what no runtime checked: every status, the field that it names, and nothing written. */
import { beforeAll, describe, expect, test } from "vitest";
import { argsLayout } from "../../dsl/inputs.js";
import { loadLibrary, type NativeFunctions } from "../../runtime/library.js";
import { type Given, type OtherFunctions, otherFunctions, packedArgs } from "../c_args.js";
import { buildFixture } from "../fixture.js";
import { BAD_ARGS, SIZE } from "./args.js";
import { leaving } from "./unchanged.js";

const HEAD_DIM = 64;
const INVALID = -1;
const NO_SUCH_KERNEL = -2;
const OUT_OF_MEMORY = -4;
const PAGE = 4096;

let c: NativeFunctions & OtherFunctions;
let kernel: number;
let kernelCount: number;
let memory: bigint;
beforeAll(async () => {
  const native = loadLibrary((await buildFixture("default", "cpu")).library);
  c = { ...native.functions, ...otherFunctions(native.path) };
  kernelCount = native.manifest.kernels.length;
  kernel = c.find("qk_norm_rope__bf16_d64_r64_neox");
  const out = new BigUint64Array(1);
  expect(c.memoryAllocate(PAGE, new Uint8Array(out.buffer))).toBe(0);
  memory = out[0] ?? 0n;
  const bytes = new Uint8Array(new Uint16Array(PAGE / 2).fill(0x3f80).buffer);
  expect(c.copyToDevice(memory, bytes, PAGE, 0n)).toBe(0);
});

/** All of the memory that any argument points to: data, weights, positions and table. */
function page(): Uint8Array {
  const read = new Uint8Array(PAGE);
  expect(c.copyToHost(read, memory, PAGE, 0n)).toBe(0);
  return read;
}

const bytesOf = (fields: Readonly<Record<string, Given>> = {}) => packedArgs(memory, HEAD_DIM, fields);
describe("normrope_run, normrope_check", () => {
  test.each(BAD_ARGS)(
    "refuse %s that is %s, wanted %s, and write nothing",
    async (field, value, wanted, changed) => {
      await leaving(page, () => {
        const bytes = bytesOf(changed);
        for (const call of [() => c.run(kernel, bytes, 0n), () => c.check(kernel, bytes)]) {
          expect(call()).toBe(INVALID);
          expect(c.lastErrorField()).toBe(field);
          if (typeof value === "string") expect(c.lastErrorValue()).toBe(value);
          else expect(c.lastErrorValue()).toMatch(value);
          expect(c.lastErrorWanted()).toMatch(wanted);
          expect(c.lastError()).toBe(`${field} is ${c.lastErrorValue()}: must be ${c.lastErrorWanted()}`);
        }
      });
    },
  );

  test("refuse a value in any reserved word", () => {
    const { offset = 0, input } = argsLayout().fields.get("q.reserved") ?? {};
    for (let word = 0; word < (input?.count ?? 0); word++) {
      const bytes = bytesOf();
      bytes[offset + 8 * word] = 1;
      expect(c.check(kernel, bytes)).toBe(INVALID);
      expect(c.lastErrorField()).toBe("q.reserved");
    }
    expect(input?.count).toBe(7);
  });

  test("report no parts for an error that is of no field", () => {
    expect(c.run(kernel, bytesOf({ eps: -1 }), 0n)).toBe(INVALID);
    expect(c.run(-1, bytesOf(), 0n)).toBe(NO_SUCH_KERNEL);
    expect([c.lastErrorField(), c.lastErrorValue(), c.lastErrorWanted()]).toEqual(["", "", ""]);
  });

  test("accept a later version's struct if the unknown fields are 0", () => {
    const later = new Uint8Array(SIZE + 16);
    later.set(bytesOf({ struct_size: SIZE + 16 }));
    expect(c.check(kernel, later)).toBe(0);
    later[SIZE + 15] = 1;
    expect(c.check(kernel, later)).toBe(INVALID);
    expect(c.lastError()).toMatch(/^struct_size is 1120, with fields that this library does not know/);
  });

  test.each([-1, -(2 ** 31), 1 << 20, 1 << 30, "one more than the last"])(
    "have no kernel %s",
    async (which) => {
      const index = typeof which === "number" ? which : kernelCount;
      await leaving(page, () => {
        expect(c.run(index, bytesOf(), 0n)).toBe(NO_SUCH_KERNEL);
        expect(c.lastError()).toMatch(RegExp(`^kernel is ${index}: the library holds \\d+, from 0$`));
        expect(c.check(index, bytesOf())).toBe(NO_SUCH_KERNEL);
        expect(c.prepare(index)).toBe(NO_SUCH_KERNEL);
      });
    },
  );

  test("refuse NULL arguments", async () => {
    const none = undefined as never;
    await leaving(page, () => {
      expect([c.run(kernel, none, 0n), c.check(kernel, none)]).toEqual([INVALID, INVALID]);
      expect(c.lastError()).toBe("args is NULL");
    });
  });

  test("write for the valid call that the bad ones are made from", () => {
    const before = page();
    expect(c.run(kernel, bytesOf(), 0n)).toBe(0);
    expect(page()).not.toEqual(before);
  });
});

/** Calls of the other functions; `page` is the memory that they are given. */
const OTHERS: readonly (readonly [what: string, status: number, names: RegExp, call: () => number])[] = [
  [
    "a launch to NULL",
    INVALID,
    /^launch is NULL/,
    () => c.launchInfo(kernel, packedArgs(memory, HEAD_DIM), null as never),
  ],
  [
    "a launch of wrong arguments",
    INVALID,
    /^eps is -1: /,
    () => c.launchInfo(kernel, packedArgs(memory, HEAD_DIM, { eps: -1 }), new Uint8Array(16)),
  ],
  ["no kernel id", INVALID, /^kernel_id is NULL/, () => c.find(null as never)],
  ["a kernel id like none", NO_SUCH_KERNEL, /no kernel nothing$/, () => c.find("nothing")],
  ["a kernel id of many letters", NO_SUCH_KERNEL, /no kernel x{200}$/, () => c.find("x".repeat(5000))],
  ["device 1", INVALID, /^device is 1: /, () => c.deviceSet(1)],
  ["device -1", INVALID, /^device is -1: /, () => c.deviceSet(-1)],
  ["facts of device 7", INVALID, /^device is 7: /, () => c.deviceGetInfo(7, new Uint8Array(288))],
  ["facts to NULL", INVALID, /^info is NULL/, () => c.deviceGetInfo(0, null as never)],
  ["a count to NULL", INVALID, /^count is NULL/, () => c.deviceCount(null as never)],
  ["a device to NULL", INVALID, /^device is NULL/, () => c.deviceGet(null as never)],
  ["memory to NULL", INVALID, /^memory is NULL/, () => c.memoryAllocate(8, null as never)],
  [
    "more memory than there is",
    OUT_OF_MEMORY,
    /^\d+ bytes could not/,
    () => c.memoryAllocate(2 ** 53 - 1, new Uint8Array(8)),
  ],
  ["a fill of NULL", INVALID, /^memory is NULL/, () => c.memoryFill(0n, 0, 8, 0n)],
  ["a copy to NULL", INVALID, /^destination is NULL/, () => c.copyOnDevice(0n, memory, 8, 0n)],
  ["a copy from NULL", INVALID, /^source is NULL/, () => c.copyOnDevice(memory, 0n, 8, 0n)],
  ["a host copy from NULL", INVALID, /^source is NULL/, () => c.copyToDevice(memory, null as never, 8, 0n)],
  ["a host copy to NULL", INVALID, /^destination is NULL/, () => c.copyToHost(null as never, memory, 8, 0n)],
  ["a stream to NULL", INVALID, /^stream is NULL/, () => c.streamCreate(null as never)],
  ["an event to NULL", INVALID, /^event is NULL/, () => c.eventCreate(null as never)],
  ["a record of NULL", INVALID, /^event is NULL/, () => c.eventRecord(0n, 0n)],
  ["the time from NULL", INVALID, /^start is NULL/, () => c.eventElapsed(new Uint8Array(4), 0n, memory)],
  ["the time to NULL", INVALID, /^end is NULL/, () => c.eventElapsed(new Uint8Array(4), memory, 0n)],
  [
    "frequencies of NULL",
    INVALID,
    /^inv_freq is NULL/,
    () => c.ropeTable(null as never, 1, new BigUint64Array(1)),
  ],
  ["a table of NULL", INVALID, /^table is NULL/, () => c.ropeTable(Float64Array.of(1), 1, null as never)],
  ["-1 frequencies", INVALID, /^n is -1: /, () => c.ropeTable(Float64Array.of(1), -1, new BigUint64Array(1))],
];

describe("the other functions", () => {
  test.each(OTHERS)("refuse %s with %i, and write nothing", async (_, status, names, call) => {
    await leaving(page, () => expect(call()).toBe(status));
    expect(c.lastError()).toMatch(names);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 64])("make no part of a table of %s", (bad) => {
    const table = new BigUint64Array(3).fill(7n);
    expect(c.ropeTable(Float64Array.of(1, bad, 1), 3, table)).toBe(INVALID);
    expect(c.lastError()).toMatch(/^inv_freq\[1\] is /);
    expect(table).toEqual(new BigUint64Array(3).fill(7n));
  });
});
