/**
 * Kernels that round where code of models does: bit for bit their reference in float32, on heads of small integers, whose sums
 * are exact in any order. On the CPU, on the emulator, and on a GPU where there is one.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ManifestKernel, opOf } from "../dsl/manifest.js";
import { runBatch } from "../generator/verify/batch.js";
import { type Batch, rowsOf } from "../generator/verify/made_batch.js";
import { gpuCount } from "../runtime/library.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import { kernelOf } from "./any_call.js";
import { buildEmulatedFixture } from "./emulated.js";
import { buildFixture, buildFolder, nvcc } from "./fixture.js";

const hasGpu = gpuCount() > 0 && nvcc !== undefined;

const TARGETS = [
  { name: "the CPU", isHere: true, target: "cpu", build: () => buildFixture("layers", "cpu") },
  { name: "the emulator", isHere: true, target: "cuda", build: () => buildEmulatedFixture("layers") },
  { name: "the GPU", isHere: hasGpu, target: "cuda", build: () => buildFixture("layers", "cuda") },
] as const;

/** Whether nothing is left to round at the end: a rotation that rounds once has a result between numbers of 16 bits. */
const roundsAsModel = ({ point }: ManifestKernel) =>
  ((point.rope === undefined ? point.normRounding : point.ropeRounding) ?? "once") !== "once";

/** The elements that are not the reference's. */
async function differing(library: Library, entry: ManifestKernel, exact: Batch["exact"]): Promise<number> {
  const { headDim } = entry.point;
  const counts = { numTokens: 41, numQHeads: 5, numKHeads: 3, numVHeads: 2 };
  const source = rowsOf(headDim, counts);
  const rotaryDim = entry.pairing?.rotaryDim ?? 2;
  const batch: Batch = {
    ...{ name: "integers", ...counts, source, eps: 1e-6, rope: ropeTable({ base: 1e4, rotaryDim }) },
    positions: Int32Array.from({ length: entry.positionAxes * counts.numTokens }, (_, i) => i % 41),
    ...(exact === undefined ? {} : { exact }),
    ...(entry.copiedSides.length > 0 ? { target: source } : {}),
  };
  const { accuracy } = runBatch(library, await kernelOf(library, entry), entry, batch, 7);
  expect(accuracy.elements).toBeGreaterThan(1000);
  return accuracy.differing;
}

describe.each(TARGETS)("on $name", ({ name, isHere, target, build }) => {
  describe.skipIf(!isHere)(`${isHere ? "" : "(needs a GPU and nvcc)"}`, () => {
    let library: Library;
    beforeAll(async () => {
      await build();
      library = await open({
        target,
        path: buildFolder("layers") + (name === "the emulator" ? "-emulated" : ""),
      });
    });
    afterAll(() => library?.close());

    test("every kernel that rounds as a model's code has the bits of its reference", async () => {
      const kernels = library.manifest.kernels.filter(roundsAsModel);
      expect(kernels.length).toBeGreaterThan(10);
      for (const entry of kernels) {
        // Behind a rotation by any angle, the sum of squares would depend on the order.
        const isNormLast = opOf(library.manifest.ops, entry).stages.q?.at(-1)?.name === "norm";
        expect(await differing(library, entry, "quarter turns"), entry.id).toBe(0);
        if (!isNormLast) expect(await differing(library, entry, "integers"), entry.id).toBe(0);
      }
    });

    test("one that rounds once has others", async () => {
      const once = library.manifest.kernels.find(
        ({ point }) =>
          point.rope !== undefined &&
          point.angles === "cos_sin" &&
          point.ropeRounding === "once" &&
          point.normRounding === "once",
      );
      if (once === undefined) throw new Error("the config has such a kernel");
      expect(await differing(library, once, "integers")).toBeGreaterThan(1000);
    });
  });
});
