/** Copies of one built library to be damaged, each in a folder of its own. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BuiltManifest } from "../../dsl/manifest.js";
import { sha256 } from "../../generator/cache/cache.js";
import { open } from "../../runtime/open.js";
import { buildFolder } from "../fixture.js";
import { temporaryFolder } from "../helpers.js";
import { expectRefusal, filesIn } from "./unchanged.js";

export interface Built {
  /** What `open` takes as its path. */
  readonly folder: string;
  readonly library: string;
  readonly manifest: string;
}

/** A copy of the default config's library for this CPU, damaged. */
export function damaged(damage: (built: Built) => void): Built {
  const folder = temporaryFolder();
  cpSync(join(buildFolder("default"), "cpu"), join(folder, "cpu"), { recursive: true });
  const built = {
    folder,
    library: join(folder, "cpu", "libnormrope.so"),
    manifest: join(folder, "cpu", "manifest.json"),
  };
  damage(built);
  return built;
}

export function readManifest({ manifest }: Built): BuiltManifest {
  return JSON.parse(readFileSync(manifest, "utf8"));
}

/** The manifest as a program without types could leave it. */
export const manifestOf =
  (change: (manifest: BuiltManifest) => object) =>
  (built: Built): void =>
    writeFileSync(built.manifest, JSON.stringify(change(readManifest(built))));

export const buildOf = (change: object) =>
  manifestOf((manifest) => ({ ...manifest, build: { ...manifest.build, ...change } }));

/** Makes the manifest name the library that lies beside it, so that what else is wrong is found. */
export function adopt(built: Built): void {
  buildOf({ librarySha256: sha256(readFileSync(built.library)) })(built);
}

/** Opening it is refused, and leaves its files as they are. */
export async function expectNotOpened(built: Built, code: string, names: string | RegExp): Promise<void> {
  const { folder } = built;
  await expectRefusal(filesIn(folder), () => open({ target: "cpu", path: folder }), code, names);
}
