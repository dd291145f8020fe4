/**
 * A user's project: the config, and generated/ and build/ beside it.
 *
 * In: the path of a config. Out: emitted files on disk, built libraries. Code that several commands share.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import type { Argv } from "yargs";
import { LIBRARY_NAME, type Target } from "../../dsl/manifest.js";
import { chosenTarget, open } from "../../runtime/open.js";
import type { DeviceInfo, Library } from "../../runtime/open_library.js";
import { configOptionOf, DEFAULT_CONFIG } from "../../runtime/support.js";
import type { BuildRequest, BuildResult } from "../build/build.js";
import type { TargetCompiler } from "../build/target_compiler.js";
import { cacheRoot } from "../cache/folder.js";
import { counted, formatDiagnostic, quoted, userError } from "../diagnostics.js";
import { unusable } from "../folder.js";
import type { FileSet } from "../ir.js";
import type { Compilation } from "../pipeline.js";
import { type KernelResult, verifyLibrary } from "../verify/verify.js";
import type { Io } from "./io.js";
import { textOption } from "./options.js";

/** The folder that holds the config is the project. */
export function projectFolders(config: string): { generated: string; build: string } {
  return { generated: join(dirname(config), "generated"), build: join(dirname(config), "build") };
}

export function configOption<T>(cli: Argv<T>) {
  return cli.option("config", {
    ...textOption("The config file; generated/ and build/ are beside it"),
    default: DEFAULT_CONFIG,
  });
}

export function jsonOption<T>(cli: Argv<T>) {
  return cli.option("json", { type: "boolean", default: false, describe: "Print JSON" });
}

export function targetOption<T>(cli: Argv<T>) {
  return cli.option("target", {
    choices: ["auto", "cuda", "cpu"] as const,
    default: "auto" as const,
    describe: "auto is cuda where there is a GPU, else cpu",
  });
}

/** Reads the config and brings generated/ up to date. It imports the compiler, which takes time, only when called. */
export async function emitProject(
  config: string,
  io: Io,
): Promise<{ compilation: Compilation; files: FileSet }> {
  const [{ compile, emit }, { writeFileSet }] = await Promise.all([
    import("../pipeline.js"),
    import("../emit/fileset.js"),
  ]);
  const compilation = compile(config);
  const files = emit(compilation);
  const { generated } = projectFolders(config);
  const { written, removed, foreign } = write(generated, () => writeFileSet(generated, files));
  if (written.length + removed.length > 0) {
    io.note(`${quoted(generated)}: ${counted(written.length, "file")} written, ${removed.length} removed`);
  }
  for (const path of foreign)
    io.note(`${quoted(join(generated, path))} is not normrope's and was left alone`);
  return { compilation, files };
}

function write<T>(folder: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw unusable("folder-unusable", folder, error, "work in a copy of the project that is elsewhere");
  }
}

type BuildOption = "jobs" | "archive" | "timeoutSeconds";

export async function buildProject(
  config: string,
  files: FileSet,
  compiler: TargetCompiler,
  io: Io,
  { jobs = availableParallelism(), ...chosen }: Partial<Pick<BuildRequest, BuildOption>> = {},
): Promise<BuildResult> {
  const { build } = await import("../build/build.js");
  const result = await build({
    files,
    compiler,
    jobs,
    ...chosen,
    buildFolder: projectFolders(config).build,
    cacheRoot: cacheRoot(),
    onCompiled: ({ name, seconds, finished, total }) =>
      io.note(`[${finished}/${total}] ${compiler.target} ${name} ${seconds.toFixed(1)} s`),
  });
  for (const warning of result.warnings) io.note(formatDiagnostic(warning).replace("error", "warning"));
  return result;
}

/** Opens a project's built library. @throws UserError `nothing-built`, NormropeError as `open` does. */
export async function openProject(config: string, target: Target | "auto"): Promise<Library> {
  const { build } = projectFolders(config);
  const chosen = chosenTarget(target);
  const file = join(build, chosen, LIBRARY_NAME);
  if (existsSync(file)) return open({ target, path: build });
  const isGpusOwn = target === "auto" && chosen === "cuda";
  const message = `${isGpusOwn ? "this machine has a GPU, and " : ""}there is no ${quoted(file)}`;
  const instead = isGpusOwn ? "; --target cpu does without the GPU" : "";
  const fix = `run \`normrope build --target ${chosen}${configOptionOf(config)}\`, or name another project's config with --config FILE${instead}`;
  throw userError("nothing-built", message, fix);
}

/** The device that a library's kernels run on. @throws UserError `bad-option` if there is none. */
export function requireDevice({ devices: [device] }: Library, purpose: string): DeviceInfo {
  if (device !== undefined) return device;
  const fix = "add --target cpu, or run it on a machine with a GPU: `normrope doctor` shows what was found";
  throw userError("bad-option", `no GPU was found to ${purpose} on`, fix);
}

/** Verifies every kernel of a library, with a note after each. */
export function verifyWithNotes(library: Library, io: Io): Promise<KernelResult[]> {
  const total = library.manifest.kernels.length;
  let done = 0;
  return verifyLibrary(library, ({ id, pass }) => {
    done += 1;
    io.note(`[${done}/${total}] ${id} ${pass ? "passes" : "FAILS"}`);
  });
}
