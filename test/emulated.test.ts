/** CUDA kernels on the emulator, against the oracle: those of the default space, and geometries of every kind. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { randomBits, randomNumbers } from "../runtime/random.js";
import { ropeTable } from "../runtime/rope_table.js";
import { verifyLibrary } from "../runtime/verify.js";
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
    for (const { point } of plans) {
      const shape = { tokens: 23, numQHeads: 9, numKHeads: 3 };
      expect(await waysThatDiffer(library, point, shape)).toEqual([]);
    }
  });

  test("waits for the launch before where it is dependent", async () => {
    const log = join(temporaryFolder(), "launches");
    vi.stubEnv("NORMROPE_EMULATOR_LOG", log);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    for (const facts of library.manifest.kernels) {
      const kernel = await library.kernel(facts.point);
      const { headDim, dtype, rotaryDim } = facts.point;
      const random = randomNumbers(2);
      using buffer = library.upload(dtype, randomBits(dtype, 6 * headDim, random));
      using other = library.upload(dtype, randomBits(dtype, 6 * headDim, random));
      using weight = library.upload(dtype, randomBits(dtype, headDim, random));
      using positions = library.upload("int32", Int32Array.of(3, 4));
      using rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim }));
      const q = { in: { buffer, tokenStride: 3 * headDim }, numHeads: 2, weight };
      const k = { ...q, in: { ...q.in, offset: 2 * headDim }, numHeads: 1 };
      const call = { q, k, numTokens: 2, positions, ropeTable: rope, eps: 1e-6 };
      expect([kernel.launchInfo(call), kernel.launchInfo({ ...call, pdl: true })]).toEqual(
        [false, true].map((isDependent) => ({
          ...{ layout: 0, headsPerTask: facts.headsPerWarp, slices: 1, isDependent },
        })),
      );
      // The second reads what the first wrote, and the third takes it for positions: too early a read would be reported.
      for (let i = 0; i < 2; i++) kernel.run({ ...call, pdl: true });
      using written = library.borrow("int32", { address: buffer.address, length: 2 });
      const away = { ...q, in: { ...q.in, buffer: other } };
      kernel.run({ q: away, numTokens: 2, positions: written, ropeTable: rope, eps: 1e-6, pdl: true });
    }
    const launches = readFileSync(log, "utf8").trim().split("\n");
    expect(launches.map((line) => line.replace(/ \d+ x \d+$/, ""))).toEqual(
      library.manifest.kernels.flatMap(({ id }) => Array(3).fill(`${id}__dependent dependent`)),
    );
  });

  test("launches as many heads as there can be in a grid that CUDA takes", async () => {
    vi.stubEnv("NORMROPE_EMULATOR_RUNS_NOTHING", "1");
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    for (const facts of library.manifest.kernels) {
      const kernel = await library.kernel(facts.point);
      const { headDim, dtype, rotaryDim } = facts.point;
      using weight = library.upload(dtype, new Uint16Array(headDim));
      using rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim }));
      for (const [numTokens, numHeads] of [
        [1, 2 ** 30],
        [2 ** 30, 1],
        [2 ** 20, 2 ** 10],
      ] as const) {
        // Nothing is read or written, so there need be no memory.
        const length = 2 ** 30 * headDim;
        using buffer = library.borrow(dtype, { address: 2n ** 46n, length });
        using positions = library.borrow("int32", { address: 2n ** 45n, length: numTokens });
        const q = { in: { buffer, tokenStride: numHeads * headDim }, numHeads, weight };
        kernel.run({ q, numTokens, positions, ropeTable: rope, eps: 1e-6 });
      }
    }
  });
});
