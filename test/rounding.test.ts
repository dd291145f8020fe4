/** Results that lie halfway between two numbers of the dtype, on the CPU and on the emulator: they go to the even one. */
import { describe, expect, test } from "vitest";
import { decode, encode } from "../runtime/dtype.js";
import { open } from "../runtime/open.js";
import { tableOf } from "../runtime/rope_table.js";
import { buildEmulatedFixture } from "./emulated.js";
import { buildFixture } from "./fixture.js";

const FRACTION_BITS = { bf16: 7, f16: 10 } as const;

describe.each(["cpu", "cuda"] as const)("target %s", (target) => {
  test("ties go to even, in every kernel", async () => {
    const built = target === "cpu" ? buildFixture("geometries", "cpu") : buildEmulatedFixture("geometries");
    using library = await open({ target, path: (await built).library });
    for (const { point } of library.manifest.kernels) {
      const { headDim, rotaryDim = headDim, dtype } = point;
      const kernel = await library.kernel(point);
      // Ones of either sign have a mean square of 1: what is left is the attention factor, exact in float32.
      const ones = Uint16Array.from({ length: headDim }, (_, i) => encode(dtype, i % 3 === 0 ? -1 : 1));
      using weight = library.upload(dtype, new Uint16Array(headDim).fill(encode(dtype, 1)));
      using positions = library.upload("int32", Int32Array.of(0));
      for (const odd of [1, 3, 5, 7]) {
        const factor = 1 + odd * 2 ** -(FRACTION_BITS[dtype] + 1);
        const above = odd % 4 === 3 ? 1 : -1;
        const even = factor + above * 2 ** -(FRACTION_BITS[dtype] + 1);
        using buffer = library.upload(dtype, ones);
        using rope = library.uploadRope(tableOf(new Float64Array(rotaryDim / 2).fill(1), factor));
        kernel.run({
          q: { in: { buffer, tokenStride: headDim }, numHeads: 1, weight },
          ...{ numTokens: 1, positions, ropeTable: rope, eps: 0 },
        });
        const after = Array.from(buffer.read(new Uint16Array(headDim)), (bits) => decode(dtype, bits));
        const expected = Array.from(ones, (bits, i) => decode(dtype, bits) * (i < rotaryDim ? even : 1));
        expect(after, `${kernel.id} times ${factor}`).toEqual(expected);
      }
    }
  });
});
