/**
 * Emitted files → shared library.
 *
 * In: a file set, a target and its compiler. Out: build/<target>/libnormrope.so and manifest.json. All work is done in
 * the cache; the user's folder is written last. No string reaches a shell.
 */
import { join } from "node:path";
import { type BuiltManifest, LIBRARY_NAME, type Resources, type Target } from "../../dsl/manifest.js";
import { cached, cacheKey } from "../cache/cache.js";
import { openCache, tidyCache } from "../cache/folder.js";
import type { Diagnostic } from "../diagnostics.js";
import { builtManifest, requireFile } from "./built_manifest.js";
import { ARCHIVE_NAME, archiveInto, type LinkRequest, linkInto } from "./link.js";
import { type CompileRequest, compileObjects } from "./objects.js";
import { publish } from "./publish.js";

export interface BuildRequest extends CompileRequest {
  /** The folder with a subfolder for each target: `build/`. */
  readonly buildFolder: string;
  /** Whether to make a static archive of the objects too. */
  readonly archive?: boolean | undefined;
}

export interface BuildResult {
  readonly target: Target;
  readonly library: string;
  readonly archive: string | undefined;
  readonly manifest: BuiltManifest;
  /** Kernel ids, by whether a compiler ran for them. */
  readonly compiled: readonly string[];
  readonly cached: readonly string[];
  /** Kernels that spill registers, and so are slower than they should be. */
  readonly warnings: readonly Diagnostic[];
}

/**
 * @throws UserError `compile-failed` with the output of every compiler that failed, `compile-timeout`,
 * `cache-unusable`, `folder-unusable`.
 */
export async function build(request: BuildRequest): Promise<BuildResult> {
  const { files, compiler, cacheRoot, timeoutSeconds } = request;
  tidyCache(openCache(cacheRoot));
  const objects = await compileObjects(request);
  const exports = requireFile(files, "common/exports.map");
  const linking: LinkRequest = { compiler, objects, exports, timeoutSeconds };
  const keys = objects.map(({ key }) => key);

  const libraryKey = cacheKey([compiler.identity, compiler.linkArgs, exports, keys]);
  const linked = await cached(cacheRoot, libraryKey, [LIBRARY_NAME], (folder) => linkInto(folder, linking));
  const archiveKey = cacheKey([compiler.identity, ARCHIVE_NAME, keys]);
  const archived =
    request.archive === true
      ? await cached(cacheRoot, archiveKey, [ARCHIVE_NAME], (folder) => archiveInto(folder, linking))
      : undefined;

  const library = join(linked.folder, LIBRARY_NAME);
  const manifest = builtManifest(files, compiler, objects, library);
  const published = publish(
    join(request.buildFolder, compiler.target),
    manifest,
    library,
    archived && join(archived.folder, ARCHIVE_NAME),
  );
  const isKernel = new Set(manifest.kernels.map(({ id }) => id));
  const ids = (hit: boolean) =>
    objects
      .filter(({ unit, entry }) => isKernel.has(unit.name) && entry.hit === hit)
      .map(({ unit }) => unit.name);
  return {
    target: compiler.target,
    ...published,
    manifest,
    compiled: ids(false),
    cached: ids(true),
    warnings: Object.entries(manifest.build.resources).flatMap(([id, list]) =>
      list.flatMap((found) => spillWarning(id, found)),
    ),
  };
}

function spillWarning(
  id: string,
  { arch, stackBytes, spillStoreBytes, spillLoadBytes }: Resources,
): Diagnostic[] {
  if (stackBytes === 0 && spillStoreBytes === 0 && spillLoadBytes === 0) return [];
  return [
    {
      code: "register-spill",
      message: `${id} spills ${spillStoreBytes} bytes on ${arch}, with ${stackBytes} bytes of stack`,
      fix: "report it: the plan for this geometry keeps too much in registers",
    },
  ];
}
