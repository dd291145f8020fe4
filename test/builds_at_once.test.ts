/** Builds that run at the same time, of one cache and of one folder. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { sha256 } from "../generator/cache/cache.js";
import { open } from "../runtime/open.js";
import { parseBuiltManifest } from "../runtime/read_manifest.js";
import { filesOf, project } from "./building.js";
import { neoxId } from "./cli_helpers.js";
import { compilerThat, DIST, soon } from "./cli_process.js";
import { freshCache } from "./fixture.js";
import { IS_LONG, temporaryFolder } from "./helpers.js";

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

describe("eight ranks that need one kernel", () => {
  const id = neoxId(40);

  /** The command for each rank, with a compiler that logs its runs. Where a file `hold` is, it takes that and stays. */
  function ranks() {
    const folder = temporaryFolder();
    const [log, hold] = [join(folder, "log"), join(folder, "hold")];
    const CXX = compilerThat([
      `*" -c "*${id}*`,
      `echo "$$ $PPID" >>'${log}'; if rm '${hold}' 2>'/dev/null'; then exec sleep 60; fi`,
    ]);
    const env = { CXX, NORMROPE_CACHE_DIR: freshCache(), NORMROPE_NVCC: "none" };
    const args = [join(DIST, "generator", "cli.js"), "cache", "add", id, "--target", "cpu", "--json"];
    const start = () =>
      Array.from({ length: 8 }, () => execa(process.execPath, args, { env, reject: false }));
    const runs = () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []);
    return { start, runs, hold };
  }

  it("compile it once", async () => {
    const { start, runs } = ranks();
    const ended = await Promise.all(start());
    const hits: boolean[] = ended.map(({ stdout }) => JSON.parse(stdout).hit);
    expect(hits.filter((hit) => !hit)).toHaveLength(1);
    expect(runs()).toHaveLength(1);
  });

  it("compile it once more where the one that compiled was killed", async () => {
    const { start, runs, hold } = ranks();
    writeFileSync(hold, "");
    const started = start();
    expect(await soon(() => runs().length > 0 && !existsSync(hold))).toBe(true);
    const [compiler = 0, builder = 0] = (runs()[0] ?? "").split(" ").map(Number);
    process.kill(builder, "SIGKILL");
    onTestFinished(() => {
      process.kill(compiler, "SIGKILL"); // it outlives the builder, and holds up nobody
    });
    const ended = await Promise.all(started);
    expect(ended.map(({ signal, exitCode }) => signal ?? exitCode).sort()).toEqual([
      ...Array(7).fill(0),
      "SIGKILL",
    ]);
    expect(runs()).toHaveLength(2);
  });
});
