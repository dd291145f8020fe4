/**
 * `npm run test:mutants`: applies each mutant to a copy of the sources, and runs the quick tests on it.
 *
 * In: the working tree; names of mutants, or parts of them, to run only those. Out: what killed each, and how many
 * survived; exit status 1 where one did. The first test file to run is the one that is said to find the fault; where it
 * does not, the others follow. `generated/` is emitted anew for each mutant: that it differs kills none.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { PACKAGE_ROOT } from "../../generator/package_root.js";
import { MUTANTS } from "./index.js";
import type { Mutant } from "./mutant.js";

/**
 * Tests of commands, pages and whole processes: what they cover the others cover closer by. And the one that would find
 * every mutant, because its text is not where it was.
 */
const LEFT_OUT = [
  "mutants",
  "docs",
  "package",
  "examples",
  "demo",
  "report",
  "report_page",
  "chart",
  "cli",
  "cli_build",
  "cli_cache",
  "cli_terminal",
  "edit",
  "edit_refused",
  "bench_commands",
  "building_under_fire",
  "cache_under_fire",
  "file_systems_under_fire",
  "kill",
  "python",
  "python_agrees",
  "wheel",
];

const RUN_TIMEOUT_MS = 900_000;
const folder = mkdtempSync(join(tmpdir(), "normrope-mutants-"));
const cache = join(folder, "node_modules", ".cache", "normrope-test", "cache");

/** The files of git, and those that it does not ignore, with the packages linked. */
async function copySources(): Promise<void> {
  const { stdout } = await execa("git", ["ls-files", "-coz", "--exclude-standard"], { cwd: PACKAGE_ROOT });
  for (const path of stdout.split("\0").filter((name) => name !== "")) {
    cpSync(join(PACKAGE_ROOT, path), join(folder, path), { recursive: true });
  }
  mkdirSync(join(folder, "node_modules"));
  for (const name of readdirSync(join(PACKAGE_ROOT, "node_modules"))) {
    if (name !== ".cache")
      symlinkSync(join(PACKAGE_ROOT, "node_modules", name), join(folder, "node_modules", name));
  }
  // Tests of the sources ask git which there are.
  await execa("git", ["init", "--quiet"], { cwd: folder });
  await execa("git", ["add", "--all"], { cwd: folder });
}

interface Outcome {
  readonly passed: boolean;
  /** The first test that failed. */
  readonly by: string;
}

async function emit(): Promise<Outcome> {
  const command = ["--import", "tsx", "generator/cli.ts", "emit"];
  const { exitCode, stderr } = await execa("node", command, { cwd: folder, reject: false });
  return { passed: exitCode === 0, by: `emit: ${stderr.split("\n")[0]}` };
}

async function runTests(args: readonly string[]): Promise<Outcome> {
  const report = join(folder, "node_modules", "report.json");
  rmSync(report, { force: true });
  const reporters = ["--reporter=json", `--outputFile=${report}`, "--bail=1"];
  const vitest = join("node_modules", "vitest", "vitest.mjs");
  const { exitCode, timedOut } = await execa("node", [vitest, "run", ...args, ...reporters], {
    ...{ cwd: folder, reject: false, timeout: RUN_TIMEOUT_MS },
  });
  if (exitCode === 0) return { passed: true, by: "" };
  if (timedOut) return { passed: false, by: `${args[0]}: time ran out` };
  return {
    passed: false,
    by: firstFailure(report) ?? `${args[0]}: the test process died`,
  };
}

function firstFailure(report: string): string | undefined {
  try {
    const { testResults } = JSON.parse(readFileSync(report, "utf8")) as {
      testResults: {
        name: string;
        message: string;
        assertionResults: { status: string; fullName: string }[];
      }[];
    };
    for (const { name, message, assertionResults } of testResults) {
      const failed = assertionResults.find(({ status }) => status === "failed");
      const file = name.slice(folder.length + 1);
      if (failed !== undefined) return `${file}: ${failed.fullName}`;
      if (message !== "") return `${file}: ${message.split("\n")[0]}`;
    }
  } catch {
    // The process died before it wrote the report.
  }
  return undefined;
}

const quick = readdirSync(join(PACKAGE_ROOT, "test"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".test.ts") && !LEFT_OUT.includes(path.replace(/\.test\.ts$/, "")))
  .map((path) => `test/${path}`);

async function outcomeOf({ killedBy }: Mutant): Promise<Outcome> {
  const emitted = await emit();
  if (!emitted.passed) return emitted;
  const first = await runTests([killedBy]);
  return first.passed ? runTests(quick.filter((path) => path !== killedBy)) : first;
}

async function runMutant(mutant: Mutant): Promise<boolean> {
  const path = join(folder, mutant.file);
  const original = readFileSync(path, "utf8");
  if (original.split(mutant.find).length !== 2)
    throw new Error(`${mutant.name}: ${mutant.file} does not hold its text once`);
  const start = performance.now();
  try {
    writeFileSync(
      path,
      original.replace(mutant.find, () => mutant.replace),
    );
    const { passed, by } = await outcomeOf(mutant);
    const isAsSaid = by.startsWith(mutant.killedBy);
    const verdict = passed ? "SURVIVED" : isAsSaid ? "killed" : "killed elsewhere";
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    console.log(
      `${verdict.padEnd(16)} ${seconds.padStart(4)} s  ${mutant.fault}: ${mutant.name}\n                         ${by}`,
    );
    return !passed;
  } finally {
    writeFileSync(path, original);
    // A fault of the cache may have filled it with what does not belong there.
    if (/^generator\/(build|cache|jit)\//.test(mutant.file)) rmSync(cache, { recursive: true, force: true });
  }
}

try {
  const wanted = process.argv.slice(2);
  const chosen = MUTANTS.filter(
    ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
  );
  await copySources();
  console.log(`${chosen.length} mutants; first the quick tests without any`);
  // A test that fails anyway kills nothing.
  const named = [...new Set(chosen.map(({ killedBy }) => killedBy))];
  const clean = await runTests(wanted.length > 0 ? named : [...new Set([...quick, ...named])]);
  if (!clean.passed) throw new Error(`the tests fail without a mutant: ${clean.by}`);
  let killed = 0;
  for (const mutant of chosen) killed += Number(await runMutant(mutant));
  console.log(`${killed} of ${chosen.length} mutants killed`);
  if (killed < chosen.length) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
