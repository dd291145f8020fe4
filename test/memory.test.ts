/** Buffers: the library's own and the caller's, copies, and what becomes of them when they are freed or lost. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { packedHeads } from "../runtime/heads.js";
import { loadLibrary, type NativeFunctions } from "../runtime/library.js";
import type { Kernel } from "../runtime/op.js";
import { open } from "../runtime/open.js";
import { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import { buildFixture, buildFolder } from "./fixture.js";
import { giveAway } from "./helpers.js";

const HEAD_DIM = 64;
const TOKENS = 5;
const ROW = 4 * HEAD_DIM; // two q heads, one k head, one v head
const random = randomNumbers(11);
const DATA = randomBits("bf16", TOKENS * ROW, random);
const WEIGHT = new Uint16Array(HEAD_DIM).fill(0x3fc0);
const POSITIONS = Int32Array.from({ length: TOKENS }, (_, i) => 1000 * i);
const TABLE = ropeTable({ base: 10_000, rotaryDim: HEAD_DIM });

const closed = expect.objectContaining({ code: "closed" });
const invalid = expect.objectContaining({ code: "invalid-argument" });

let library: Library;
let other: Library;
let kernel: Kernel;
beforeAll(async () => {
  await buildFixture("default", "cpu");
  const options = { target: "cpu", path: buildFolder("default") } as const;
  library = await open(options);
  other = await open(options);
  kernel = await library.kernel({ headDim: HEAD_DIM, rope: "neox", dtype: "bf16" });
});
afterAll(() => {
  library?.close();
  other?.close();
});

/** Runs the kernel on a packed qkv, with everything else in buffers of the library's own. */
function run(qkv: ReturnType<Library["allocate"]>): void {
  using weight = library.upload("bf16", WEIGHT);
  using positions = library.upload("int32", POSITIONS);
  using rope = library.uploadRope(TABLE);
  const counts = { headDim: HEAD_DIM, numQHeads: 2, numKHeads: 1, numVHeads: 1 };
  const heads = packedHeads({ qkv, ...counts, qWeight: weight, kWeight: weight });
  kernel.run({ ...heads, numTokens: TOKENS, positions, ropeTable: rope, eps: 1e-6 });
}

function expected(): Uint16Array {
  using qkv = library.upload("bf16", DATA);
  run(qkv);
  return qkv.read(new Uint16Array(TOKENS * ROW));
}

describe("a buffer", () => {
  test("copies what it is given, whole or in part", () => {
    using buffer = library.upload("int64", BigInt64Array.of(1n, -2n, 3n));
    buffer.write(BigInt64Array.of(9n), 1);
    expect(buffer.read(new BigInt64Array(3))).toEqual(BigInt64Array.of(1n, 9n, 3n));
    expect(buffer.read(new BigInt64Array(1), 2)).toEqual(BigInt64Array.of(3n));
  });

  test.each<[string, () => unknown]>([
    ["another kind of array", () => scratch().read(new Int32Array(1) as never)],
    ["no array", () => scratch().write(undefined as never)],
    ["more than it holds", () => scratch().read(new Uint16Array(9))],
    ["a negative offset", () => scratch().write(new Uint16Array(1), -1)],
    ["a type that there is none of", () => library.allocate("f64" as never, 1)],
    ["a type that every object has", () => library.allocate("toString" as never, 1)],
    ["a stream that is none", () => scratch().read(new Uint16Array(1), 0, { address: 3n } as never)],
    ["a stream of another library", () => scratch().write(new Uint16Array(1), 0, other.createStream())],
    ["an event in a stream that is none", () => library.createEvent().record({ address: 3n } as never)],
    [
      "the time since what is no event",
      () => library.createEvent().millisecondsSince({ address: 16n } as never),
    ],
    [
      "the time since an event of another library",
      () => library.createEvent().millisecondsSince(other.createEvent()),
    ],
    ["a table that is none", () => library.uploadRope({} as never)],
    ["a call without options", () => kernel.run(undefined as never)],
    ["a negative length", () => library.allocate("bf16", -1)],
    ["a length that is no number", () => library.allocate("bf16", Number.NaN)],
    ["an array whose memory was transferred away", () => library.upload("bf16", detached())],
  ])("refuses %s", (_, call) => {
    expect(call).toThrow(invalid);
  });

  test.each<[string, () => unknown, string]>([
    [
      "data that is longer than it",
      () => scratch().read(new Uint16Array(9)),
      "data is 9 elements long. data must be at most 8 long, from element 0 of a buffer of 8",
    ],
    [
      "data that is longer than what is left of it",
      () => scratch().write(new Uint16Array(3), 6),
      "data is 3 elements long. data must be at most 2 long, from element 6 of a buffer of 8",
    ],
    [
      "an offset behind its end",
      () => scratch().read(new Uint16Array(1), 9),
      "offset is 9. offset must be a whole number from 0 to the buffer's length, 8",
    ],
  ])("names what does not fit: %s", (_, call, message) => {
    expect(call).toThrow(message);
  });

  test("refuses more memory than there is", () => {
    expect(() => library.allocate("bf16", 2 ** 52)).toThrow(
      expect.objectContaining({ code: "out-of-memory" }),
    );
  });

  test("is refused after it was freed, which may be done twice", () => {
    const buffer = library.upload("bf16", DATA);
    buffer.free();
    buffer.free();
    expect(() => buffer.read(new Uint16Array(1))).toThrow(closed);
    expect(() => run(buffer)).toThrow(closed);
  });
});

const scratch = () => library.allocate("bf16", 8);

function detached(): Uint16Array {
  const array = new Uint16Array(8);
  giveAway(array);
  return array;
}

describe("memory that the caller owns", () => {
  test("is read and written where it lies, from an array", () => {
    const array = DATA.slice();
    using qkv = library.borrow("bf16", array);
    run(qkv);
    expect(array).toEqual(expected());
  });

  test("is read and written where it lies, from an address, and outlives the buffer", () => {
    using owner = library.upload("bf16", DATA);
    const qkv = library.borrow("bf16", { address: owner.address, length: owner.length });
    run(qkv);
    qkv.free();
    expect(owner.read(new Uint16Array(TOKENS * ROW))).toEqual(expected());
    expect(() => run(qkv)).toThrow(closed);
  });

  test("can be a part of an array, and small", () => {
    const positions = Int32Array.of(-1, 7, 8, -1);
    using buffer = library.borrow("int32", positions.subarray(1, 3));
    buffer.write(Int32Array.of(9), 1);
    expect(positions).toEqual(Int32Array.of(-1, 7, 9, -1));
    using empty = library.borrow("int32", new Int32Array(0));
    expect(empty.length).toBe(0);
  });

  test("is refused once the array gave its memory away", () => {
    const array = DATA.slice();
    using qkv = library.borrow("bf16", array);
    giveAway(array);
    expect(() => run(qkv)).toThrow(closed);
    expect(() => qkv.read(new Uint16Array(1))).toThrow(closed);
  });

  const resizable = () => {
    const options = { maxByteLength: 32 };
    return new Uint16Array(Reflect.construct(ArrayBuffer, [16, options]));
  };
  test.each<[string, () => unknown]>([
    ["no memory", () => library.borrow("bf16", undefined as never)],
    ["an array of another type", () => library.borrow("bf16", new Int32Array(4) as never)],
    ["an array whose memory was transferred away", () => library.borrow("bf16", detached())],
    ["an array that can be resized", () => library.borrow("bf16", resizable())],
    ["an address as a number", () => library.borrow("bf16", { address: 4096 as never, length: 1 })],
    ["NULL", () => library.borrow("bf16", { address: 0n, length: 1 })],
    ["a negative address", () => library.borrow("bf16", { address: -8n, length: 1 })],
    ["an address past the end", () => library.borrow("bf16", { address: 2n ** 64n - 2n, length: 4 })],
    ["an address between elements", () => library.borrow("int64", { address: 4100n, length: 1 })],
    ["no length", () => library.borrow("bf16", { address: 4096n } as never)],
    ["a type that there is none of", () => library.borrow("i8" as never, { address: 4096n, length: 1 })],
  ])("is refused as %s", (_, borrow) => {
    expect(borrow).toThrow(invalid);
  });

  test("cannot be borrowed by a library that was closed", async () => {
    const closing = await open({ target: "cpu", path: buildFolder("default") });
    closing.close();
    expect(() => closing.borrow("bf16", new Uint16Array(4))).toThrow(closed);
  });
});

test("what is made from a library is given back, each once, over 10,000 calls", () => {
  const native = loadLibrary(library.path);
  const given = new Map<string, number>();
  const counted = Object.fromEntries(
    Object.entries(native.functions).map(([name, call]: [string, (...args: never[]) => unknown]) => [
      name,
      (...args: never[]) => {
        given.set(name, (given.get(name) ?? 0) + 1);
        return call(...args);
      },
    ]),
  ) as unknown as NativeFunctions;
  const counting = new Library({ ...native, functions: counted });
  const array = new Uint16Array(128 * 1024); // 256 KiB: 2.5 GiB over all calls
  const once = () => {
    using stream = counting.createStream();
    using event = counting.createEvent();
    using big = counting.upload("bf16", array);
    using part = counting.borrow("bf16", { address: big.address, length: 8 });
    using rope = counting.uploadRope(TABLE);
    event.record(stream);
    return [part, rope];
  };
  for (let i = 0; i < 500; i++) once();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 10_000; i++) once();
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
  counting.createEvent(); // left to close
  counting.close();
  expect(Object.fromEntries(given)).toMatchObject({
    ...{ memoryAllocate: 21_000, memoryFree: 21_000, streamCreate: 10_500, streamDestroy: 10_500 },
    ...{ eventCreate: 10_501, eventDestroy: 10_501 },
  });
});

test("10,000 calls leave no memory behind", async () => {
  using qkv = library.upload("bf16", DATA);
  for (let i = 0; i < 1000; i++) run(qkv);
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 10_000; i++) run(qkv);
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * 2 ** 20);
});

test("a buffer's type and length cannot be changed: they bound what is read", () => {
  const buffer = library.allocate("bf16", 8);
  expect(() => Object.assign(buffer, { length: 1e6 })).toThrow(TypeError);
  expect(() => Object.assign(library.borrow("bf16", new Uint16Array(8)), { length: 1e6 })).toThrow(TypeError);
  expect(() => buffer.read(new Uint16Array(9))).toThrow(invalid);
});
