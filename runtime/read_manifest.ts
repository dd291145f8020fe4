/**
 * Reads the manifest of a built library.
 *
 * In: JSON text. Out: checked, typed data, or a typed error. Touches no file, library or device.
 */
import { isDeepStrictEqual } from "node:util";
import { type BuiltManifest, builtManifestSchema, manifestSchema } from "../dsl/manifest.js";
import { NormropeError, quoted } from "./errors.js";

const REBUILD = "Run `normrope build` to make the library anew";

/**
 * Reads the text of a built library's manifest.
 * @throws NormropeError `library-invalid` if it is none. `where` names the file in the message.
 */
export function parseBuiltManifest(text: string, where: string): BuiltManifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new NormropeError("library-invalid", `${quoted(where)} is not JSON`, REBUILD, { cause });
  }
  const result = builtManifestSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "the whole" : issue.path.join(".");
  const problem = `${quoted(place)}: ${quoted(issue?.message ?? "")}`;
  const message = `${quoted(where)} is not a manifest of this version: ${problem}`;
  throw new NormropeError("library-invalid", message, REBUILD);
}

/** Whether a manifest equals the one that the compiler embedded in the library. */
export function describesLibrary({ build: _, ...manifest }: BuiltManifest, embedded: string): boolean {
  const own = manifestSchema.safeParse(JSON.parse(embedded));
  return own.success && isDeepStrictEqual(own.data, manifest);
}
