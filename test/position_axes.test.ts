/**
 * Positions of several axes: with equal rows the bits of plain RoPE, with unequal ones the pairs of each axis as its own row says.
 * On the CPU and on the emulator. And v that is k's memory, as Gemma 4's global layers have it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build } from "../generator/build/build.js";
import { compile, emit } from "../generator/pipeline.js";
import { randomBits, randomNumbers, randomWeights } from "../generator/verify/random.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { pairAxes } from "../runtime/pair_axes.js";
import { ropeTable } from "../runtime/rope_table.js";
import type { RunOptions } from "../runtime/run_options.js";
import { cpu, JOBS } from "./building.js";
import { buildEmulated } from "./emulated.js";
import { CACHE_ROOT } from "./fixture.js";
import { spaceOf } from "./helpers.js";

const [HEAD_DIM, ROTARY_DIM, TOKENS] = [64, 36, 5];
const ROPES = ["neox", "interleaved"] as const;
/** Borders at odd pairs, so that no vector of any kernel has one axis. */
const SECTIONS = [5, 4, 9];

const FOLDER = join(CACHE_ROOT, "..", "position_axes");
const ENTRIES = `[
  {
    headDim: [${HEAD_DIM}], rotaryDim: [${ROTARY_DIM}], rope: ["neox", "interleaved"], dtype: ["bf16"],
    positionAxes: [1, 3], angles: ["table", "cos_sin"],
  },
  { headDim: [${HEAD_DIM}], rope: ["neox"], dtype: ["bf16"], value: ["norm"] },
]`;
mkdirSync(FOLDER, { recursive: true });
writeFileSync(join(FOLDER, "normrope.config.ts"), spaceOf(ENTRIES));
const files = emit(compile(join(FOLDER, "normrope.config.ts")));

const TARGETS = [
  { target: "cpu", name: "the CPU" },
  { target: "cuda", name: "the emulator" },
] as const;

describe.each(TARGETS)("on $name", ({ target }) => {
  let library: Library;
  beforeAll(async () => {
    const folder = join(FOLDER, target);
    const request = { files, compiler: cpu(), buildFolder: folder, cacheRoot: CACHE_ROOT, jobs: JOBS };
    const { library: path } = target === "cpu" ? await build(request) : await buildEmulated(files, folder);
    library = await open({ target, path });
  });
  afterAll(() => library?.close());

  const head = randomBits("bf16", TOKENS * HEAD_DIM, randomNumbers(3));
  const weight = randomWeights("bf16", HEAD_DIM, randomNumbers(4));
  const rows = randomWeights("bf16", 16 * ROTARY_DIM, randomNumbers(5), true);

  /** The heads of each token behind a kernel with these positions: `[axes, tokens]`, the rows `TOKENS + 2` apart. */
  async function rotated(
    rope: "neox" | "interleaved",
    angles: "table" | "cos_sin",
    positions: readonly (readonly number[])[],
  ): Promise<Uint16Array> {
    const positionAxes = positions.length;
    const point = {
      headDim: HEAD_DIM,
      rotaryDim: ROTARY_DIM,
      rope,
      dtype: "bf16",
      angles,
      positionAxes,
    } as const;
    const kernel = await library.kernel(point);
    using buffer = library.upload("bf16", head);
    using norms = library.upload("bf16", weight);
    const axisStride = TOKENS + 2;
    const all = new Int32Array(positionAxes * axisStride).fill(-1);
    positions.forEach((row, axis) => {
      all.set(row, axis * axisStride);
    });
    using memory = library.upload("int32", all);
    using axes = library.upload("uint8", pairAxes({ sections: SECTIONS }));
    using table = library.uploadRope(ropeTable({ base: 100, rotaryDim: ROTARY_DIM }));
    using cosSin = library.upload("bf16", rows);
    const several = { positions: { buffer: memory, axisStride }, pairAxes: axes };
    const call: RunOptions = {
      q: { in: { buffer, tokenStride: HEAD_DIM }, numHeads: 1, weight: norms },
      ...{ numTokens: TOKENS, eps: 1e-6 },
      ...(positionAxes > 1 ? several : { positions: memory }),
      ...(angles === "table" ? { ropeTable: table } : { cosSin }),
    };
    kernel.run(call);
    library.synchronize();
    return buffer.read(new Uint16Array(head.length));
  }

  const CASES = ROPES.flatMap((rope) => (["table", "cos_sin"] as const).map((angles) => ({ rope, angles })));

  it.each(CASES)("$rope, $angles: equal rows give plain RoPE's bits", async ({ rope, angles }) => {
    const row = [0, 7, 3, 15, 1];
    const plain = await rotated(rope, angles, [row]);
    expect(await rotated(rope, angles, [row, row, row])).toEqual(plain);
    expect(plain).not.toEqual(head);
  });

  it.each(CASES)("$rope, $angles: each pair follows the row of its axis", async ({ rope, angles }) => {
    const positions = [
      [0, 7, 3, 15, 1],
      [2, 2, 9, 4, 14],
      [5, 0, 0, 8, 6],
    ];
    const mixed = await rotated(rope, angles, positions);
    const alone = await Promise.all(positions.map((row) => rotated(rope, angles, [row])));
    const axisOf = pairAxes({ sections: SECTIONS });
    for (let token = 0; token < TOKENS; token++) {
      for (let element = 0; element < HEAD_DIM; element++) {
        const pair = rope === "neox" ? element % (ROTARY_DIM / 2) : Math.floor(element / 2);
        const axis = element < ROTARY_DIM ? (axisOf[pair] ?? 0) : 0;
        const at = token * HEAD_DIM + element;
        expect(mixed[at], `token ${token}, element ${element}`).toBe(alone[axis]?.[at]);
      }
    }
  });

  it("v may be k's memory before its norm, and k is then refused in place", async () => {
    const kernel = await library.kernel({ headDim: HEAD_DIM, rope: "neox", dtype: "bf16", value: "norm" });
    using shared = library.upload("bf16", head);
    using outputs = library.allocate("bf16", 2 * head.length);
    using norms = library.upload("bf16", weight);
    using positions = library.upload("int32", new Int32Array(TOKENS));
    using table = library.uploadRope(ropeTable({ base: 100, rotaryDim: HEAD_DIM }));
    const input = { buffer: shared, tokenStride: HEAD_DIM };
    const v = { in: input, out: { buffer: outputs, tokenStride: HEAD_DIM }, numHeads: 1 };
    const k = { in: input, numHeads: 1, weight: norms };
    const call = { v, numTokens: TOKENS, positions, ropeTable: table, eps: 1e-6 };
    expect(() => kernel.run({ ...call, k })).toThrow(/^k\.in.* over the input of v/);
    expect(shared.read(new Uint16Array(head.length))).toEqual(head);
    const elsewhere = { buffer: outputs, offset: head.length, tokenStride: HEAD_DIM };
    kernel.run({ ...call, k: { ...k, out: elsewhere } });
    library.synchronize();
    const both = outputs.read(new Uint16Array(2 * head.length));
    expect(both.slice(0, head.length)).not.toEqual(both.slice(head.length));
  });
});
