/** `normrope doctor`: the tools of this machine, and what they allow. */
import { existsSync } from "node:fs";
import type { Argv } from "yargs";
import { cpuFeatures } from "../../runtime/cpu_features.js";
import { type Compiler, findCxx, findGpu, findNvcc } from "../build/toolchain.js";
import { cacheRoot, probeCache } from "../cache/folder.js";
import { UserError } from "../diagnostics.js";
import { type Io, printJson, printTable } from "./io.js";
import { configOption, jsonOption } from "./project.js";

interface Finding {
  readonly what: string;
  /** Null if it was not found. */
  readonly found: string | null;
  readonly allows: string;
}

export function registerDoctor(cli: Argv, io: Io): Argv {
  return cli.command(
    "doctor",
    "Show which compilers and GPU were found, and what that allows",
    (command) => jsonOption(configOption(command)),
    async ({ config, json }) => {
      const findings = await examine(config);
      if (json) return printJson(io, findings);
      printTable(io, [
        ["", "found", "so"],
        ...findings.map(({ what, found, allows }) => [what, found ?? "nothing", allows]),
      ]);
    },
  );
}

async function examine(config: string): Promise<Finding[]> {
  const [nvcc, cxx, gpu] = await Promise.all([look(findNvcc), look(findCxx), findGpu()]);
  const release = /release ([\d.]+)/.exec(nvcc.compiler?.version ?? "")?.[1];
  const features = cpuFeatures();
  return [
    { what: "Node", found: process.version, allows: "the compiler and the runtime" },
    {
      what: "C++ compiler",
      found: found(cxx, ({ path, version }) => `${path}: ${version.split("\n")[0]}`),
      allows: cxx.compiler ? "build --target cpu; the host side of --target cuda" : "no build: install g++",
    },
    {
      what: "nvcc",
      found: found(nvcc, ({ path }) => `${path}, release ${release ?? "unknown"}`),
      allows: allowsOfNvcc(nvcc, cxx),
    },
    {
      what: "GPU",
      found: gpu === undefined ? null : `${gpu.name}, ${gpu.arch}, driver ${gpu.driver}`,
      allows:
        gpu === undefined
          ? `target auto is cpu${nvcc.compiler && cxx.compiler ? "; CUDA libraries can be built here and run elsewhere" : ""}`
          : "target auto is cuda; a CUDA 13 library needs driver 580 or newer",
    },
    {
      what: "CPU",
      found: `${process.arch}${features.length === 0 ? "" : `: ${features.join(" ")}`}`,
      allows: "CPU libraries use these features, and open only on CPUs that have them all",
    },
    {
      what: "config",
      found: existsSync(config) ? config : null,
      allows: existsSync(config) ? "`normrope list` shows its kernels" : "`normrope init` writes one",
    },
    {
      what: "cache",
      found: cacheRoot(),
      allows: cacheProblem() ?? "set NORMROPE_CACHE_DIR for another place",
    },
  ];
}

/** nvcc needs the C++ compiler for the host's side. */
function allowsOfNvcc(nvcc: Search, cxx: Search): string {
  if (nvcc.compiler === undefined)
    return "no build --target cuda: install the CUDA 13 toolkit or set NORMROPE_NVCC";
  if (cxx.compiler === undefined) return "no build --target cuda: it needs the C++ compiler too";
  return "build --target cuda, for any architecture from sm_80";
}

function cacheProblem(): string | undefined {
  try {
    probeCache(cacheRoot());
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map(({ message, fix }) => `no build: ${message}; ${fix}`).join("; ");
  }
}

interface Search {
  readonly compiler?: Compiler | undefined;
  /** Why a compiler that the environment names cannot be used. */
  readonly problem?: string | undefined;
}

async function look(find: () => Promise<Compiler | undefined>): Promise<Search> {
  try {
    return { compiler: await find() };
  } catch (error) {
    if (error instanceof UserError) return { problem: error.diagnostics[0]?.message };
    throw error;
  }
}

function found({ compiler, problem }: Search, describe: (compiler: Compiler) => string): string | null {
  return compiler === undefined ? (problem ?? null) : describe(compiler);
}
