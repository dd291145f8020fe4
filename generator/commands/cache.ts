/** `normrope cache`: lists the cache; `cache add` compiles a kernel into it, `cache prune` removes old entries. */
import type { Argv } from "yargs";
import { axisOutside, rejectionOf } from "../../dsl/legality.js";
import type { Target } from "../../dsl/manifest.js";
import { completed } from "../../dsl/points.js";
import { loadLibrary } from "../../runtime/library.js";
import { chosenTarget } from "../../runtime/open.js";
import { parseArchs } from "../build/target_compiler.js";
import { type CachedLibrary, cacheContents, pruneCache } from "../cache/contents.js";
import { cacheRoot, readOnlyCaches } from "../cache/folder.js";
import { counted, quoted, userError } from "../diagnostics.js";
import { type JitRequest, provideLibrary } from "../jit/jit.js";
import { parseKernelId } from "../kernel_id.js";
import { readShippedOp } from "../op_file.js";
import { type Io, printJson, printTable } from "./io.js";
import { textOption, wholeNumber } from "./options.js";
import { jsonOption, targetOption } from "./project.js";

const DAYS_KEPT = 30;
const DAYS_MAX = 36_500;

export function registerCache(cli: Argv, io: Io): Argv {
  return cli.command(
    "cache [action] [kernel]",
    "Show what is in the compile cache; add one kernel to it; prune it",
    (command) =>
      targetOption(jsonOption(command))
        .positional("action", { choices: ["list", "add", "prune"] as const, default: "list" as const })
        .positional("kernel", {
          type: "string",
          describe: "For add: a kernel id, as `normrope list` shows them",
        })
        .option(
          "arch",
          textOption("For add: CUDA architectures, such as sm_90; default: the GPU's, else sm_90"),
        )
        .option("days", {
          ...textOption("For prune: remove what was not used for so many days; 0 removes everything"),
          default: `${DAYS_KEPT}`,
        })
        .example("$0 cache add qk_norm_rope__bf16_d96_r96_neox", "Before a deployment"),
    async ({ action, kernel, target, arch, days, json }) => {
      if (action === "add") {
        await add(io, json, kernel, chosenTarget(target), arch);
        return;
      }
      if (kernel !== undefined) {
        const fix = "only `normrope cache add` takes a kernel id";
        throw userError("bad-option", `\`normrope cache ${action}\` takes no ${quoted(kernel)}`, fix);
      }
      if (action === "prune") prune(io, json, wholeNumber("days", days, 0, DAYS_MAX));
      else list(io, json);
    },
  );
}

function list(io: Io, json: boolean): void {
  const root = cacheRoot();
  const { libraries, objects } = cacheContents(root);
  if (json) {
    const kernels = libraries.map((entry) => ({
      id: idOf(entry),
      target: entry.manifest?.build.target ?? null,
      archs: entry.manifest?.build.archs ?? [],
      compiler: entry.manifest?.compiler ?? null,
      bytes: entry.bytes,
      lastUsed: entry.lastUsed.toISOString(),
      library: entry.library,
    }));
    const readOnly = readOnlyCaches();
    printJson(io, { root, readOnly, kernels, objects: { count: objects.length, bytes: sum(objects) } });
    return;
  }
  if (libraries.length > 0) {
    printTable(io, [
      ["kernel", "target", "made by", "size", "last used"],
      ...libraries.map((entry) => [
        idOf(entry) ?? "none: memory and devices",
        [entry.manifest?.build.target ?? "damaged", ...(entry.manifest?.build.archs ?? [])].join(" "),
        entry.manifest?.compiler ?? "",
        sizeOf([entry]),
        entry.lastUsed.toISOString().slice(0, "2026-11-23".length),
      ]),
    ]);
  }
  io.print(
    `${quoted(root)}: ${counted(libraries.length, "library", "libraries")}, ${sizeOf(libraries)}; ${counted(objects.length, "object")} of builds, ${sizeOf(objects)}`,
  );
}

function idOf({ manifest }: CachedLibrary): string | null {
  return manifest?.kernels[0]?.id ?? null;
}

function prune(io: Io, json: boolean, days: number): void {
  const root = cacheRoot();
  const removed = pruneCache(root, days);
  if (json) printJson(io, { root, removed: removed.length, bytes: sum(removed) });
  else
    io.print(`${quoted(root)}: ${counted(removed.length, "entry", "entries")} removed, ${sizeOf(removed)}`);
}

async function add(
  io: Io,
  json: boolean,
  id: string | undefined,
  target: Target,
  arch: string | undefined,
): Promise<void> {
  const request = { point: pointOf(id), target, archs: arch === undefined ? undefined : parseArchs(arch) };
  const found = await provide(request);
  // The library without kernels too: a program that opens only this kernel takes memory and devices from it.
  await provide({ ...request, point: undefined });
  if (json) printJson(io, { id, target, ...found });
  else io.print(`${quoted(found.library)} ${found.hit ? "was there" : "was compiled"}`);
}

async function provide(request: Omit<JitRequest, "load">) {
  const found = await provideLibrary({ ...request, load: loadLibrary });
  if ("reason" in found) throw userError("no-compiler", found.reason, found.fix);
  return found;
}

/** @throws UserError `bad-option` for anything but a kernel of the op that ships. */
function pointOf(id: string | undefined) {
  const fix = "`normrope list` shows the ids of a config's kernels";
  if (id === undefined) throw userError("bad-option", "`normrope cache add` needs a kernel id", fix);
  const op = readShippedOp();
  const { name, axes } = op;
  const parsed = parseKernelId(id);
  const problem = `${quoted(id)} is no kernel of ${name}`;
  const ofAnother = `this command adds only kernels of ${name}; \`open({ jit: true })\` compiles those of an op of your own`;
  if (parsed?.op !== name) throw userError("bad-option", problem, parsed === undefined ? fix : ofAnother);
  const point = completed(axes, parsed.values);
  const outside = axisOutside(axes, point);
  const reason = outside === undefined ? rejectionOf(op, point)?.reason : `there is no such ${outside.name}`;
  if (reason !== undefined) throw userError("bad-option", `${problem}: ${reason}`, fix);
  return point;
}

type Sized = { readonly bytes: number };

const sum = (entries: readonly Sized[]) => entries.reduce((total, { bytes }) => total + bytes, 0);

function sizeOf(entries: readonly Sized[]): string {
  const bytes = sum(entries);
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
