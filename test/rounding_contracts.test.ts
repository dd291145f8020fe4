/**
 * Kernels that round where code of models does: bit for bit their reference in float32, on heads of small integers, whose sums
 * are exact in any order. On the CPU, on the emulator, and on a GPU where there is one.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ManifestKernel, opOf } from "../dsl/manifest.js";
import { runBatch } from "../generator/verify/batch.js";
import { exactBatches } from "../generator/verify/exact_batches.js";
import { gpuCount } from "../runtime/library.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { kernelOf } from "./any_call.js";
import { buildEmulatedFixture } from "./emulated.js";
import { buildFixture, buildFolder, nvcc } from "./fixture.js";

const hasGpu = gpuCount() > 0 && nvcc !== undefined;

const TARGETS = [
  { name: "the CPU", isHere: true, target: "cpu", build: () => buildFixture("layers", "cpu") },
  { name: "the emulator", isHere: true, target: "cuda", build: () => buildEmulatedFixture("layers") },
  { name: "the GPU", isHere: hasGpu, target: "cuda", build: () => buildFixture("layers", "cuda") },
] as const;

/** The elements that are not the reference's, in each batch of integers. */
async function differing(library: Library, entry: ManifestKernel): Promise<number[]> {
  const batches = exactBatches(entry, opOf(library.manifest.ops, entry));
  const kernel = await kernelOf(library, entry);
  return batches.map((batch) => {
    const { accuracy } = runBatch(library, kernel, entry, batch, 7);
    expect(accuracy.elements).toBeGreaterThan(1000);
    return accuracy.differing;
  });
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
      const found = await Promise.all(
        library.manifest.kernels.map(async (entry) => ({
          id: entry.id,
          counts: await differing(library, entry),
        })),
      );
      const judged = found.filter(({ counts }) => counts.length > 0);
      expect(judged.length).toBeGreaterThan(8);
      expect(judged.filter(({ counts }) => counts.some((count) => count > 0))).toEqual([]);
    });

    test("one with a stage that rounds once has no such batch, whatever its other stages do", () => {
      const batchesOf = (entry: ManifestKernel) => exactBatches(entry, opOf(library.manifest.ops, entry));
      const mixed = library.manifest.kernels
        .filter(({ point: { ropeRounding = "once" } }) => ropeRounding !== "once")
        .filter((entry) => entry.point.normRounding !== undefined && batchesOf(entry).length > 0)
        .map((entry) => ({ ...entry, point: { ...entry.point, normRounding: "once" as const } }));
      expect(mixed.length).toBeGreaterThan(4);
      expect(mixed.flatMap(batchesOf)).toEqual([]);
    });

    test("one that rounds elsewhere has others", async () => {
      const late = library.manifest.kernels.find(
        ({ point: { weight, normRounding } }) => weight === "plain" && normRounding === "after_weight",
      );
      if (late === undefined) throw new Error("the config has such a kernel");
      const claimed = { ...late, point: { ...late.point, normRounding: "before_weight" as const } };
      const [batch] = exactBatches(claimed, opOf(library.manifest.ops, late));
      if (batch === undefined) throw new Error("a kernel that rounds has a batch");
      const kernel = await kernelOf(library, late);
      const { accuracy } = runBatch(library, kernel, claimed, batch, 7);
      expect(accuracy.differing).toBeGreaterThan(1000);
    });
  });
});
