/** Builds that run at the same time, of one cache and of one folder. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, it } from "vitest";
import { sha256 } from "../generator/cache/cache.js";
import { open } from "../runtime/open.js";
import { parseBuiltManifest } from "../runtime/read_manifest.js";
import { filesOf, project } from "./building.js";
import { neoxId } from "./cli_helpers.js";
import { DIST } from "./cli_process.js";
import { freshCache } from "./fixture.js";
import { IS_LONG } from "./helpers.js";

/** What builds share that are not about the cache; removed after the last test. */
const shared = mkdtempSync(join(tmpdir(), "normrope-build-"));
afterAll(() => rmSync(shared, { recursive: true, force: true }));
const sharedCache = freshCache(join(shared, "cache"));

const ROUNDS = IS_LONG ? 200 : 50;

const ids = (...headDims: number[]) => headDims.map((headDim) => neoxId(headDim));

describe("two builds at once", () => {
  it("of one cache both succeed", async () => {
    const { cacheRoot } = project();
    const both = [project(), project()];
    const results = await Promise.all(both.map(({ run }) => run(filesOf(16, 24), { cacheRoot })));
    expect(new Set(results.map(({ manifest }) => manifest.build.librarySha256)).size).toBe(1);
    for (const { buildFolder } of both) {
      using library = await open({ target: "cpu", path: buildFolder });
      expect(library.manifest.kernels.map(({ id }) => id)).toEqual(ids(16, 24));
    }
    expect(readdirSync(join(cacheRoot, "staging"))).toEqual([]);
  });

  it("of one build folder leave a library with its own manifest and archive, from two processes", async () => {
    const { run, buildFolder } = project();
    const request = { cacheRoot: sharedCache, archive: true };
    const results = [await run(filesOf(16), request), await project().run(filesOf(24), request)];
    const archives = new Map(
      results.map(({ manifest, archive }) => [
        manifest.build.librarySha256,
        sha256(readFileSync(archive ?? "")),
      ]),
    );
    const folder = join(buildFolder, "contended");
    const start = Date.now() + 2000; // both processes run by then, and meet in every round
    const programs = results.map(({ library, manifest, archive }) => {
      const text = `import { publish } from ${JSON.stringify(join(DIST, "generator", "build", "publish.js"))};
        const [library, manifest, archive] = ${JSON.stringify([library, manifest, archive])};
        const clock = new Int32Array(new SharedArrayBuffer(4));
        for (let round = 0; round < ${ROUNDS}; round++) {
          const begin = ${start} + 10 * round;
          Atomics.wait(clock, 0, 0, Math.max(0, begin - 2 - Date.now()));
          while (Date.now() < begin);
          publish(\`${folder}/\${round}\`, manifest, library, archive);
        }`;
      return execa("node", ["--input-type=module", "-e", text]);
    });
    await Promise.all(programs);
    for (let round = 0; round < ROUNDS; round++) {
      const where = join(folder, `${round}`);
      const manifest = parseBuiltManifest(readFileSync(join(where, "manifest.json"), "utf8"), where);
      expect(sha256(readFileSync(join(where, "libnormrope.so")))).toBe(manifest.build.librarySha256);
      expect(sha256(readFileSync(join(where, "libnormrope.a")))).toBe(
        archives.get(manifest.build.librarySha256),
      );
      expect(readdirSync(where).sort()).toEqual(["libnormrope.a", "libnormrope.so", "manifest.json"]);
    }
  });
});
