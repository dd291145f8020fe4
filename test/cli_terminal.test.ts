/** The command in a terminal, a pipe and a file: colours, working folder, streams. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { neoxSpace, normrope, textsIn } from "./cli_helpers.js";
import { DIST } from "./cli_process.js";
import { temporaryFolder, writeConfig } from "./helpers.js";

const CLI = join(DIST, "generator", "cli.js");
const ESCAPE = "\u001b[";

describe("colours", () => {
  it.each<[string, (config: string) => readonly string[]]>([
    ["a table", (config) => ["list", "--config", config]],
    ["a usage error", () => ["list", "--jsn"]],
    ["an error in the config", (config) => ["add", "headDim", "16", "--config", config]],
    ["an error of the runtime", (config) => ["verify", "--target", "cpu", "--config", config]],
  ])("are in %s where they are on, and only there", async (_, argsFor) => {
    const args = argsFor(writeConfig(neoxSpace(16)));
    const [plain, coloured] = [await normrope(args), await normrope(args, true)];
    expect(plain.out + plain.err).not.toContain(ESCAPE);
    expect(coloured.out + coloured.err).toContain(ESCAPE);
    expect(coloured.code).toBe(plain.code);
  });
});

describe("the command itself", () => {
  const { NO_COLOR: _, ...inherited } = process.env;
  const env = { ...inherited, FORCE_COLOR: "1" };
  const spawn = (cwd: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
      cwd,
      env,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };

  it("reads the config of its working folder, and prints without colours into a pipe", () => {
    const { status, stdout, stderr } = spawn(dirname(writeConfig(neoxSpace(16))), "list");
    expect([status, stderr]).toEqual([0, expect.stringMatching(/^1 kernel: .*\n$/)]);
    expect(stdout).toMatch(/^kernel .*\nqk_norm_rope__bf16_d16_r16_neox .*\n$/);
    expect(stdout).not.toContain(ESCAPE);
  });

  it("leaves everything as it is for a config with errors", async () => {
    const config = writeConfig(neoxSpace(16));
    expect((await normrope(["emit", "--config", config])).code).toBe(0);
    writeFileSync(config, neoxSpace(16, 20));
    const texts = textsIn(dirname(config));
    const { status, stdout, stderr } = spawn(dirname(config), "build", "--target", "cpu");
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^normrope\.config\.ts:2:\d+: error \[value-not-in-axis\]: 20 .*\n {2}fix: /);
    expect(stderr).not.toContain(ESCAPE);
    expect(textsIn(dirname(config))).toEqual(texts);
  });

  const hasScript = spawnSync("script", ["--version"]).status === 0;
  it.skipIf(!hasScript)("colours no errors that go to a file (needs `script`, to have a terminal)", () => {
    const errors = join(temporaryFolder(), "errors.txt");
    const line = `"$NODE" "$CLI" list --jsn 2>"$ERRORS"`;
    const variables = { NODE: process.execPath, CLI, ERRORS: errors };
    const { status } = spawnSync("script", ["-qec", line, "/dev/null"], { env: { ...env, ...variables } });
    expect(status).toBe(2);
    expect(readFileSync(errors, "utf8")).toMatch(/^usage: Unknown option: --jsn/);
  });
});

it("a reader that stops reading is no error", () => {
  const config = writeConfig(neoxSpace(...Array.from({ length: 127 }, (_, i) => 16 + 8 * i)));
  const command = `"${process.execPath}" "${CLI}" list --json --config "${config}" | head -1`;
  const { stdout, stderr } = spawnSync("bash", ["-c", `set -o pipefail; ${command}`], {
    encoding: "utf8",
  });
  expect([stdout, stderr]).toEqual(["[\n", ""]);
});
