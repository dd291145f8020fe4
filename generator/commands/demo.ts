/**
 * `normrope demo`: the main job, end to end, on the attention of Qwen3-30B-A3B.
 *
 * Reads the config, emits, builds (CUDA where nvcc is, the CPU always), runs a prefill and a decode batch through the
 * runtime, and checks every element of q and k against the oracle and every bit of v against the input.
 */
import type { Argv } from "yargs";
import { type Batch, rowsOf, runBatch } from "../../runtime/batch.js";
import { type Library, open, packedHeads, type RopeTable, ropeTable } from "../../runtime/index.js";
import { gpuCount } from "../../runtime/library.js";
import { findKernel, type ManifestKernel, type Target } from "../../runtime/manifest.js";
import type { Kernel } from "../../runtime/op.js";
import { randomBits, randomNumbers } from "../../runtime/random.js";
import { quoted, userError } from "../diagnostics.js";
import { compilerFor, findNvcc } from "../toolchain.js";
import { type Io, printTable } from "./io.js";
import { counted } from "./options.js";
import { buildProject, configOption, emitProject, projectFolders } from "./project.js";

/** Qwen/Qwen3-30B-A3B, with YaRN as its model card gives it for 131072 tokens. */
const MODEL = {
  name: "Qwen3-30B-A3B",
  point: { headDim: 128, rotaryDim: 128, rope: "neox", dtype: "bf16" },
  numQHeads: 32,
  numKHeads: 4,
  numVHeads: 4,
  eps: 1e-6,
  base: 1_000_000,
  scaling: { type: "yarn", factor: 4, originalMaxPosition: 32_768 },
} as const;

const PREFILL_TOKENS = 2048;
const DECODE_TOKENS = 64;
const DECODE_POSITION = 131_072;
const TIMED_RUNS = 21;

export function registerDemo(cli: Argv, io: Io, fail: () => void): Argv {
  return cli.command(
    "demo",
    "Emit, build, run and check the kernel of Qwen3-30B-A3B, end to end",
    configOption,
    async ({ config }) => {
      const { target, why } = await buildAll(config, io);
      using library = await open({ target, path: projectFolders(config).build });
      const index = findKernel(library.manifest.kernels, MODEL.point);
      const facts = library.manifest.kernels[index];
      if (facts === undefined) {
        throw userError(
          "nothing-built",
          `${quoted(config)} asks for no kernel of ${MODEL.name}`,
          "run `normrope add headDim 128`",
        );
      }
      const device = library.devices[0]?.name ?? "no device";
      io.print(`Running on ${device} (target ${target}): ${why}`);
      io.note(
        "Checking every element of q and k against the float64 oracle, and every bit of v against the input",
      );
      const kernel = await library.kernel(MODEL.point);
      const rope = ropeTable({ base: MODEL.base, rotaryDim: MODEL.point.rotaryDim, scaling: MODEL.scaling });
      const rows = [
        batchOf(`prefill`, PREFILL_TOKENS, 0, rope),
        batchOf(`decode`, DECODE_TOKENS, DECODE_POSITION - DECODE_TOKENS / 2, rope),
      ].map((batch) => {
        const { accuracy, touched } = runBatch(library, kernel, facts, batch, 1);
        const passes = accuracy.maxError <= 1 && touched === undefined;
        if (!passes) fail();
        const milliseconds = medianTime(library, kernel, facts, batch);
        return [
          kernel.id,
          device,
          `${batch.numTokens} (${batch.name})`,
          milliseconds < 1 ? `${(milliseconds * 1000).toFixed(1)} us` : `${milliseconds.toFixed(2)} ms`,
          (bytesMoved(batch) / milliseconds / 1e6).toFixed(0),
          accuracy.maxError.toFixed(3),
          touched === undefined ? "unchanged" : "TOUCHED",
          passes ? "passes" : "FAILS",
        ];
      });
      printTable(io, [["kernel", "device", "tokens", "time", "GB/s", "maxError", "v", ""], ...rows]);
      io.print("time: median of 21 launches; maxError: in multiples of what rounding may do, at most 1");
    },
  );
}

/** Builds what this machine can build, and says which target is to run. */
async function buildAll(config: string, io: Io): Promise<{ target: Target; why: string }> {
  const { compilation, files } = await emitProject(config, io);
  io.note(`${quoted(config)}: ${counted(compilation.plans.length, "kernel")}, emitted`);
  const nvcc = await findNvcc();
  if (nvcc !== undefined) await buildProject(config, files, await compilerFor("cuda", undefined), io);
  await buildProject(config, files, await compilerFor("cpu", undefined), io);
  io.note(
    `built: ${nvcc === undefined ? "the CPU library; there is no nvcc for the CUDA one" : "the CUDA and the CPU library"}`,
  );
  if (gpuCount() === 0) return { target: "cpu", why: "no GPU was found" };
  if (nvcc === undefined)
    return { target: "cpu", why: "there is a GPU, and no nvcc to build its library with" };
  return { target: "cuda", why: "the driver shows a GPU" };
}

function batchOf(name: string, numTokens: number, firstPosition: number, rope: RopeTable): Batch {
  const { numQHeads, numKHeads, numVHeads, eps } = MODEL;
  const positions = Int32Array.from({ length: numTokens }, (_, i) => firstPosition + i);
  const counts = { numTokens, numQHeads, numKHeads };
  const source = rowsOf(MODEL.point.headDim, counts, { numVHeads });
  return { name, ...counts, source, positions, rope, eps };
}

function bytesMoved({ numTokens, numQHeads, numKHeads }: Batch): number {
  return 2 * 2 * numTokens * (numQHeads + numKHeads) * MODEL.point.headDim;
}

/** Milliseconds of one launch on a packed qkv, by events. */
function medianTime(library: Library, kernel: Kernel, { point }: ManifestKernel, batch: Batch): number {
  const { numTokens, numQHeads, numKHeads, rope: table, eps } = batch;
  const { numVHeads } = MODEL;
  const elements = numTokens * (numQHeads + numKHeads + numVHeads) * point.headDim;
  const random = randomNumbers(2);
  using qkv = library.upload(point.dtype, randomBits(point.dtype, elements, random));
  using qWeight = library.upload(point.dtype, randomBits(point.dtype, point.headDim, random));
  using kWeight = library.upload(point.dtype, randomBits(point.dtype, point.headDim, random));
  using positions = library.upload("int32", Int32Array.from(batch.positions, Number));
  using rope = library.uploadRope(table);
  using start = library.createEvent();
  using end = library.createEvent();
  const heads = packedHeads({
    qkv,
    headDim: point.headDim,
    numQHeads,
    numKHeads,
    numVHeads,
    qWeight,
    kWeight,
  });
  const times = Array.from({ length: TIMED_RUNS }, () => {
    start.record();
    kernel.run({ ...heads, numTokens, positions, rope, eps });
    end.record();
    return end.millisecondsSince(start);
  });
  return times.sort((a, b) => a - b)[(TIMED_RUNS - 1) / 2] ?? Number.NaN;
}
