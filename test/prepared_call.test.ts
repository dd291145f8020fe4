/** Prepared calls: that they do what `run` does, again and again, and refuse what is gone. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { type Heads, packedHeads } from "../runtime/heads.js";
import type { DeviceBuffer } from "../runtime/memory.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import type { RunOptions } from "../runtime/run_options.js";
import type { Stream } from "../runtime/stream.js";
import { buildFixture, buildFolder } from "./fixture.js";
import { giveAway } from "./helpers.js";

const HEAD_DIM = 128;
const POINT = { headDim: HEAD_DIM, rope: "interleaved", dtype: "bf16" } as const;
const TOKENS = 3;
const ROW = 3 * HEAD_DIM;
const random = randomNumbers(3);
const data = () => randomBits("bf16", TOKENS * ROW, random);

let library: Library;
beforeAll(async () => {
  await buildFixture("default", "cpu");
  library = await open({ target: "cpu", path: buildFolder("default") });
});
afterAll(() => library?.close());

interface Call {
  readonly options: RunOptions & { readonly q: Heads };
  readonly qkv: DeviceBuffer<"bf16">;
  readonly weight: DeviceBuffer<"bf16">;
  readonly positions: DeviceBuffer<"int32">;
  readonly stream: Stream;
}

function callOn(target: Library): Call {
  const qkv = target.upload("bf16", data());
  const weight = target.upload("bf16", randomBits("bf16", HEAD_DIM, random));
  const heads = packedHeads({
    ...{ qkv, headDim: HEAD_DIM, numQHeads: 1, numKHeads: 1, numVHeads: 1 },
    ...{ qWeight: weight, kWeight: weight },
  });
  const positions = target.upload("int32", Int32Array.of(5, 131072, -7));
  const rope = target.uploadRope(ropeTable({ base: 1e6, rotaryDim: HEAD_DIM }));
  const stream = target.createStream();
  const options = { ...heads, numTokens: TOKENS, positions, ropeTable: rope, eps: 1e-6, stream };
  return { options, qkv, weight, positions, stream };
}

const contents = ({ qkv }: Call) => qkv.read(new Uint16Array(TOKENS * ROW));

test("does what run does, on what the buffers hold at the time", async () => {
  const kernel = await library.kernel(POINT);
  const call = callOn(library);
  const prepared = kernel.prepare(call.options);
  for (let i = 0; i < 3; i++) {
    const input = data();
    call.positions.write(Int32Array.of(i, 1 << (10 * i), -i));
    call.qkv.write(input);
    kernel.run(call.options);
    const expected = contents(call);
    call.qkv.write(input);
    prepared.run();
    expect(contents(call)).toEqual(expected);
    expect(expected).not.toEqual(input);
  }
});

test("is counted at every launch, and not when it is prepared", async () => {
  const kernel = await library.kernel(POINT);
  const before = library.launches.get(kernel.id) ?? 0;
  const prepared = kernel.prepare(callOn(library).options);
  expect(library.launches.get(kernel.id) ?? 0).toBe(before);
  prepared.run();
  prepared.run();
  expect(library.launches.get(kernel.id)).toBe(before + 2);
});

describe("is refused, and nothing is written,", () => {
  test.each<[string, (call: Call) => void]>([
    ["the stream was freed", ({ stream }) => stream.free()],
    ["the weights were freed", ({ weight }) => weight.free()],
    ["the positions were freed", ({ positions }) => positions.free()],
  ])("after %s", async (_, lose) => {
    const kernel = await library.kernel(POINT);
    const call = callOn(library);
    const prepared = kernel.prepare(call.options);
    prepared.run();
    const before = contents(call);
    lose(call);
    expect(() => prepared.run()).toThrow(expect.objectContaining({ code: "closed" }));
    expect(contents(call)).toEqual(before);
  });

  test("after the library was closed", async () => {
    const closing = await open({ target: "cpu", path: buildFolder("default") });
    const prepared = (await closing.kernel(POINT)).prepare(callOn(closing).options);
    closing.close();
    expect(() => prepared.run()).toThrow("the library was closed");
  });

  test("after a borrowed array gave its memory away", async () => {
    const array = data();
    const kernel = await library.kernel(POINT);
    const { q, ...rest } = callOn(library).options;
    const prepared = kernel.prepare({
      ...rest,
      q: { ...q, in: { ...q.in, buffer: library.borrow("bf16", array) } },
    });
    prepared.run();
    giveAway(array);
    expect(() => prepared.run()).toThrow(expect.objectContaining({ code: "closed" }));
  });

  test("with arguments that run would refuse", async () => {
    const kernel = await library.kernel(POINT);
    const call = callOn(library);
    const before = contents(call);
    expect(() => kernel.prepare({ ...call.options, eps: Number.NaN })).toThrow("eps is NaN");
    expect(() => kernel.prepare({ ...call.options, eps: 1e300 })).toThrow("eps is 1e+300");
    const q = { ...call.options.q, in: { ...call.options.q.in, tokenStride: 0 } };
    expect(() => kernel.prepare({ ...call.options, q })).toThrow("q.in");
    expect(() => kernel.prepare({ ...call.options, numTokens: TOKENS + 1 })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
    expect(contents(call)).toEqual(before);
  });
});
