/** CUDA kernels on the emulator, against the oracle: those of the default space, and geometries of every kind. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import type { KernelPlan } from "../generator/ir.js";
import { randomBits, randomNumbers } from "../generator/verify/random.js";
import { verifyLibrary } from "../generator/verify/verify.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { anyCall, kernelOf, rowOf, STEP } from "./any_call.js";
import { waysThatDiffer } from "./batch_bits.js";
import { buildEmulatedFixture } from "./emulated.js";
import { CONFIGS, type ConfigName, compilationOf } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

describe.each(Object.keys(CONFIGS) as ConfigName[])("the %s config on the emulator", (name) => {
  const { plans } = compilationOf(name);
  let library: Library;
  beforeAll(async () => {
    library = await open({ target: "cuda", path: (await buildEmulatedFixture(name)).library });
  });
  afterAll(() => library?.close());

  test("passes on every batch, with nothing to report", async () => {
    const results = await verifyLibrary(library);
    expect(results.map(({ id }) => id)).toEqual(plans.map(({ id }) => id));
    expect(results.filter(({ pass }) => !pass)).toEqual([]);
  });

  test("gives a batch the bits of its tokens one by one, and of dependent launches", async () => {
    for (const entry of plans) {
      const counts = { numTokens: 23, numQHeads: 9, numKHeads: 3, numVHeads: 4 };
      expect(await waysThatDiffer(library, entry, counts)).toEqual([]);
    }
  });

  test("stages heads at multiples of 16 bytes, and others have the same bits without it", async () => {
    const staged = plans.filter(({ point }) => point.headDim <= 128);
    const headDims = staged.map(({ point }) => point.headDim);
    for (const entry of staged.filter(({ point }, i) => headDims.indexOf(point.headDim) === i)) {
      const { headDim, dtype } = entry.point;
      const kernel = await kernelOf(library, entry);
      const heads = entry.throughput.headsPerWarp;
      const counts = { numTokens: 260, numQHeads: heads, numKHeads: heads, numVHeads: heads };
      const call = anyCall(library, entry, counts);
      const length = counts.numTokens * rowOf(entry, counts);
      const bits = randomBits(dtype, length, randomNumbers(3));
      using positions = library.upload(
        "int32",
        Int32Array.from({ length: counts.numTokens }, (_, i) => STEP * i),
      );
      const results = [0, 4].map((offset) => {
        const memory = new Uint16Array(length + offset);
        memory.set(bits, offset);
        using buffer = library.upload(dtype, memory);
        using within = library.borrow(dtype, { address: buffer.address + BigInt(2 * offset), length });
        const { layout } = kernel.launchInfo(call(within, positions));
        kernel.run(call(within, positions));
        return { layout, bits: buffer.read(memory).slice(offset) };
      });
      expect(
        results.map(({ layout }) => layout),
        `${headDim}`,
      ).toEqual([1, 0]);
      expect(results[0]?.bits).toEqual(results[1]?.bits);
    }
  });

  test("waits for the launch before where it is dependent", async () => {
    const log = join(temporaryFolder(), "launches");
    vi.stubEnv("NORMROPE_EMULATOR_LOG", log);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    for (const entry of library.manifest.kernels) {
      const kernel = await kernelOf(library, entry);
      const { headDim, dtype } = entry.point;
      const random = randomNumbers(2);
      using buffer = library.upload(dtype, randomBits(dtype, 8 * headDim, random));
      using other = library.upload(dtype, randomBits(dtype, 8 * headDim, random));
      using positions = library.upload("int32", Int32Array.of(3, 4));
      const callOn = anyCall(library, entry, { numTokens: 2, numQHeads: 2, numKHeads: 1, numVHeads: 1 });
      const call = callOn(buffer, positions);
      expect([kernel.launchInfo(call), kernel.launchInfo({ ...call, pdl: true })]).toEqual(
        [false, true].map((isDependent) => ({
          ...{ layout: expect.any(Number), headsPerTask: entry.headsPerWarp, slices: 1, isDependent },
        })),
      );
      // The second reads what the first wrote, and the third takes it for positions: too early a read would be reported.
      for (let i = 0; i < 2; i++) kernel.run({ ...call, pdl: true });
      // Rows of cosines are known for small positions only.
      const address = entry.inputs.includes("cos_sin") ? positions.address : buffer.address;
      using written = library.borrow("int32", { address, length: 2 });
      kernel.run({ ...callOn(other, written), pdl: true });
    }
    const launches = readFileSync(log, "utf8").trim().split("\n");
    expect(launches.map((line) => line.replace(/ \d+ x \d+$/, "").replace("__throughput", ""))).toEqual(
      library.manifest.kernels.flatMap(({ id }) => Array(3).fill(`${id}__dependent dependent`)),
    );
  });

  test("launches as many heads as there can be in a grid that CUDA takes", async () => {
    vi.stubEnv("NORMROPE_EMULATOR_RUNS_NOTHING", "1");
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    // A grid follows from the size of heads, and how they lie in warps: kernels that differ otherwise have the same.
    const gridOf = ({ point, headsPerWarp, throughput }: KernelPlan) =>
      JSON.stringify([point.headDim, headsPerWarp, throughput]);
    for (const entry of new Map(plans.map((each) => [gridOf(each), each])).values()) {
      const kernel = await kernelOf(library, entry);
      const { headDim, dtype } = entry.point;
      for (const [numTokens, numHeads] of [
        [1, 2 ** 30],
        [2 ** 30, 1],
        [2 ** 20, 2 ** 10],
      ] as const) {
        // Nothing is read or written, so there need be no memory.
        const length = 2 ** 30 * headDim;
        using buffer = library.borrow(dtype, { address: 2n ** 43n, length });
        using positions = library.borrow("int32", { address: 2n ** 42n, length: numTokens });
        const none = { numQHeads: 0, numKHeads: 0, numVHeads: 0 };
        const side = entry.inputs.includes("q.in") ? "numQHeads" : "numKHeads";
        kernel.run(anyCall(library, entry, { numTokens, ...none, [side]: numHeads })(buffer, positions));
      }
    }
  });
});
