/**
 * `normrope demo`: the main job, end to end, on the attention of Qwen3-30B-A3B.
 *
 * Reads the config, emits, builds (CUDA where nvcc is, the CPU always), runs a prefill and a decode batch through the
 * runtime, checks every element of q and k against the oracle and every bit of v against the input, and times both
 * batches as `normrope bench` does.
 */
import type { Argv } from "yargs";
import { AXES } from "../../dsl/axes.js";
import type { ManifestKernel, Target } from "../../dsl/manifest.js";
import { completed, isSamePoint } from "../../dsl/points.js";
import { type Library, open, type RopeTable, ropeTable } from "../../runtime/index.js";
import { gpuCount } from "../../runtime/library.js";
import { absenceOf } from "../../runtime/support.js";
import type { BenchCase } from "../bench/cases.js";
import { measure, prepareBench } from "../bench/measure.js";
import { type BenchRow, isSteady } from "../bench/record.js";
import { compilerFor, findNvcc } from "../build/toolchain.js";
import { counted, internalError, quoted, userError } from "../diagnostics.js";
import type { FileSet } from "../ir.js";
import { runBatch } from "../verify/batch.js";
import { type Batch, rowsOf } from "../verify/made_batch.js";
import { type Io, printTable } from "./io.js";
import { percent } from "./options.js";
import { buildProject, configOption, emitProject, projectFolders } from "./project.js";

/** Qwen/Qwen3-30B-A3B, with its model card's YaRN for 131072 tokens. */
const MODEL = {
  name: "Qwen3-30B-A3B",
  point: completed(AXES, { headDim: 128, rope: "neox", dtype: "bf16" }),
  numQHeads: 32,
  numKHeads: 4,
  numVHeads: 4,
  eps: 1e-6,
  base: 1_000_000,
  scaling: { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 32_768 },
} as const;

const PREFILL_TOKENS = 2048;
const DECODE_TOKENS = 64;
const DECODE_POSITION = 131_072;
const REPLAYS = 7;

export function registerDemo(cli: Argv, io: Io, fail: () => void): Argv {
  return cli.command(
    "demo",
    "Emit, build, run and check the kernel of Qwen3-30B-A3B, end to end",
    configOption,
    async ({ config }) => {
      const { target, why } = await buildAll(config, io);
      using library = await open({ target, path: projectFolders(config).build });
      const entry = kernelOfModel(library.manifest.kernels);
      if (entry === undefined)
        throw internalError("demo", `the library lacks what was just built: ${library.path}`);
      const device = library.devices[0]?.name ?? "no device";
      io.print(`Running ${entry.id} on ${device} (target ${target}): ${why}`);
      io.note(
        "Checking every element of q and k against the float64 oracle, and every bit of v against the input",
      );
      const rope = ropeTable({ base: MODEL.base, rotaryDim: MODEL.point.headDim, scaling: MODEL.scaling });
      const batches = [
        batchOf("prefill", PREFILL_TOKENS, 0, rope),
        batchOf("decode", DECODE_TOKENS, DECODE_POSITION - DECODE_TOKENS / 2, rope),
      ];
      const checks: Check[] = [];
      for (const batch of batches) checks.push(await check(library, entry, batch));
      if (!checks.every(({ passes }) => passes)) fail();
      const rows: BenchRow[] = [];
      for await (const row of measure(
        await prepareBench(library, REPLAYS),
        batches.map((batch) => caseOf(entry, batch)),
      ))
        rows.push(row);
      printTable(io, [
        ["tokens", "time", "spread", "over floor", "moves", "in two steps", "maxError", "v", ""],
        ...batches.map((batch, i) => [
          `${batch.numTokens} (${batch.name})`,
          ...timesOf(rows[i]),
          ...(checks[i]?.cells ?? []),
        ]),
      ]);
      const runs = target === "cuda" ? "replays of a CUDA graph of launches" : "rounds of calls";
      io.print(`time: median of ${REPLAYS} ${runs}; spread: how far the quartiles are apart`);
      io.print("over floor: times a kernel that only loads and stores the same bytes, in this run");
      io.print("in two steps: norm and RoPE by themselves read and write q and k twice");
      io.print("maxError: in multiples of what rounding may do, at most 1");
      if (!rows.every(isSteady))
        io.note(
          "Other processes had the CPUs, or the times spread too far to say much: run it on a quieter machine",
        );
    },
  );
}

/** The kernel at the model's point, of any op. */
function kernelOfModel<K extends Pick<ManifestKernel, "point">>(kernels: readonly K[]): K | undefined {
  return kernels.find(({ point }) => isSamePoint(AXES, point, MODEL.point));
}

interface Check {
  readonly passes: boolean;
  readonly cells: readonly string[];
}

async function check(library: Library, entry: ManifestKernel, batch: Batch): Promise<Check> {
  const { accuracy, touched } = runBatch(
    library,
    await library.kernel({ ...MODEL.point, op: entry.op }),
    entry,
    batch,
    1,
  );
  const passes = accuracy.maxError <= 1 && touched === undefined;
  const v = touched === undefined ? "unchanged" : "TOUCHED";
  return { passes, cells: [accuracy.maxError.toFixed(3), v, passes ? "passes" : "FAILS"] };
}

function timesOf(row: BenchRow | undefined): readonly string[] {
  if (row === undefined) return [];
  const { us, spread, over_floor, tokens, q_heads, k_heads, headDim } = row;
  // Two bytes an element, read once and written once.
  const megabytes = (2 * 2 * tokens * (q_heads + k_heads) * headDim) / 1e6;
  return [
    us < 1000 ? `${us.toFixed(1)} us` : `${(us / 1000).toFixed(2)} ms`,
    percent(spread),
    over_floor.toFixed(2),
    `${megabytes.toFixed(1)} MB`,
    `${(2 * megabytes).toFixed(1)} MB`,
  ];
}

/** Builds the targets that this machine can build, and chooses one to run. @throws UserError `nothing-built`, before building. */
async function buildAll(config: string, io: Io): Promise<{ target: Target; why: string }> {
  const { compilation, files } = await emitProject(config, io);
  const { ops, plans } = compilation;
  const [op] = ops;
  if (op !== undefined && kernelOfModel(plans) === undefined) {
    const held = { op, kernels: plans, isOneOfSeveral: ops.length > 1 };
    const { fix } = absenceOf(config, held, MODEL.point, config);
    throw userError("nothing-built", `${quoted(config)} asks for no kernel of ${MODEL.name}`, fix);
  }
  io.note(`${quoted(config)}: ${counted(plans.length, "kernel")}, emitted`);
  const nvcc = await findNvcc();
  if (nvcc === undefined) io.note("there is no nvcc for the CUDA library");
  else await buildOne("cuda", config, files, io);
  await buildOne("cpu", config, files, io);
  if (gpuCount() === 0) return { target: "cpu", why: "no GPU was found" };
  if (nvcc === undefined) return { target: "cpu", why: "there is a GPU, but no nvcc to build its library" };
  return { target: "cuda", why: "the driver shows a GPU" };
}

async function buildOne(target: Target, config: string, files: FileSet, io: Io): Promise<void> {
  const { compiled, cached } = await buildProject(config, files, await compilerFor(target, undefined), io);
  for (const id of cached) io.note(`[from the cache] ${target} ${id}`);
  io.note(
    `${target} library: ${counted(compiled.length, "kernel")} compiled, ${cached.length} from the cache`,
  );
}

function batchOf(name: string, numTokens: number, firstPosition: number, rope: RopeTable): Batch {
  const { numQHeads, numKHeads, numVHeads, eps } = MODEL;
  const positions = Int32Array.from({ length: numTokens }, (_, i) => firstPosition + i);
  const counts = { numTokens, numQHeads, numKHeads, numVHeads };
  const source = rowsOf(MODEL.point.headDim, counts);
  return { name, ...counts, source, positions, rope, eps };
}

function caseOf(kernel: ManifestKernel, { numTokens }: Batch): BenchCase {
  const { numQHeads, numKHeads, numVHeads } = MODEL;
  const heads = { q: numQHeads, k: numKHeads, v: numVHeads };
  return { kernel, heads, tokens: numTokens, memory: "warm", pdl: false };
}
