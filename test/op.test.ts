/** Kernels of an open library: what a call writes and what it counts, and what becomes of the library when it is closed. */
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { encodeAll } from "../runtime/dtype.js";
import { type Heads, packedHeads } from "../runtime/heads.js";
import type { DeviceBuffer } from "../runtime/memory.js";
import type { Kernel } from "../runtime/op.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import type { DeviceRope, RunOptions } from "../runtime/run_options.js";
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

function validCall(): RunOptions & { readonly q: Heads; readonly k: Heads } {
  const heads = packedHeads({
    ...{ qkv, headDim: HEAD_DIM, numQHeads: 2, numKHeads: 1, numVHeads: 1 },
    ...{ qWeight: weight, kWeight: weight },
  });
  return { ...heads, numTokens: TOKENS, positions, ropeTable: rope, eps: 1e-6 };
}

const contents = () => qkv.read(new Uint16Array(TOKENS * ROW));

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

test("packed heads: q and k have each their own weight, and v is left alone", () => {
  using packed = library.upload("bf16", new Uint16Array(ROW).fill(0x3fc0)); // 1.5
  using twos = library.upload("bf16", new Uint16Array(HEAD_DIM).fill(0x4000));
  const counts = { headDim: HEAD_DIM, numQHeads: 2, numKHeads: 1, numVHeads: 1 };
  const heads = packedHeads({ qkv: packed, ...counts, qWeight: weight, kWeight: twos });
  using start = library.upload("int32", Int32Array.of(0));
  kernel.run({ ...heads, numTokens: 1, positions: start, ropeTable: rope, eps: 1e-6 });
  const values = encodeAll("bf16", [1, 1, 2, 1.5]);
  expect(packed.read(new Uint16Array(ROW))).toEqual(
    Uint16Array.from({ length: ROW }, (_, i) => values[Math.floor(i / HEAD_DIM)] ?? 0),
  );
});

test("unused strides may have any value", () => {
  const { q, k } = validCall();
  const out = { buffer: qkv, tokenStride: 1, headStride: HEAD_DIM };
  kernel.run({
    ...validCall(),
    q: { ...q, in: { ...q.in, tokenStride: 3 }, out },
    k: undefined,
    numTokens: 1,
  });
  if (k !== undefined) kernel.run({ ...validCall(), k: { ...k, in: { ...k.in, headStride: 7 } } });
});

describe("a library", () => {
  test("finds kernels by their point, with rotaryDim given or not", async () => {
    const point = { headDim: 128, rope: "interleaved", dtype: "bf16" } as const;
    expect((await library.kernel(point)).id).toBe("qk_norm_rope__bf16_d128_r128_interleaved");
    expect((await library.kernel({ ...point, rotaryDim: 128 })).id).toBe((await library.kernel(point)).id);
  });

  test("says what would add a missing point, and why an illegal one cannot exist", async () => {
    const missing = library.kernel({ headDim: 1000, rope: "neox", dtype: "bf16" });
    await expect(missing).rejects.toMatchObject({ code: "kernel-not-found" });
    await expect(missing).rejects.toThrow('{ headDim: [1000], rope: ["neox"], dtype: ["bf16"] }');
    await expect(library.kernel(undefined as never)).rejects.toMatchObject({ code: "invalid-argument" });
    const misspelt = library.kernel({ headDim: 64, rotarydim: 32, rope: "neox", dtype: "bf16" } as never);
    await expect(misspelt).rejects.toThrow("point.rotarydim is not known");
    const impossible = library.kernel({ headDim: 64, rotaryDim: 96, rope: "neox", dtype: "bf16" });
    await expect(impossible).rejects.toThrow("rotaryDim 96 is more than headDim 64");
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
    kernel.run({ q: { in: { buffer, tokenStride: 64 }, numHeads: 1, weight }, numTokens, positions, ropeTable: rope, eps: 1e-6 });
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
