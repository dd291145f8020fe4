/** File systems that are read-only, full, or others than the project's. Needs a namespace of its own to mount in. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { neoxId, neoxSpace } from "./cli_helpers.js";
import { DIST } from "./cli_process.js";
import { freshCache, SHARED_OBJECTS } from "./fixture.js";
import { writeConfig } from "./helpers.js";

const cli = join(DIST, "generator", "cli.js");

/** A project, and where its cache will be. */
function project() {
  const folder = dirname(writeConfig(neoxSpace(16)));
  return { folder, cache: join(folder, "cache") };
}

/** Puts what every library has into a cache that was mounted. */
const FILL = `cp -r ${SHARED_OBJECTS}/. cache`;

const mount = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;
const cannotMount = mount ? "" : " (skipped: a user namespace with a mount of its own is not permitted)";
/**
 * What lines of shell commands print where they may mount; the mounts end with them. `build` and `verify` are the
 * commands on the project in the working folder, whose cache is `./cache`.
 */
function inNamespace(folder: string, ...lines: readonly string[]): string {
  const driver = `
    import { spawnSync } from "node:child_process";
    import { main } from ${JSON.stringify(cli)};
    const say = (line) => process.stdout.write(line + "\\n");
    for (const line of ${JSON.stringify(lines)}) {
      const [command, ...options] = line.split(" ");
      const args = [command, "--target", "cpu", ...options];
      if (command === "build") say((await main(args, { ...io, print: say, note: say })) + " from build");
      else if (command === "verify") say(run(process.execPath, ${JSON.stringify(cli)}, ...args) + " from verify");
      else run("sh", "-c", line);
    }`;
  const helpers = `
    import pc from "picocolors";
    const io = { color: pc.createColors(false), noteColor: pc.createColors(false) };
    const run = (command, ...args) => spawnSync(command, args, { stdio: "inherit" }).status;`;
  writeFileSync(join(dirname(cli), "driver.mjs"), helpers + driver);
  freshCache(join(folder, "cache"));
  mkdirSync(join(folder, "build", "cpu"), { recursive: true });
  const env = { ...process.env, NORMROPE_CACHE_DIR: join(folder, "cache") };
  const args = ["-rm", "sh", "-c", `exec '${process.execPath}' '${join(dirname(cli), "driver.mjs")}' 2>&1`];
  const { stdout } = spawnSync("unshare", args, { cwd: folder, env, encoding: "utf8" });
  return stdout;
}

describe.skipIf(!mount)(`a file system${cannotMount}`, () => {
  it("that is read-only is named, and suffices if everything is cached", () => {
    const { folder, cache } = project();
    const out = inNamespace(
      folder,
      "mount -t tmpfs -o mode=700 none cache",
      FILL,
      "mount --options-source=disable -o remount,ro cache",
      "build",
      "mount --options-source=disable -o remount,rw cache",
      "build",
      "mount --options-source=disable -o remount,ro cache",
      "rm -r build/cpu",
      "build",
      "verify",
    );
    const [refused = "", built = "", again = ""] = out.split(/\d from build\n/);
    expect(refused).toContain(
      `error [cache-unusable]: the folder ${cache} cannot be used: its file system is read-only (`,
    );
    expect(refused).toMatch(/^ {2}fix: .*NORMROPE_CACHE_DIR/m);
    expect([built, again].map((text) => /\d kernels? compiled/.exec(text)?.[0])).toEqual([
      "1 kernel compiled",
      "0 kernels compiled",
    ]);
    expect(out).toMatch(/0 from verify\n$/);
  });

  it("of a full cache is named; with room it works, though the project is on another", () => {
    const { folder } = project();
    const room = (size: string) => [
      `mount --options-source=disable -o remount,size=${size} cache`,
      "build",
      "ls cache/staging",
    ];
    const out = inNamespace(
      folder,
      ...["mount -t tmpfs -o mode=700,size=4k none cache", "build", "ls cache/staging"],
      ...[...room("60k"), ...room("90k"), ...room("64m").toSpliced(1, 0, FILL), "verify"],
    );
    const builds = out.split(/(?<=\d from build\n)/);
    for (const full of builds.slice(0, 3)) {
      expect(full).toMatch(/error \[(cache-unusable|compile-failed)\]/);
      expect(full).toMatch(/its file system is full|No space left on device/);
      expect(full).toMatch(/^ {2}fix: make room.*NORMROPE_CACHE_DIR/m);
      expect(full).not.toMatch(/bug in normrope|^ +at /m);
      expect(full).toMatch(/1 from build\n$/);
    }
    expect(builds[3]).toMatch(/^build\/cpu\/libnormrope\.so.*\n0 from build\n$/m);
    expect(out).not.toMatch(/^[0-9a-f]{24}$/m); // nothing stays staged
    expect(out).toMatch(/0 from verify\n$/);
  });

  it("of a full build folder is named, and its files stay", () => {
    const { folder } = project();
    const out = inNamespace(
      folder,
      "mount -t tmpfs -o mode=700,size=64m none build/cpu",
      "build",
      "verify",
      "head -c 64m /dev/zero >build/cpu/ballast 2>/dev/null || true",
      "sed -i s/16/24/ normrope.config.ts",
      "build --static",
      "verify",
      "ls build/cpu",
      "rm build/cpu/ballast",
      "build",
      "verify",
    );
    expect(out).toMatch(
      /^error \[folder-unusable\]: the folder build\/cpu cannot be used: its file system is full[\s\S]*1 from build\n/m,
    );
    expect(out).toContain(`${["ballast", "libnormrope.so", "manifest.json"].join("\n")}\n`);
    expect(out.match(/\d from verify/g)).toEqual(["0 from verify", "0 from verify", "0 from verify"]);
    expect(out).toMatch(
      new RegExp(`${neoxId(24)} .* passes
.*
0 from verify
$`),
    );
  });

  it("that is read-only below generated/ or build/ is named", () => {
    const { folder } = project();
    const out = inNamespace(
      folder,
      "mount -t tmpfs -o ro none build/cpu",
      "build",
      "umount build/cpu",
      "mkdir -p generated",
      "rm -r generated/*",
      "mount -t tmpfs -o ro none generated",
      "build",
    );
    for (const name of ["build/cpu", "generated"]) {
      expect(out).toContain(
        `error [folder-unusable]: the folder ${name} cannot be used: its file system is read-only`,
      );
    }
    expect(out.match(/\d from build/g)).toEqual(["1 from build", "1 from build"]);
  });
});
