/**
 * `npm run compile`: makes dist/ from the sources, and writes the op's file. With `--if-stale`, as in `prepare`, only if dist/ is
 * older than a source, because npx prepares a clone each time before it runs the clone's command.
 *
 * A command may be running from dist/. So the new folder is made beside it and renamed when it is complete.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const DIST = join(ROOT, "dist");
const SETTINGS = ["tsconfig.json", "tsconfig.build.json"];

if (!process.argv.includes("--if-stale") || !isFresh()) compile();

/** Whether dist/ has exactly the sources' outputs, all of them newer. */
function isFresh(): boolean {
  if (!existsSync(DIST)) return false;
  const sources = ["dsl", "generator", "runtime"].flatMap((folder) => filesIn(folder, ".ts"));
  const compiled = filesIn("dist", ".js");
  const expected = sources.map((path) => join("dist", path.replace(/\.ts$/, ".js")));
  if (expected.sort().join() !== compiled.sort().join()) return false;
  const times = (paths: readonly string[]) => paths.map((path) => statSync(join(ROOT, path)).mtimeMs);
  return Math.min(...times(compiled)) > Math.max(...times([...sources, ...SETTINGS]));
}

function filesIn(folder: string, extension: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(extension) && !path.endsWith(`.d${extension}`))
    .map((path) => join(folder, path));
}

/** Writes the list of stages, so that a new stage needs no edit of it. */
function listStages(): void {
  const names = filesIn("dsl/stages", ".ts")
    .map((path) => basename(path, ".ts"))
    .filter((name) => name !== "index")
    .sort();
  const exports = names.map((name) => `export { ${name} } from "./${name}.js";\n`).join("");
  const text = `/** Every stage. Written by \`npm run compile\` from the files of this folder. */\n${exports}`;
  const file = join(ROOT, "dsl", "stages", "index.ts");
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
}

function compile(): void {
  listStages();
  const [made, before] = [`${DIST}.${process.pid}`, `${DIST}.${process.pid}.before`];
  process.on("exit", () => {
    for (const left of [made, before]) rmSync(left, { recursive: true, force: true });
  });
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  node(tsc, "--project", join(ROOT, "tsconfig.build.json"), "--outDir", made);
  chmodSync(join(made, "generator", "cli.js"), 0o755);
  node(join(made, "generator", "python", "write_op.js"));
  if (existsSync(DIST)) renameSync(DIST, before);
  renameSync(made, DIST);
}

/** Runs a program of Node. If it fails, it has printed why. */
function node(...args: string[]): void {
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
