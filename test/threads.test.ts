/** How the CPU target gives work to threads: all of it, once, in calls that meet, after a fork, and in no more than it may. */
import { join } from "node:path";
import { execa } from "execa";
import { expect, it } from "vitest";
import { findCxx } from "../generator/build/toolchain.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { needed } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

const CPU = join(PACKAGE_ROOT, "templates", "cpu");

async function build(...flags: string[]): Promise<string> {
  const program = join(temporaryFolder(), "threads");
  const sources = [join(PACKAGE_ROOT, "test", "threads.cpp"), join(CPU, "threads.cpp")];
  const args = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", CPU, ...flags];
  await execa(needed(await findCxx()).path, [...args, ...sources, "-o", program]);
  return program;
}

it("concurrent calls work on every element once, without a race", async ({ skip }) => {
  const program = await build("-fsanitize=thread");
  const env = { TSAN_OPTIONS: "halt_on_error=1" };
  const { exitCode, stderr } = await execa(program, ["calls"], { env, reject: false });
  skip(stderr.includes("unexpected memory mapping"), "this kernel lays memory out as ThreadSanitizer cannot");
  expect(stderr).toBe("");
  expect(exitCode).toBe(0);
});

it("a forked child works, with as many threads as it may use", async () => {
  const program = await build();
  const threads = async (OMP_NUM_THREADS: string, how = "threads") =>
    Number((await execa(program, [how], { env: { OMP_NUM_THREADS } })).stdout);
  // The CPUs that this process may use, without the quota of a container, which Node counts too.
  const most = Number((await execa("nproc", { env: { OMP_NUM_THREADS: "" } })).stdout);
  expect(await threads("", "fork")).toBe(most);
  expect(await threads("")).toBe(most);
  expect(await threads("1")).toBe(1);
  expect(await threads(`${most + 5}`)).toBe(most);
});
