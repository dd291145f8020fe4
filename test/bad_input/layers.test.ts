/** Calls of kernels with other inputs than the op's defaults: bad ones are refused by name and write nothing, and NaNs stay. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ManifestKernel } from "../../dsl/manifest.js";
import { build } from "../../generator/build/build.js";
import { compile, emit } from "../../generator/pipeline.js";
import { decode } from "../../runtime/dtype.js";
import { loadLibrary } from "../../runtime/library.js";
import type { DeviceBuffer } from "../../runtime/memory.js";
import { open } from "../../runtime/open.js";
import type { Library } from "../../runtime/open_library.js";
import { ropeTable } from "../../runtime/rope_table.js";
import type { RunOptions } from "../../runtime/run_options.js";
import { kernelOf } from "../any_call.js";
import { cpu, JOBS } from "../building.js";
import { argsOf } from "../c_args.js";
import { CACHE_ROOT } from "../fixture.js";
import { spaceOf } from "../helpers.js";

const FOLDER = join(CACHE_ROOT, "..", "bad_input_layers");
const NEOX = 'rope: ["neox"], dtype: ["bf16"]';
const PAIRS = 'rope: ["interleaved"], dtype: ["bf16"]';
const ENTRIES = `[
  { headDim: [64], ${PAIRS}, angles: ["cos_sin"], value: ["copy"] },
  { headDim: [64], rotaryDim: [32], ${NEOX}, angles: ["cos_sin_f32"], positionAxes: [3] },
  { headDim: [128], rotaryDim: [64], ${NEOX}, weight: ["one_plus"], positionAxes: [2] },
  { headDim: [128], ${PAIRS}, weight: ["one_plus"], weightDtype: ["f32"] },
  { headDim: [64], ${PAIRS}, norm: ["none"] },
  { headDim: [64], rotaryDim: [0], dtype: ["bf16"], weight: ["none"] },
  {
    headDim: [64], rotaryDim: [0], dtype: ["bf16"], norm: ["layer"], bias: ["add"], value: ["norm"],
    normRounding: ["after_weight"],
  },
]`;

let library: Library;
let built: string;
let data: DeviceBuffer;
beforeAll(async () => {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, "normrope.config.ts"), spaceOf(ENTRIES));
  const files = emit(compile(join(FOLDER, "normrope.config.ts")));
  const request = { files, compiler: cpu(), buildFolder: FOLDER, cacheRoot: CACHE_ROOT, jobs: JOBS };
  built = (await build(request)).library;
  library = await open({ target: "cpu", path: built });
  data = library.upload("bf16", new Uint16Array(4096).fill(0x3f80));
});
afterAll(() => library?.close());

const ends = (tags: string) => (entry: ManifestKernel) => entry.id.endsWith(`bf16_${tags}`);
const buffer = {
  float32: (length: number) => library.upload("float32", new Float32Array(length).fill(1)),
  bf16: (length: number) => library.upload("bf16", new Uint16Array(length).fill(0x3f80)),
  uint8: (...axes: readonly number[]) => library.upload("uint8", Uint8Array.from(axes)),
  int32: (...positions: readonly number[]) => library.upload("int32", Int32Array.from(positions)),
  rope: (rotaryDim: number) => library.uploadRope(ropeTable({ base: 1e4, rotaryDim })),
};

/** Two tokens of one q head, in place. */
const q = (headDim: number, more: object = {}) => ({
  in: { buffer: data, tokenStride: headDim },
  ...{ numHeads: 1, weight: buffer.bf16(headDim), ...more },
});
const axesOf = (pairs: number, axes: number) => Array.from({ length: pairs }, (_, i) => i % axes);

const GIVEN = "d64_r64_interleaved_cs16_vcopy";
const THREE = "d64_r32_neox_cs32_p3";
const TWO = "d128_r64_neox_w1p_p2";

type Bad = readonly [kernel: string, field: string, wanted: RegExp, call: () => Partial<RunOptions>];

const CASES: readonly Bad[] = [
  [GIVEN, "cosSin", /a buffer of this library/, () => ({})],
  [GIVEN, "cosSin", /bf16/, () => ({ cosSin: buffer.float32(128) })],
  [GIVEN, "cosSin", /at least 128 long/, () => ({ cosSin: buffer.bf16(127) })],
  [
    GIVEN,
    "cosSin.rowStride",
    /a multiple of this kernel's vector, 2 elements/,
    () => ({ cosSin: { buffer: buffer.bf16(200), rowStride: 65 } }),
  ],
  [
    GIVEN,
    "cosSin.rowStride",
    /not negative where lengths are given/,
    () => ({ cosSin: { buffer: buffer.bf16(200), rowStride: -64 }, positions: buffer.int32(0, 1) }),
  ],
  [GIVEN, "cosSin", /a multiple of 4 bytes/, () => ({ cosSin: { buffer: buffer.bf16(200), offset: 1 } })],
  [
    GIVEN,
    "positions",
    /^positions is 2 for token 1.*from 0 to 1: it is a row of cos_sin/,
    () => ({ cosSin: buffer.bf16(128), positions: buffer.int32(0, 2) }),
  ],
  [
    GIVEN,
    "positions",
    /^positions is -1 for token 0/,
    () => ({ cosSin: buffer.bf16(128), positions: buffer.int32(-1, 0) }),
  ],
  [
    GIVEN,
    "ropeTable",
    /left out|does not take/,
    () => ({ cosSin: buffer.bf16(128), ropeTable: buffer.rope(64) }),
  ],
  [
    GIVEN,
    "pairAxes",
    /left out/,
    () => ({ cosSin: buffer.bf16(128), pairAxes: buffer.uint8(...axesOf(32, 1)) }),
  ],
  [
    GIVEN,
    "positions.axisStride",
    /a token of this kernel has one position/,
    () => ({ cosSin: buffer.bf16(128), positions: { buffer: buffer.int32(0, 1), axisStride: 2 } }),
  ],
  [
    GIVEN,
    "v.in",
    /elsewhere: this kernel only copies v/,
    () => ({
      cosSin: buffer.bf16(128),
      v: { in: { buffer: data, offset: 512, tokenStride: 64 }, numHeads: 1 },
    }),
  ],
  [GIVEN, "q.bias", /left out/, () => ({ cosSin: buffer.bf16(128), q: q(64, { bias: buffer.bf16(64) }) })],
  [
    THREE,
    "positions",
    /a buffer of this library/,
    () => ({ cosSin: buffer.float32(64), pairAxes: buffer.uint8(...axesOf(16, 3)) }),
  ],
  [
    THREE,
    "positions",
    /at least 6 long/,
    () => ({
      cosSin: buffer.float32(64),
      pairAxes: buffer.uint8(...axesOf(16, 3)),
      positions: buffer.int32(0, 1),
    }),
  ],
  [
    THREE,
    "pairAxes",
    /a buffer of this library/,
    () => ({ cosSin: buffer.float32(64), positions: buffer.int32(0, 1, 0, 1, 0, 1) }),
  ],
  [
    THREE,
    "pairAxes",
    /16 long/,
    () => ({
      cosSin: buffer.float32(64),
      pairAxes: buffer.uint8(...axesOf(17, 3)),
      positions: buffer.int32(0, 1, 0, 1, 0, 1),
    }),
  ],
  [
    THREE,
    "pairAxes",
    /^pairAxes is 3 for pair 3.*an axis from 0 to 2/,
    () => ({
      cosSin: buffer.float32(64),
      pairAxes: buffer.uint8(...axesOf(16, 4)),
      positions: buffer.int32(0, 1, 0, 1, 0, 1),
    }),
  ],
  [
    THREE,
    "positions",
    /^positions is 9 for token 1/,
    () => ({
      cosSin: buffer.float32(64),
      pairAxes: buffer.uint8(...axesOf(16, 3)),
      positions: buffer.int32(0, 1, 0, 1, 0, 9),
    }),
  ],
  [
    THREE,
    "cosSin",
    /float32/,
    () => ({
      cosSin: buffer.bf16(64),
      pairAxes: buffer.uint8(...axesOf(16, 3)),
      positions: buffer.int32(0, 1, 0, 1, 0, 1),
    }),
  ],
  [
    TWO,
    "ropeTable",
    /^ropeTable is undefined/,
    () => ({ q: q(128), pairAxes: buffer.uint8(...axesOf(32, 2)), positions: buffer.int32(0, 1, 0, 1) }),
  ],
  [
    "d128_r128_interleaved_w1p_w32",
    "q.weight",
    /float32/,
    () => ({ q: q(128), ropeTable: buffer.rope(128), positions: buffer.int32(0, 1) }),
  ],
  [
    "d64_r64_interleaved_nonorm",
    "q.weight",
    /left out/,
    () => ({ ropeTable: buffer.rope(64), positions: buffer.int32(0, 1) }),
  ],
  [
    "d64_r0_noweight",
    "positions",
    /left out/,
    () => ({ q: q(64, { weight: undefined }), positions: buffer.int32(0, 1), eps: 1e-6 }),
  ],
  ["d64_r0_layernorm_bias_nlate_vnorm", "q.bias", /a buffer of this library/, () => ({ eps: 1e-5 })],
];

test.each(CASES)("%s: %s is refused, wanted %s", async (tags, field, wanted, changed) => {
  const entry = library.manifest.kernels.find(ends(tags));
  if (entry === undefined) throw new Error(`the library lacks ${tags}`);
  const kernel = await kernelOf(library, entry);
  const before = data.read(new Uint16Array(data.length) as never);
  const headDim = entry.point.headDim;
  const takesEps = entry.inputs.includes("eps") ? { eps: 1e-6 } : {};
  const call = { q: q(headDim), numTokens: 2, ...takesEps, ...changed() };
  let message = "";
  try {
    kernel.run(call);
  } catch (error) {
    message = error instanceof Error ? error.message : String(error);
  }
  expect(message).toMatch(RegExp(`^${field.replace(".", "\\.")}`));
  expect(message).toMatch(wanted);
  expect(data.read(new Uint16Array(data.length) as never)).toEqual(before);
});

test("in C, rows of cos_sin whose number is not known have strides that fit the kernel's loads", () => {
  const c = loadLibrary(built).functions;
  const kernel = c.find(library.manifest.kernels.find(ends(GIVEN))?.id ?? "");
  const [cosSin, positions, weight] = [buffer.bf16(256), buffer.int32(0, 0), buffer.bf16(64)];
  const heads = { "q.in": data.address, "q.out": data.address, "q.num_heads": 1 };
  const given = {
    ...{ ...heads, "q.in_token_stride": 64, "q.out_token_stride": 64, "q.weight": weight.address },
    ...{ num_tokens: 2, positions: positions.address, position_bits: 32, eps: 1e-6 },
    cos_sin: cosSin.address,
  };
  const run = (stride: number, length = 0) =>
    c.run(kernel, argsOf({ ...given, cos_sin_row_stride: stride, cos_sin_length: length }), 0n);
  expect([run(64), run(-66), run(65, 64)]).toEqual([0, 0, 0]);
  expect(run(65)).toBe(-1);
  expect(c.lastError()).toBe(
    "cos_sin_row_stride is 65: must be a multiple of this kernel's vector, 2 elements",
  );
});

test("a NaN of float32 stays one, whatever its bits", async () => {
  const entry = library.manifest.kernels.find(ends("d128_r128_interleaved_w1p_w32"));
  if (entry === undefined) throw new Error("the library lacks the kernel");
  const nans = [0x7fffffff, 0xffffffff, 0x7f800001, 0xff800001, 0x7fc00000];
  const bits = new Uint32Array(128).fill(0x3f800000);
  bits.set(nans);
  const weight = library.upload("float32", new Float32Array(bits.buffer));
  const out = library.upload("bf16", new Uint16Array(128).fill(0x3f80));
  (await kernelOf(library, entry)).run({
    q: { in: { buffer: out, tokenStride: 128 }, numHeads: 1, weight },
    ...{ numTokens: 1, eps: 1e-6, positions: buffer.int32(0), ropeTable: buffer.rope(128) },
  });
  const result = Array.from(out.read(new Uint16Array(128)), (element) => decode("bf16", element));
  expect(result.slice(0, nans.length)).toEqual(nans.map(() => Number.NaN));
  expect(result[nans.length + 1]).toBe(2); // of the first pair without one
});
