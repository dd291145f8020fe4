/**
 * The bits that kernels give on fixed inputs: what changes them is seen here, and its commit says why.
 * `npx vitest run test/bits.test.ts --update` records those of now.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, it } from "vitest";
import { build } from "../generator/build/build.js";
import { cpuCompiler, cudaCompiler, type TargetCompiler } from "../generator/build/target_compiler.js";
import { findCxx } from "../generator/build/toolchain.js";
import { emit } from "../generator/pipeline.js";
import { VERIFY_POSITIONS } from "../generator/verify/batches.js";
import { randomBits, randomNumbers, randomWeights } from "../generator/verify/random.js";
import { packedHeads } from "../runtime/heads.js";
import { bytesOf } from "../runtime/library.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { ropeTable } from "../runtime/rope_table.js";
import { buildEmulated } from "./emulated.js";
import { CACHE_ROOT, gpu, needed, nvcc } from "./fixture.js";
import { compileText, RECORDED_RELEASE, RECORDED_SPACE, temporaryFolder } from "./helpers.js";

const COUNTS = { numQHeads: 5, numKHeads: 2, numVHeads: 1 };
const NUM_TOKENS = 4 * VERIFY_POSITIONS.length;

/** A line for each kernel of a library, with the hash of what it makes of a packed qkv. */
async function bitsOf(library: Library): Promise<string> {
  const lines: string[] = [];
  for (const { point } of library.manifest.kernels) {
    const { headDim, rotaryDim, dtype } = point;
    const kernel = await library.kernel(point);
    const random = randomNumbers(1);
    const elements = NUM_TOKENS * 8 * headDim;
    const scaling = { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32_768 } as const;
    using qkv = library.upload(dtype, randomBits(dtype, elements, random));
    using qWeight = library.upload(dtype, randomWeights(dtype, headDim, random));
    using kWeight = library.upload(dtype, randomWeights(dtype, headDim, random));
    using positions = library.upload("int32", Int32Array.from([1, 2, 3, 4].flatMap(() => VERIFY_POSITIONS)));
    using rope = library.uploadRope(ropeTable({ base: 1e6, rotaryDim: rotaryDim ?? headDim, scaling }));
    const heads = packedHeads({ qkv, headDim, ...COUNTS, qWeight, kWeight });
    kernel.run({ ...heads, numTokens: NUM_TOKENS, positions, ropeTable: rope, eps: 1e-6 });
    library.synchronize();
    const bytes = bytesOf(qkv.read(new Uint16Array(elements)));
    lines.push(`${kernel.id}  ${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Another release adds a sum up in another order, another processor fuses, and another C library has another sine. */
const cxx = await findCxx();
const isThatCxx = process.arch === "x64" && /^g\+\+ \(Debian 12\.\d/m.test(cxx?.version ?? "");

const buildWith = (compiler: TargetCompiler) =>
  build({
    ...{ compiler, files: emit(compileText(RECORDED_SPACE)), cacheRoot: CACHE_ROOT, jobs: 2 },
    buildFolder: join(temporaryFolder(), "build"),
  });

it.skipIf(!isThatCxx)(
  "of the CPU, without the instructions of any one CPU (needs g++ 12 of Debian, x64)",
  async () => {
    using library = await open({ path: (await buildWith(cpuCompiler(needed(cxx), []))).library });
    await expect(await bitsOf(library)).toMatchFileSnapshot("bits/cpu.txt");
  },
);

it.skipIf(!isThatCxx)("of the emulator (needs g++ 12 of Debian, x64)", async () => {
  const { library: path } = await buildEmulated(emit(compileText(RECORDED_SPACE)), temporaryFolder());
  using library = await open({ path });
  await expect(await bitsOf(library)).toMatchFileSnapshot("bits/emulator.txt");
});

/** The hardware's sines and roots are approximations of its own. */
const isThatGpu = gpu?.arch === "sm_90" && nvcc?.version.includes(RECORDED_RELEASE);
it.skipIf(!isThatGpu)(`of a GPU (needs one of sm_90, and nvcc ${RECORDED_RELEASE})`, async () => {
  const compiler = cudaCompiler(needed(nvcc), needed(cxx), ["sm_90"]);
  using library = await open({ path: (await buildWith(compiler)).library });
  await expect(await bitsOf(library)).toMatchFileSnapshot("bits/gpu.txt");
});
