/** Every CUDA kernel of the default space and of the further geometries, on the emulator, against the oracle. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile, emit } from "../generator/pipeline.js";
import { type Library, open } from "../runtime/open.js";
import { verifyLibrary } from "../runtime/verify.js";
import { waysThatDiffer } from "./batch_bits.js";
import { buildEmulated } from "./emulated.js";
import { buildFolder, CONFIGS, type ConfigName } from "./fixture.js";

describe.each(Object.keys(CONFIGS) as ConfigName[])("the %s config on the emulator", (name) => {
  const compilation = compile(CONFIGS[name]);
  let library: Library;
  beforeAll(async () => {
    const { library: path } = await buildEmulated(emit(compilation), `${buildFolder(name)}-emulated`);
    library = await open({ target: "cuda", path });
  });
  afterAll(() => library?.close());

  test("passes on every batch, with nothing to report", async () => {
    const results = await verifyLibrary(library);
    expect(results.map(({ id }) => id)).toEqual(compilation.plans.map(({ id }) => id));
    expect(results.filter(({ pass }) => !pass)).toEqual([]);
  });

  test("gives a batch the bits of its tokens one by one, and of dependent launches", async () => {
    for (const { point } of compilation.plans) {
      const shape = { tokens: 23, numQHeads: 9, numKHeads: 3 };
      expect(await waysThatDiffer(library, point, shape)).toEqual([]);
    }
  });
});
