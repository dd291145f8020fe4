/** What the runtime refuses before the call reaches C, and that nothing was written when it does. */
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import type { DeviceRope, RunOptions } from "../runtime/call.js";
import { NormropeError } from "../runtime/errors.js";
import { packedHeads } from "../runtime/heads.js";
import type { DeviceBuffer } from "../runtime/memory.js";
import type { Kernel } from "../runtime/op.js";
import { type Library, open } from "../runtime/open.js";
import { ropeTable } from "../runtime/rope_table.js";
import { buildFixture, buildFolder } from "./fixture.js";

const HEAD_DIM = 64;
const TOKENS = 3;
const ROW = 4 * HEAD_DIM; // two q heads, one k head, one v head
const FILL = 0x3f80;

let library: Library;
let other: Library;
let kernel: Kernel;
let qkv: DeviceBuffer<"bf16">;
let weight: DeviceBuffer;
let positions: DeviceBuffer;
let rope: DeviceRope;

beforeAll(async () => {
  await buildFixture("default", "cpu");
  const options = { target: "cpu", path: buildFolder("default") } as const;
  library = await open(options);
  other = await open(options);
  kernel = await library.kernel({ headDim: HEAD_DIM, rope: "neox", dtype: "bf16" });
  qkv = library.upload("bf16", new Uint16Array(TOKENS * ROW).fill(FILL));
  weight = library.upload("bf16", new Uint16Array(HEAD_DIM).fill(FILL));
  positions = library.upload("int32", Int32Array.of(1, 2, 3));
  rope = library.uploadRope(ropeTable({ base: 10_000, rotaryDim: HEAD_DIM }));
});
afterAll(() => {
  library?.close();
  other?.close();
});

function validCall(): RunOptions {
  const heads = packedHeads({
    ...{ qkv, headDim: HEAD_DIM, numQHeads: 2, numKHeads: 1, numVHeads: 1 },
    ...{ qWeight: weight, kWeight: weight },
  });
  return { ...heads, numTokens: TOKENS, positions, rope, eps: 1e-6 };
}

const contents = () => qkv.read(new Uint16Array(TOKENS * ROW));

/** Changes to a valid call, as a caller without types could make them; the field that the error must name. */
const BAD: [what: string, field: string, change: () => object][] = [
  ["a NaN eps", "eps", () => ({ eps: Number.NaN })],
  ["a negative eps", "eps", () => ({ eps: -1e-6 })],
  ["an infinite eps", "eps", () => ({ eps: Number.POSITIVE_INFINITY })],
  ...[null, [], true, "1e-6", 1n].map(
    (eps) => [`eps as ${typeof eps}`, "eps", () => ({ eps })] as [string, string, () => object],
  ),
  ["k that is null", "k", () => ({ k: null })],
  ["an output that is null", "q.out", () => withQ({ out: null })],
  ["a negative number of tokens", "numTokens", () => ({ numTokens: -1 })],
  ["half a token", "numTokens", () => ({ numTokens: 1.5 })],
  ["too few positions", "positions", () => ({ numTokens: TOKENS + 1 })],
  ["positions of another type", "positions", () => ({ positions: weight })],
  ["positions that are no buffer", "positions", () => ({ positions: Int32Array.of(1, 2, 3) })],
  ["no positions", "positions", () => ({ positions: undefined })],
  ["a table that is too short", "rope.turns", () => ({ rope: tableFor(HEAD_DIM - 2) })],
  [
    "a table at an address between pairs of entries",
    "rope.turns",
    () => ({ rope: { ...rope, turns: betweenEntries() } }),
  ],
  ["a table for a larger rotaryDim", "rope.turns", () => ({ rope: tableFor(2 * HEAD_DIM) })],
  ["an eps that no float32 holds", "eps", () => ({ eps: 1e300 })],
  [
    "q over its own input, a head further on",
    "q.out",
    () => withQ({ numHeads: 1, out: { buffer: qkv, offset: HEAD_DIM / 2, tokenStride: ROW } }),
  ],
  [
    "q over the input of k",
    "q.out",
    () => withQ({ numHeads: 1, out: { buffer: qkv, offset: 2 * HEAD_DIM, tokenStride: ROW } }),
  ],
  ["k over the output of q", "k.out", () => ({ q: outOfPlace(0), k: outOfPlace(HEAD_DIM) })],
  ["heads of another head_dim", "q.headDim", () => withQ({ headDim: 2 * HEAD_DIM })],
  ["a misspelt option", "options.epsilon", () => ({ epsilon: 1e-6 })],
  ["a misspelt k", "options.K", () => ({ K: validCall().k })],
  ["a misspelt offset", "q.ofset", () => withQ({ ofset: HEAD_DIM })],
  [
    "a misspelt field of the output",
    "q.out.headstride",
    () => withQ({ out: { buffer: qkv, tokenStride: ROW, headstride: 64 } }),
  ],
  [
    "a misspelt field of the table",
    "rope.attentionfactor",
    () => ({ rope: { ...rope, attentionfactor: 1 } }),
  ],
  ["k on the heads of q", "q.out", () => ({ k: validCall().q })],
  [
    "k half over the last head of q",
    "q.out",
    () => ({ k: { ...validCall().q, offset: 1.5 * HEAD_DIM, numHeads: 1 } }),
  ],
  [
    "k over the q of the next token",
    "q.out",
    () => ({ k: { ...validCall().q, offset: 3 * HEAD_DIM }, numTokens: 2 }),
  ],
  [
    "a NaN attention factor",
    "rope.attentionFactor",
    () => ({ rope: { ...rope, attentionFactor: Number.NaN } }),
  ],
  ["no rope", "rope", () => ({ rope: undefined })],
  ["no q", "q", () => ({ q: undefined })],
  ["a stream that is none", "stream", () => ({ stream: 7 })],
  ["a stream of another library", "stream", () => ({ stream: other.createStream() })],
  ["q of another dtype", "q.buffer", () => withQ({ buffer: library.allocate("f16", TOKENS * ROW) })],
  ["q in another library", "q.buffer", () => withQ({ buffer: other.allocate("bf16", TOKENS * ROW) })],
  ["q beyond its buffer", "q.buffer", () => withQ({ offset: HEAD_DIM * 3 })],
  ["a row stride beyond the buffer", "q.buffer", () => withQ({ tokenStride: 2 * ROW })],
  ["a head stride beyond the buffer", "q.buffer", () => withQ({ headStride: 4 * HEAD_DIM })],
  ["more heads than the buffer holds", "q.buffer", () => withQ({ numHeads: 5 })],
  ["a misaligned offset", "q.offset", () => withQ({ offset: 2 })],
  ["a misaligned row stride", "q.tokenStride", () => withQ({ tokenStride: ROW - 2 })],
  ["a misaligned head stride", "q.headStride", () => withQ({ headStride: HEAD_DIM + 1 })],
  ["a negative row stride", "q.tokenStride", () => withQ({ tokenStride: -ROW })],
  ["a NaN row stride", "q.tokenStride", () => withQ({ tokenStride: Number.NaN })],
  ["a negative number of heads", "q.numHeads", () => withQ({ numHeads: -1 })],
  ["a weight that is too short", "q.weight", () => withQ({ weight: library.allocate("bf16", HEAD_DIM - 1) })],
  ["a weight of another dtype", "q.weight", () => withQ({ weight: library.allocate("f16", HEAD_DIM) })],
  ["one weight where each head has its own", "q.weight", () => withQ({ weightHeadStride: HEAD_DIM })],
  [
    "an output beyond its buffer",
    "q.out.buffer",
    () => withQ({ out: { buffer: qkv, offset: ROW, tokenStride: ROW } }),
  ],
  ["a pdl that is no boolean", "pdl", () => ({ pdl: "no" })],
  [
    "heads at an address between vectors",
    "q.buffer",
    () => withQ({ buffer: between(qkv), offset: 0, numHeads: 1 }),
  ],
  [
    "a weight at an address between vectors",
    "q.weight",
    () => withQ({ weight: between(weight), numHeads: 0 }),
  ],
  ["every token written to one place", "q.out", () => withQ({ tokenStride: 0 })],
  ["heads that are written over each other", "q.out", () => withQ({ headStride: HEAD_DIM / 2 })],
  ["rows that are written over each other", "q.out", () => withQ({ tokenStride: HEAD_DIM })],
  ["a misaligned output", "q.out.offset", () => withQ({ out: { buffer: qkv, offset: 1, tokenStride: ROW } })],
];

const withQ = (change: object) => ({ q: { ...validCall().q, ...change } });
const between = (buffer: DeviceBuffer) =>
  library.borrow("bf16", { address: buffer.address + 2n, length: buffer.length - 1 });
const spare = () => (spareBuffer ??= library.allocate("bf16", TOKENS * ROW));
let spareBuffer: DeviceBuffer | undefined;
/** Two heads of the packed rows, to `offset` in rows of another buffer. */
const outOfPlace = (offset: number) => ({
  ...{ ...validCall().q, numHeads: 2 },
  out: { buffer: spare(), offset, tokenStride: ROW },
});
const betweenEntries = () => {
  const { address, length } = library.allocate("uint64", HEAD_DIM);
  return library.borrow("uint64", { address: address + 8n, length: length / 2 });
};
const tableFor = (rotaryDim: number) => library.uploadRope(ropeTable({ base: 10_000, rotaryDim }));

describe("a call with", () => {
  test.each(BAD)("%s is refused, naming %s, and writes nothing", (_, field, change) => {
    const before = contents();
    const call = { ...validCall(), ...change() } as RunOptions;
    expect(() => kernel.run(call)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    expect(() => kernel.run(call)).toThrow(`${field} `);
    expect(contents()).toEqual(before);
  });
});

test("the valid call that the bad ones are made from writes q and k, and leaves v", () => {
  const before = contents();
  kernel.run(validCall());
  const after = contents();
  for (let head = 0; head < 4 * TOKENS; head++) {
    const slice = (bits: Uint16Array) => bits.slice(head * HEAD_DIM, (head + 1) * HEAD_DIM);
    if (head % 4 === 3) expect(slice(after)).toEqual(slice(before));
    else expect(slice(after)).not.toEqual(slice(before));
  }
});

test.each<[string, () => object]>([
  ["packedHeads without sizes", () => packedHeads(undefined as never)],
  ["packedHeads with a negative count", () => packed({ numVHeads: -1 })],
  ["packedHeads with half a head", () => packed({ numQHeads: 1.5 })],
  ["packedHeads with a head_dim that is no number", () => packed({ headDim: 64n as never })],
  ["upload of nothing", () => library.upload("bf16", undefined as never)],
  ["upload of a list", () => library.upload("bf16", [1, 2] as never)],
])("%s is refused", (_, call) => {
  expect(call).toThrow(expect.objectContaining({ code: "invalid-argument" }));
});

const packed = (change: object) => {
  const counts = { headDim: HEAD_DIM, numQHeads: 1, numKHeads: 1, numVHeads: 1, ...change };
  return packedHeads({ qkv, ...counts, qWeight: weight, kWeight: weight });
};

test("strides that nothing is multiplied with may be anything", () => {
  const { q, k } = validCall();
  const out = { buffer: qkv, tokenStride: 1, headStride: HEAD_DIM };
  kernel.run({ ...validCall(), q: { ...q, tokenStride: 3, out }, k: undefined, numTokens: 1 });
  if (k !== undefined) kernel.run({ ...validCall(), k: { ...k, headStride: 7 } });
});

describe("a library", () => {
  test("finds kernels by their point, with rotaryDim given or not", async () => {
    const point = { headDim: 128, rope: "interleaved", dtype: "bf16" } as const;
    expect((await library.kernel(point)).id).toBe("qk_norm_rope__bf16_d128_r128_interleaved");
    expect((await library.kernel({ ...point, rotaryDim: 128 })).id).toBe((await library.kernel(point)).id);
  });

  test("says what would add a point that it lacks, and why one cannot be", async () => {
    const missing = library.kernel({ headDim: 1000, rope: "neox", dtype: "bf16" });
    await expect(missing).rejects.toMatchObject({ code: "kernel-not-found" });
    await expect(missing).rejects.toThrow('{ headDim: [1000], rope: ["neox"], dtype: ["bf16"] }');
    await expect(library.kernel(undefined as never)).rejects.toMatchObject({ code: "invalid-argument" });
    const misspelt = library.kernel({ headDim: 64, rotarydim: 32, rope: "neox", dtype: "bf16" } as never);
    await expect(misspelt).rejects.toThrow("point.rotarydim is not known");
    const impossible = library.kernel({ headDim: 64, rotaryDim: 96, rope: "neox", dtype: "bf16" });
    await expect(impossible).rejects.toThrow("a head of 64 elements has no 96 to rotate");
  });

  test("counts what it launched, and not what it refused", () => {
    const before = library.launches.get(kernel.id) ?? 0;
    kernel.run(validCall());
    expect(() => kernel.run({ ...validCall(), eps: -1 })).toThrow();
    kernel.run({ ...validCall(), numTokens: 0 });
    kernel.run({ ...validCall(), q: { ...validCall().q, numHeads: 0 }, k: undefined });
    expect(library.launches.get(kernel.id)).toBe(before + 1);
    expect(library.launches.get("qk_norm_rope__bf16_d256_r256_neox")).toBeUndefined();
  });

  test("frees what was made from it when it is closed, and refuses use after", async () => {
    const closing = await open({ target: "cpu", path: buildFolder("default") });
    const left = closing.allocate("bf16", 8);
    const closedKernel = await closing.kernel({ headDim: HEAD_DIM, rope: "neox", dtype: "bf16" });
    closing.close();
    closing.close();
    const closed = expect.objectContaining({ code: "closed" });
    expect(() => left.read(new Uint16Array(1))).toThrow(closed);
    expect(() => closing.allocate("bf16", 8)).toThrow(closed);
    expect(() => closedKernel.run(validCall())).toThrow(closed);
    await expect(closing.kernel({ headDim: HEAD_DIM, rope: "neox", dtype: "bf16" })).rejects.toThrow(closed);
  });

  test.each([
    [{ target: "tpu" as never }, "invalid-argument"],
    [{ target: "cpu", path: "/nonexistent" } as const, "library-not-found"],
    [{ path: 5 as never }, "invalid-argument"],
    [{ tarqet: "cpu" } as never, "invalid-argument"],
    [{ target: "cpu", path: "/nonexistent/libnormrope.so" } as const, "library-not-found"],
    [{ target: "cpu", path: buildFolder("default"), device: 1 } as const, "invalid-argument"],
    [{ target: "cpu", path: buildFolder("default"), device: -1 } as const, "invalid-argument"],
    [{ target: "cpu", path: buildFolder("default"), device: "0" as never } as const, "invalid-argument"],
    [null as never, "invalid-argument"],
  ])("%j is refused as %s", async (options, code) => {
    await expect(open(options)).rejects.toMatchObject({ code });
    await expect(open(options)).rejects.toBeInstanceOf(NormropeError);
  });

  test("has one CPU device, streams and events", () => {
    expect(library.devices).toMatchObject([{ name: "CPU", arch: "" }]);
    using stream = library.createStream();
    using start = library.createEvent();
    using end = library.createEvent();
    start.record(stream);
    kernel.run({ ...validCall(), stream });
    end.record(stream);
    stream.synchronize();
    expect(end.millisecondsSince(start)).toBeGreaterThan(0);
    using unrecorded = library.createEvent();
    expect(() => end.millisecondsSince(unrecorded)).toThrow("start was not recorded");
  });
});

test("a process that has run a kernel ends cleanly: the library stays mapped under its threads", async () => {
  const program = `
    import { open, ropeTable } from "normrope/runtime";
    const library = await open({ target: "cpu", path: ${JSON.stringify(buildFolder("default"))} });
    const kernel = await library.kernel({ headDim: 64, rope: "neox", dtype: "bf16" });
    const numTokens = 1000;
    const buffer = library.upload("bf16", new Uint16Array(64 * numTokens).fill(0x3f80));
    const weight = library.upload("bf16", new Uint16Array(64).fill(0x3f80));
    const positions = library.upload("int32", new Int32Array(numTokens));
    const rope = library.uploadRope(ropeTable({ base: 10000, rotaryDim: 64 }));
    kernel.run({ q: { buffer, tokenStride: 64, numHeads: 1, weight }, numTokens, positions, rope, eps: 1e-6 });
  `;
  for (let run = 0; run < 5; run++) {
    const { exitCode, signal } = await execa(
      "node",
      ["--import", "tsx", "--input-type=module", "-e", program],
      {
        cwd: PACKAGE_ROOT,
        reject: false,
      },
    );
    expect({ exitCode, signal }).toEqual({ exitCode: 0, signal: undefined });
  }
});
