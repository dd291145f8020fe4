/** The C interface, called with what no runtime checked: every status, the field that it names, and nothing written. */
import { beforeAll, describe, expect, test } from "vitest";
import { ARGS, HEADS } from "../../runtime/call.js";
import { loadLibrary, type NativeFunctions } from "../../runtime/library.js";
import { packedArgs } from "../c_args.js";
import { buildFixture } from "../fixture.js";
import { leaving } from "./unchanged.js";

const HEAD_DIM = 64;
const INVALID = -1;
const NO_SUCH_KERNEL = -2;
const OUT_OF_MEMORY = -4;
const PAGE = 4096;

let c: NativeFunctions;
let kernel: number;
let kernelCount: number;
let memory: bigint;
beforeAll(async () => {
  const native = loadLibrary((await buildFixture("default", "cpu")).library);
  c = native.functions;
  kernelCount = native.manifest.kernels.length;
  kernel = c.find("qk_norm_rope__bf16_d64_r64_neox");
  const out = new BigUint64Array(1);
  expect(c.allocate(PAGE, new Uint8Array(out.buffer))).toBe(0);
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

type Change = (view: DataView) => unknown;
const bytesOf = (change: Change) => {
  const view = packedArgs(memory, HEAD_DIM);
  change(view);
  return new Uint8Array(view.buffer);
};

const int32 =
  (at: number, value: number): Change =>
  (v) =>
    v.setInt32(at, value, true);
const uint32 =
  (at: number, value: number): Change =>
  (v) =>
    v.setUint32(at, value, true);
const int64 =
  (at: number, value: bigint): Change =>
  (v) =>
    v.setBigInt64(at, value, true);
const float32 =
  (at: number, value: number): Change =>
  (v) =>
    v.setFloat32(at, value, true);
/** An address: NULL, or so many bytes into the page. */
const pointer =
  (at: number, offset: bigint | null): Change =>
  (v) =>
    v.setBigUint64(at, offset === null ? 0n : memory + offset, true);
const all =
  (...changes: Change[]): Change =>
  (v) =>
    changes.map((change) => change(v));
const q = (field: keyof typeof HEADS) => ARGS.q + HEADS[field];
const k = (field: keyof typeof HEADS) => ARGS.k + HEADS[field];
const BIAS = 24;
const RESERVED = [72, 80];
const RESERVED_32 = 92;

const BAD: readonly (readonly [names: RegExp, change: Change])[] = [
  [/^struct_size is 0: /, uint32(ARGS.structSize, 0)],
  [/^struct_size is 232: .* has 240$/, uint32(ARGS.structSize, ARGS.size - 8)],
  [/^struct_size is 248: /, uint32(ARGS.structSize, ARGS.size + 8)],
  [/^struct_size is 4294967295: /, uint32(ARGS.structSize, 2 ** 32 - 1)],
  [/^flags is 0x2: /, uint32(ARGS.flags, 2)],
  [/^flags is 0x80000001: /, uint32(ARGS.flags, 2 ** 31 + 1)],
  [/^reserved32 is 1: /, int32(ARGS.attentionFactor + 4, 1)],
  [/^num_tokens is -1: /, int64(ARGS.numTokens, -1n)],
  [/^num_tokens is 2147483648: /, int64(ARGS.numTokens, 2n ** 31n)],
  [/^num_tokens is 1099511627776: /, int64(ARGS.numTokens, 2n ** 40n)],
  [/^num_tokens is -9223372036854775808: /, int64(ARGS.numTokens, -(2n ** 63n))],
  [/^num_tokens is 2147483647: with 2 q heads .* split the batch/, int64(ARGS.numTokens, 2n ** 31n - 1n)],
  ...[0, 8, 16, 33, -32, 128].map(
    (bits) =>
      [RegExp(`^position_bits is ${bits}: must be 32 or 64`), int32(ARGS.positionBits, bits)] as const,
  ),
  [/^eps is -?nan: /, float32(ARGS.eps, Number.NaN)],
  [/^eps is 9\.99995e-41: must be 0 or at least 1\.17549e-38/, float32(ARGS.eps, 1e-40)],
  [/^eps is -1: /, float32(ARGS.eps, -1)],
  [/^eps is inf: /, float32(ARGS.eps, Number.POSITIVE_INFINITY)],
  [/^eps is -inf: /, float32(ARGS.eps, Number.NEGATIVE_INFINITY)],
  [/^attention_factor is -?nan: /, float32(ARGS.attentionFactor, Number.NaN)],
  [/^attention_factor is inf: /, float32(ARGS.attentionFactor, Number.POSITIVE_INFINITY)],
  [/^positions is NULL/, pointer(ARGS.positions, null)],
  [/^positions is 0x[0-9a-f]+: must be a multiple of 4/, pointer(ARGS.positions, 2050n)],
  [/^positions is .* multiple of 8/, all(int32(ARGS.positionBits, 64), pointer(ARGS.positions, 2052n))],
  [/^rope_table is NULL/, pointer(ARGS.ropeTable, null)],
  [/^rope_table is .* multiple of 16/, pointer(ARGS.ropeTable, 2564n)],
  [/^rope_table is .* multiple of 16/, pointer(ARGS.ropeTable, 2568n)],
  [/^q\.in is NULL/, pointer(q("in"), null)],
  [/^q\.in is 0x.* multiple of 8 bytes/, pointer(q("in"), 2n)],
  [/^q\.in is 0x.* multiple of 8 bytes/, pointer(q("in"), 1n)],
  [/^q\.out is NULL/, pointer(q("out"), null)],
  [/^q\.out is 0x.* multiple of 8 bytes/, pointer(q("out"), 6n)],
  [/^q\.weight is NULL/, pointer(q("weight"), null)],
  [/^q\.weight is 0x.* multiple of 8 bytes/, pointer(q("weight"), 1026n)],
  [/^q\.bias is not NULL/, pointer(ARGS.q + BIAS, 0n)],
  ...RESERVED.map((at) => [/^q\.reserved is not 0/, int64(ARGS.q + at, 1n)] as const),
  [/^q\.reserved is not 0/, int32(ARGS.q + RESERVED_32, -1)],
  [/^q\.num_heads is -1: /, int32(q("numHeads"), -1)],
  [/^q\.num_heads is -2147483648: /, int32(q("numHeads"), -(2 ** 31))],
  [/^num_tokens is 2: with 2147483647 q heads/, int32(q("numHeads"), 2 ** 31 - 1)],
  [/^q\.in_token_stride is 66: .*multiple of 4/, int64(q("inTokenStride"), 66n)],
  [/^q\.out_token_stride is 193: /, int64(q("outTokenStride"), 193n)],
  [/^q\.out_head_stride is 1: /, int64(q("outHeadStride"), 1n)],
  [/^q\.in_head_stride is 4611686018427387904: .* outside memory/, int64(q("inHeadStride"), 2n ** 62n)],
  [/^q\.in_token_stride is 1152921504606846976: .* outside memory/, int64(q("inTokenStride"), 2n ** 60n)],
  [/^q\.in_token_stride is -9223372036854775808: /, int64(q("inTokenStride"), -(2n ** 63n))],
  [/^q\.out_token_stride is 9223372036854775804: /, int64(q("outTokenStride"), 2n ** 63n - 4n)],
  [/^q\.weight_head_stride is 3: /, int64(q("weightHeadStride"), 3n)],
  [/^q\.weight_head_stride is 2305843009213693952: /, int64(q("weightHeadStride"), 2n ** 61n)],
  [/^q\.out equals q\.in: /, int64(q("outTokenStride"), 128n)],
  [/^q\.out has a token stride of 0 /, all(int64(q("inTokenStride"), 0n), int64(q("outTokenStride"), 0n))],
  [
    /^q\.out has .* a head stride of 32: /,
    all(int64(q("inHeadStride"), 32n), int64(q("outHeadStride"), 32n)),
  ],
  [/^q\.out is 0x.* written over q\.in/, pointer(q("out"), 64n)],
  [/^q\.out is 0x.* written over k\.in/, all(pointer(k("in"), 0n), pointer(k("out"), 1024n))],
  [/^k\.weight is NULL/, pointer(k("weight"), null)],
  [/^k\.num_heads is -7: /, int32(k("numHeads"), -7)],
  [/^k\.in is 0x.* multiple of 8/, pointer(k("in"), 260n)],
  [/^k\.in_token_stride is 2: /, int64(k("inTokenStride"), 2n)],
];

describe("normrope_run, normrope_check", () => {
  test.each(BAD)("%s, and nothing is written", async (names, change) => {
    await leaving(page, () => {
      expect(c.run(kernel, bytesOf(change), 0n)).toBe(INVALID);
      expect(c.lastError()).toMatch(names);
      expect(c.check(kernel, bytesOf(change))).toBe(INVALID);
      expect(c.lastError()).toMatch(names);
    });
  });

  test.each([-1, -(2 ** 31), 1 << 20, 1 << 30, "one more than the last"])(
    "have no kernel %s",
    async (which) => {
      const index = typeof which === "number" ? which : kernelCount;
      await leaving(page, () => {
        expect(
          c.run(
            index,
            bytesOf(() => undefined),
            0n,
          ),
        ).toBe(NO_SUCH_KERNEL);
        expect(c.lastError()).toMatch(RegExp(`^kernel is ${index}: the library holds \\d+, from 0$`));
        expect(
          c.check(
            index,
            bytesOf(() => undefined),
          ),
        ).toBe(NO_SUCH_KERNEL);
        expect(c.prepare(index)).toBe(NO_SUCH_KERNEL);
      });
    },
  );

  test("take no arguments that are NULL", async () => {
    const none = undefined as never;
    await leaving(page, () => {
      expect([c.run(kernel, none, 0n), c.check(kernel, none)]).toEqual([INVALID, INVALID]);
      expect(c.lastError()).toBe("args is NULL");
    });
  });

  test("write where the arguments are those that the bad ones are made from", () => {
    const before = page();
    expect(
      c.run(
        kernel,
        bytesOf(() => undefined),
        0n,
      ),
    ).toBe(0);
    expect(page()).not.toEqual(before);
  });
});

/** Calls of the other functions; `page` is the memory that they are given. */
const OTHERS: readonly (readonly [what: string, status: number, names: RegExp, call: () => number])[] = [
  ["no kernel id", INVALID, /^kernel_id is NULL/, () => c.find(null as never)],
  ["a kernel id like none", NO_SUCH_KERNEL, /no kernel nothing$/, () => c.find("nothing")],
  ["a kernel id of many letters", NO_SUCH_KERNEL, /no kernel x{200}$/, () => c.find("x".repeat(5000))],
  ["device 1", INVALID, /^device is 1: /, () => c.deviceSet(1)],
  ["device -1", INVALID, /^device is -1: /, () => c.deviceSet(-1)],
  ["facts of device 7", INVALID, /^device is 7: /, () => c.deviceGetInfo(7, new Uint8Array(288))],
  ["facts to NULL", INVALID, /^info is NULL/, () => c.deviceGetInfo(0, null as never)],
  ["a count to NULL", INVALID, /^count is NULL/, () => c.deviceCount(null as never)],
  ["a device to NULL", INVALID, /^device is NULL/, () => c.deviceGet(null as never)],
  ["memory to NULL", INVALID, /^memory is NULL/, () => c.allocate(8, null as never)],
  [
    "more memory than there is",
    OUT_OF_MEMORY,
    /^\d+ bytes could not/,
    () => c.allocate(2 ** 53 - 1, new Uint8Array(8)),
  ],
  ["a fill of NULL", INVALID, /^memory is NULL/, () => c.fill(0n, 0, 8, 0n)],
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

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 64])("make no table of %s, nor half", (bad) => {
    const table = new BigUint64Array(3).fill(7n);
    expect(c.ropeTable(Float64Array.of(1, bad, 1), 3, table)).toBe(INVALID);
    expect(c.lastError()).toMatch(/^inv_freq\[1\] is /);
    expect(table).toEqual(new BigUint64Array(3).fill(7n));
  });
});
