/** What `open` refuses: libraries and manifests that are not there, not whole, or not for this machine. */
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BuiltManifest } from "../dsl/manifest.js";
import { build } from "../generator/build/build.js";
import { readBuiltManifest } from "../generator/build/publish.js";
import { sha256 } from "../generator/cache/cache.js";
import { compile, emit } from "../generator/pipeline.js";
import { NormropeError } from "../runtime/errors.js";
import { open } from "../runtime/open.js";
import { parseBuiltManifest } from "../runtime/read_manifest.js";
import { cpu, FEATURES, JOBS } from "./building.js";
import { neoxSpace } from "./cli_helpers.js";
import { temporaryFolder } from "./helpers.js";

/** What builds share that are not about the cache; removed after the last test. */
const shared = mkdtempSync(join(tmpdir(), "normrope-build-"));
afterAll(() => rmSync(shared, { recursive: true, force: true }));
const sharedCache = join(shared, "cache");

describe("open refuses", () => {
  const [good, other] = [join(shared, "good"), join(shared, "other")];
  beforeAll(async () => {
    const run = (buildFolder: string, space: string) => {
      const config = join(shared, "normrope.config.ts");
      writeFileSync(config, space);
      const files = emit(compile(config));
      return build({ files, compiler: cpu(), buildFolder, cacheRoot: sharedCache, jobs: JOBS });
    };
    await run(good, neoxSpace(16));
    await run(other, neoxSpace(24));
  });

  /** A copy of the good build folder, damaged. */
  const damaged = (damage: (library: string, manifest: string) => void) => {
    const folder = temporaryFolder();
    cpSync(good, folder, { recursive: true });
    damage(join(folder, "cpu", "libnormrope.so"), join(folder, "cpu", "manifest.json"));
    return open({ target: "cpu", path: folder }).then(
      (library) => library.manifest,
      (error: unknown) => error,
    );
  };
  const withBuild = (changed: Partial<BuiltManifest["build"]>) => (_: string, path: string) => {
    const manifest = parseBuiltManifest(readFileSync(path, "utf8"), path);
    writeFileSync(path, JSON.stringify({ ...manifest, build: { ...manifest.build, ...changed } }));
  };

  it("nothing of what a build leaves", async () => {
    expect(await damaged(() => {})).toEqual(readBuiltManifest(good, "cpu"));
  });

  it.each<[string, (library: string, manifest: string) => void, string, RegExp]>([
    [
      "a library that is cut short",
      (library) => truncateSync(library, statSync(library).size / 2),
      "library-invalid",
      /is not the library that .*manifest\.json describes/,
    ],
    ["an empty library", (library) => truncateSync(library), "library-invalid", /is not the library/],
    [
      "a library with a byte too many",
      (library) => appendFileSync(library, "x"),
      "library-invalid",
      /is not the library/,
    ],
    [
      "a manifest of another library",
      (_, manifest) => cpSync(join(other, "cpu", "manifest.json"), manifest),
      "library-invalid",
      /is not the library/,
    ],
    [
      "a library of another manifest",
      (library) => cpSync(join(other, "cpu", "libnormrope.so"), library),
      "library-invalid",
      /is not the library/,
    ],
    [
      "a manifest that is cut short",
      (_, manifest) => truncateSync(manifest, 100),
      "library-invalid",
      /manifest\.json is not JSON/,
    ],
    [
      "a manifest of another version of the C interface",
      (_, path) => writeFileSync(path, readFileSync(path, "utf8").replace('"abi": 2', '"abi": 3')),
      "library-invalid",
      /is not a manifest of this version/,
    ],
    [
      "what is no library, though its manifest says so",
      (library, manifest) => {
        writeFileSync(library, "no library");
        withBuild({ librarySha256: sha256("no library") })(library, manifest);
      },
      "library-invalid",
      /cannot be loaded/,
    ],
    [
      "a folder in the place of the library",
      (library) => {
        rmSync(library);
        mkdirSync(library);
      },
      "library-invalid",
      /is not a file/,
    ],
    ["no library", (library) => rmSync(library), "library-not-found", /libnormrope\.so.*normrope build/],
    ["no manifest", (_, manifest) => rmSync(manifest), "library-not-found", /manifest\.json.*normrope build/],
    [
      "a library for a CPU with more features",
      withBuild({ cpuFeatures: [...FEATURES, "future9"] }),
      "cpu-unsupported",
      /lacks: future9/,
    ],
    ["a library for another kind of CPU", withBuild({ cpuArch: "riscv128" }), "cpu-unsupported", /riscv128/],
  ])("%s", async (_, damage, code, message) => {
    const error = await damaged(damage);
    expect(error).toBeInstanceOf(NormropeError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
