/**
 * build/<target>/: the folder that a build leaves and that the runtime opens.
 *
 * In: linked files of the cache and their manifest. Out: the folder, with each file put in place by one rename; the manifest
 * of an earlier build. Leaves other files of the folder alone.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BuiltManifest, LIBRARY_NAME, MANIFEST_NAME, type Target } from "../../dsl/manifest.js";
import { parseBuiltManifest } from "../../runtime/read_manifest.js";
import { sha256 } from "../cache/cache.js";
import { makeFolder, removeLeftovers, STAGED, unusable } from "../folder.js";
import { manifestText } from "./built_manifest.js";
import { ARCHIVE_NAME } from "./link.js";

/**
 * Puts a library, its manifest and its archive, if any, in place. Equal files stay untouched. An archive of an earlier build is
 * removed, since it would be taken for this library's.
 * @throws UserError `folder-unusable`.
 */
export function publish(
  folder: string,
  manifest: BuiltManifest,
  linked: string,
  archived: string | undefined,
): { library: string; archive: string | undefined } {
  const [library, archive] = [join(folder, LIBRARY_NAME), join(folder, ARCHIVE_NAME)];
  const contents: Contents = {
    manifest: Buffer.from(manifestText(manifest)),
    library: readFileSync(linked),
    archive: archived === undefined ? undefined : readFileSync(archived),
  };
  try {
    makeFolder(folder);
    removeLeftovers(folder, STAGED);
    // A concurrent build may leave a mixture of files. The build that renamed last sees it here, and puts its own again.
    do put(folder, contents);
    while (!isSettled(folder, contents));
  } catch (error) {
    throw unusable("folder-unusable", folder, error, "build in a copy of the project that is elsewhere");
  }
  return { library, archive: archived === undefined ? undefined : archive };
}

interface Contents {
  readonly manifest: Buffer;
  readonly library: Buffer;
  readonly archive: Buffer | undefined;
}

/**
 * Renames the files into place. At no moment does an archive lie beside another library. Between the renames of library and
 * manifest, `open` sees that they do not match.
 */
function put(folder: string, { manifest, library, archive }: Contents): void {
  const path = join(folder, ARCHIVE_NAME);
  const old = readOrNothing(path);
  if (old !== undefined && !(archive?.equals(old) ?? false)) rmSync(path, { force: true });
  replace(join(folder, LIBRARY_NAME), library);
  replace(join(folder, MANIFEST_NAME), manifest);
  if (archive !== undefined) replace(path, archive);
}

/** Whether the folder holds the files of one build only, this one or another. */
function isSettled(folder: string, { manifest, archive }: Contents): boolean {
  const isOurs = readOrNothing(join(folder, MANIFEST_NAME))?.equals(manifest) ?? false;
  const found = readOrNothing(join(folder, ARCHIVE_NAME));
  const isOurArchive = found === undefined ? archive === undefined : (archive?.equals(found) ?? false);
  return isWhole(folder) && (isOurs ? isOurArchive : archive === undefined || !isOurArchive);
}

/** Replaces a file by one rename, if its content differs. */
function replace(path: string, content: Buffer): void {
  if (readOrNothing(path)?.equals(content)) return;
  const staged = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(staged, content);
    renameSync(staged, path);
  } finally {
    rmSync(staged, { force: true });
  }
}

function readOrNothing(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Whether the folder's library is the one that its manifest describes. */
function isWhole(folder: string): boolean {
  const path = join(folder, MANIFEST_NAME);
  try {
    const { build } = parseBuiltManifest(readFileSync(path, "utf8"), path);
    return build.librarySha256 === sha256(readFileSync(join(folder, LIBRARY_NAME)));
  } catch {
    return false; // missing, or another version's
  }
}

/** The manifest of a target's last build; undefined if there is none. */
export function readBuiltManifest(buildFolder: string, target: Target): BuiltManifest | undefined {
  const path = join(buildFolder, target, MANIFEST_NAME);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  return parseBuiltManifest(text, path);
}
