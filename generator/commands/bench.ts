/** `normrope bench`: times the kernels of a built library on this machine, beside the floor and an empty launch. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import type { Argv } from "yargs";
import { axisOutside } from "../../dsl/legality.js";
import { type Values, withFirst } from "../../dsl/points.js";
import type { ConfigPoint, Library } from "../../runtime/index.js";
import {
  type BenchCase,
  type BenchKernel,
  casesOf,
  DEFAULT_TOKENS,
  modelShape,
  modelsSchema,
  parseHeads,
  parseTokens,
  usualHeads,
} from "../bench/cases.js";
import { measure, prepareBench } from "../bench/measure.js";
import {
  type BenchRecord,
  type BenchRow,
  isSteady,
  kernelOf,
  kernelsOf,
  methodOf,
  recordText,
  toolkitOf,
} from "../bench/record.js";
import { summarize } from "../bench/summary.js";
import { findGpu, sourceCommit } from "../build/toolchain.js";
import { internalError, quoted, userError } from "../diagnostics.js";
import { PACKAGE_ROOT } from "../package_root.js";
import { type Io, printJson, printTable } from "./io.js";
import { percent, textOption, wholeNumber } from "./options.js";
import { requirePlace, writeWhole } from "./output.js";
import {
  configOption,
  jsonOption,
  openProject,
  projectFolders,
  requireDevice,
  targetOption,
} from "./project.js";

const REPLAYS_MIN = 7;
const REPLAYS_MAX = 1000;

/** The first architecture with programmatic dependent launch. */
const PDL_ARCH_MIN = 90;

interface BenchOptions {
  readonly model?: string | undefined;
  readonly tp?: string | undefined;
  readonly heads?: string | undefined;
  readonly tokens?: string | undefined;
  readonly memory?: "warm" | "cold" | undefined;
  readonly pdl: boolean;
}

export function registerBench(cli: Argv, io: Io): Argv {
  return cli.command(
    "bench",
    "Time the kernels of a built library against what memory allows, and record it",
    (command) =>
      targetOption(jsonOption(configOption(command)))
        .option("model", textOption("Take heads and geometry of a model, such as qwen3-30b-a3b"))
        .option("tp", textOption("Devices that the model's heads are split over; default: 1"))
        .option("heads", textOption("q/k/v heads of every kernel, such as 32/8/8,8/1/1"))
        .option(
          "tokens",
          textOption(
            `Batch sizes; default: ${DEFAULT_TOKENS.cuda.join()}, on the CPU ${DEFAULT_TOKENS.cpu.join()}`,
          ),
        )
        .option("memory", {
          choices: ["warm", "cold"] as const,
          requiresArg: true,
          describe:
            "One buffer (warm), or more than the L2 holds (cold); default: warm, and both from 1024 tokens on",
        })
        .option("pdl", {
          type: "boolean",
          default: false,
          describe: "Time kernel and floor with programmatic dependent launch, too",
        })
        .option("replays", {
          ...textOption("Times that each case is measured; the median is recorded"),
          default: `${REPLAYS_MIN}`,
        })
        .option("out", textOption("The record; default: bench.json beside the library"))
        .option(
          "commit",
          textOption("The commit that the record names; default: what git says of the config's folder"),
        )
        .conflicts("heads", "model")
        .example("$0 bench --model qwen3-30b-a3b --tp 4", "One of four devices that serve this model"),
    async ({ config, target, json, out, commit, replays: replayCount, ...options }) => {
      const replays = wholeNumber("replays", replayCount, REPLAYS_MIN, REPLAYS_MAX);
      const { build } = projectFolders(config);
      using library = await openProject(config, target);
      const device = requireDevice(library, "measure");
      const path = out ?? join(build, library.target, "bench.json");
      requirePlace(path);
      const cases = chooseCases(library, options);
      const rows = await measureAll(library, cases, replays, io);
      const record: BenchRecord = {
        device: library.target === "cpu" ? (cpus()[0]?.model ?? device.name) : device.name,
        driver: (await findGpu())?.driver ?? "none",
        toolkit: toolkitOf(library.manifest),
        commit: commit ?? (await sourceCommit(dirname(config))) ?? "unknown",
        date: new Date().toISOString().slice(0, 10),
        method: methodOf(library.target, replays),
        kernels: kernelsOf(library.manifest, rows),
        rows: [...rows],
      };
      // Print before writing, so that a failing write loses no measurement.
      if (json) printJson(io, record);
      else printRows(rows, io);
      writeWhole(path, recordText(record));
      if (json) return;
      for (const line of summarize(rows, undefined)) io.print(line);
      io.print(`${quoted(path)} holds the record, measured on ${record.device}`);
    },
  );
}

/** @throws UserError `bad-option`, NormropeError `kernel-not-found`. */
function chooseCases(library: Library, options: BenchOptions): readonly BenchCase[] {
  const { model, pdl, memory } = options;
  const tp = options.tp === undefined ? undefined : wholeNumber("tp", options.tp, 1);
  if (pdl) requireDependentLaunch(library);
  if (tp !== undefined && model === undefined) {
    throw userError("bad-option", `--tp ${tp} is for a model`, "add --model, or give the heads with --heads");
  }
  const tokens = options.tokens === undefined ? DEFAULT_TOKENS[library.target] : parseTokens(options.tokens);
  const choice = { tokens, memory, pdl };
  if (model !== undefined) {
    const { point, heads } = modelShape(readModels(), model, tp ?? 1);
    return casesOf(kernelsOfModel(library, point), { ...choice, headsOf: () => [heads] });
  }
  const heads = options.heads === undefined ? undefined : parseHeads(options.heads);
  const headsOf = (point: ConfigPoint) => heads ?? usualHeads(point);
  return casesOf(library.manifest.kernels, { ...choice, headsOf });
}

/** Refuses dependent launch on devices without it: launches would be ordinary, and the record would not say so. */
function requireDependentLaunch(library: Library): void {
  if (library.target === "cpu") {
    throw userError("bad-option", "--pdl is for CUDA, and the target is cpu", "leave it out");
  }
  const { devices, manifest } = library;
  const [device] = devices;
  const numberOf = (arch = "") => Number(arch.replace("sm_", ""));
  const built = manifest.build.archs.map((arch) => numberOf(arch));
  if (built.some((arch) => arch >= PDL_ARCH_MIN && arch <= numberOf(device?.arch))) return;
  const message = `--pdl needs sm_${PDL_ARCH_MIN} or newer, of the GPU (${device?.arch}) and of the library's code`;
  throw userError("bad-option", message, "leave it out, or build with --arch for such a GPU");
}

function readModels() {
  return modelsSchema.parse(JSON.parse(readFileSync(join(PACKAGE_ROOT, "bench/models.json"), "utf8")));
}

/** The library's kernels of a geometry, of each dtype. @throws UserError `bad-option` if there is none. */
function kernelsOfModel(library: Library, wanted: Values): readonly BenchKernel[] {
  const { kernels, ops } = library.manifest;
  const found = kernels.filter(({ point }) => {
    const values: Values = point;
    return Object.entries(wanted).every(([axis, value]) => values[axis] === value);
  });
  if (found.length > 0) return found;
  const isAllowed = ({ axes }: (typeof ops)[number]) =>
    axisOutside(axes, withFirst(axes, wanted)) === undefined;
  const op = ops.find(isAllowed) ?? ops[0];
  if (op === undefined) throw internalError("bench", "the library has no op");
  const support = library.supports({ ...withFirst(op.axes, wanted), op: op.name });
  if (support.isSupported) throw internalError("bench", "no kernel of the model, and one is supported");
  throw userError("bad-option", `--model: ${support.reason}`, support.fix);
}

/** Measures case by case, with a note of how far it is. */
async function measureAll(
  library: Library,
  cases: readonly BenchCase[],
  replays: number,
  io: Io,
): Promise<readonly BenchRow[]> {
  const bench = await prepareBench(library, replays);
  const rows: BenchRow[] = [];
  const start = performance.now();
  for await (const row of measure(bench, cases)) {
    rows.push(row);
    const seconds = (((performance.now() - start) / rows.length) * (cases.length - rows.length)) / 1000;
    const left = rows.length === cases.length ? "" : `, about ${Math.ceil(seconds)} s left`;
    io.note(`[${rows.length}/${cases.length}] ${shapeOf(row)}: ${row.us} us${left}`);
  }
  return rows;
}

function shapeOf(row: BenchRow): string {
  const heads = `${row.q_heads}/${row.k_heads}/${row.v_heads}`;
  const how = `${row.memory}${row.pdl ? ", dependent" : ""}`;
  return `${kernelOf(row)}, ${heads} heads, ${row.tokens} tokens, ${how}`;
}

function printRows(rows: readonly BenchRow[], io: Io): void {
  const [first] = rows;
  if (first === undefined) return;
  printTable(io, [
    [
      ...["kernel", "q/k/v", "tokens", "memory", "pdl", "us", "floor", "empty", "over floor", "GB/s"],
      ...["spread", "waited", ""],
    ],
    ...rows.map((row) => [
      kernelOf(row),
      ...[
        `${row.q_heads}/${row.k_heads}/${row.v_heads}`,
        `${row.tokens}`,
        row.memory,
        row.pdl ? "yes" : "no",
      ],
      ...[row.us.toFixed(2), row.floor_us.toFixed(2), row.empty_us.toFixed(2)],
      ...[row.over_floor.toFixed(2), row.gbps.toFixed(0)],
      ...[percent(row.spread), percent(row.waited), isSteady(row) ? "" : "unsteady"],
    ]),
  ]);
}
