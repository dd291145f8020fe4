/**
 * The Python package and a built library → a wheel, which installs without Node and without a compiler.
 *
 * In: the library, its manifest, and its platform tag. Out: the wheel's name and bytes, as PEP 427 has them; equal
 * for equal input. Writes nothing.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Zippable, zipSync } from "fflate";
import { type BuiltManifest, LIBRARY_NAME, MANIFEST_NAME } from "../../dsl/manifest.js";
import { manifestText } from "../build/built_manifest.js";
import { sha256 } from "../cache/cache.js";
import { quoted, userError } from "../diagnostics.js";
import { COMPILER_VERSION, PACKAGE_ROOT } from "../package_root.js";
import { entryPoints, metadata, parseProject } from "./metadata.js";

export interface Wheel {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Digits of the library's digest in the version: two builds of a config are then two versions for pip. */
const DIGEST_DIGITS = 8;

/** @throws UserError `stale-output` if the library is another than the manifest's. */
export function wheel(libraryFile: string, manifest: BuiltManifest, platform: string): Wheel {
  const { build } = manifest;
  const built = readFileSync(libraryFile);
  if (sha256(built) !== build.librarySha256) {
    const fix = "run `normrope wheel` again when no other build runs in this project";
    throw userError("stale-output", `another build has replaced ${quoted(libraryFile)} meanwhile`, fix);
  }
  const python = (...path: string[]) => join(PACKAGE_ROOT, "python", ...path);
  const project = parseProject(readFileSync(python("pyproject.toml"), "utf8"));
  const [, release] = COMPILER_VERSION.split(" ");
  const version = `${release}+${build.target}.${build.librarySha256.slice(0, DIGEST_DIGITS)}`;
  const stem = `${project.name}-${version}`;
  const tag = `py3-none-${platform}`;
  const sources = readdirSync(python(project.name)).filter((name) => /\.(py|json|typed)$/.test(name));
  const library = `${project.name}/library/${build.target}`;
  const info = `${stem}.dist-info`;
  const text = (content: string) => Buffer.from(content, "utf8");
  const files: [path: string, content: Buffer][] = [
    ...sources.map((name): [string, Buffer] => [
      `${project.name}/${name}`,
      readFileSync(python(project.name, name)),
    ]),
    [`${library}/${LIBRARY_NAME}`, built],
    [`${library}/${MANIFEST_NAME}`, text(manifestText(manifest))],
    [`${info}/METADATA`, text(metadata(project, version, readFileSync(python("README.md"), "utf8")))],
    [`${info}/WHEEL`, text(wheelFile(tag))],
    [`${info}/entry_points.txt`, text(entryPoints(project))],
    [`${info}/licenses/LICENSE`, readFileSync(join(PACKAGE_ROOT, "LICENSE"))],
  ];
  files.push([`${info}/RECORD`, text(record(files, `${info}/RECORD`))]);
  return { name: `${stem}-${tag}.whl`, bytes: zipped(files) };
}

function wheelFile(tag: string): string {
  return `Wheel-Version: 1.0\nGenerator: ${COMPILER_VERSION}\nRoot-Is-Purelib: false\nTag: ${tag}\n`;
}

function record(files: readonly (readonly [string, Buffer])[], self: string): string {
  const rows = files.map(([path, content]) => {
    const digest = createHash("sha256").update(content).digest("base64url");
    return `${path},sha256=${digest},${content.length}\n`;
  });
  return `${rows.join("")}${self},,\n`;
}

function zipped(files: readonly (readonly [string, Buffer])[]): Uint8Array {
  const mtime = new Date(1980, 0, 1); // the first that a zip can tell, so that equal files make equal wheels
  const entries = files.map(([path, content]): [string, Zippable[string]] => [path, [content, { mtime }]]);
  return zipSync(Object.fromEntries(entries), { level: 9 });
}
