/** Command lines that make no sense or cannot be followed: exit code, the words, and that no file was touched. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { normrope, type Run, setEnv } from "../cli_helpers.js";
import { type Project, project } from "./project.js";
import { filesIn, leaving } from "./unchanged.js";

type Case = readonly [what: string, args: readonly string[], message: RegExp];

/** Runs a command on a project, and proves that it left everything there as it was. */
function run({ folder, config }: Project, args: readonly string[]): Promise<Run> {
  const [command, ...rest] = args;
  const takesConfig = command !== undefined && !args.includes("--config") && command !== "chart";
  const given = takesConfig ? ["--config", config] : [];
  return leaving(filesIn(folder), () => normrope(command === undefined ? [] : [command, ...given, ...rest]));
}

describe("a command line that makes no sense ends with 2, and says why:", () => {
  it.each<Case>([
    ["no command", [], /Name a command/],
    ["an unknown command", ["biuld"], /Unknown command: biuld\. Did you mean build\?/],
    ["a command that is like none", ["frobnicate"], /Unknown command: frobnicate\n/],
    ["a command with a line break in it", ["list\n\u001b[31m"], /"list\\n\\u001b\[31m"/],
    ["a command of the prototype chain", ["toString"], /Unknown command: toString\n/],
    ["a second command", ["list", "buld"], /Unknown word: buld\. Did you mean build\?/],
    ["a target without --target", ["build", "cpu"], /Unknown word: cpu\n/],
    ["a word too many", ["explain", "a", "b"], /Unknown word: b\n/],
    ["an unknown option", ["list", "--jsn"], /Unknown option: --jsn\. Did you mean --json\?/],
    ["an unknown option with a value", ["build", "--taget", "cpu"], /--taget\. Did you mean --target\?/],
    [
      "an unknown option with = and a value",
      ["build", "--taget=cpu"],
      /--taget=cpu\. Did you mean --target\?/,
    ],
    ["an option that is like none", ["list", "--frobnicate"], /Unknown option: --frobnicate\n/],
    ["an option of one letter", ["list", "-x"], /Unknown option: -x\n/],
    ["an option of another command", ["explain", "x", "--entry", "y"], /explain has no option --entry/],
    ["an option with a dot", ["list", "--config.x", "y"], /Unknown option: --config\.x/],
    ["an unknown target", ["build", "--target", "tpu"], /"tpu".*"cuda".*"cpu"/],
    ["a target in capitals", ["build", "--target", "CPU"], /"CPU".*"cpu"/],
    ["no target behind --target", ["build", "--target", ""], /Given: ""/],
    ["no kernel to explain", ["explain"], /explain needs <kernel>, as in `normrope explain qk_norm_rope__/],
    ["no axis to add to", ["add"], /add needs <axis>, as in `normrope add headDim 96`/],
    ["no value to add", ["add", "headDim"], /add needs <values>, as in `normrope add headDim 96`/],
    ["no record to chart", ["chart"], /chart needs <record>, as in `normrope chart build\/cpu\/bench\.json`/],
    ["no model to import", ["import"], /import needs <model>, as in `normrope import .*config\.json`/],
    ["--config without a file", ["list", "--config"], /config/],
    ["--jobs without a number", ["build", "--jobs"], /jobs/],
    ["--config twice", ["list", "--config", "a.ts", "--config", "b.ts"], /--config is given more than once/],
    ["--out without a file", ["report", "--out"], /out/],
    ["--bench twice", ["report", "--bench", "a.json", "--bench", "b.json"], /--bench is given more than/],
    ["--target twice", ["build", "--target", "cpu", "--target", "cpu"], /--target is given more than once/],
    ["--arch twice", ["build", "--arch", "sm_90", "--arch", "sm_100"], /--arch is given more than once/],
    ["--jobs twice", ["build", "--jobs", "1", "--jobs", "2"], /--jobs is given more than once/],
    [
      "--no before an option with a value",
      ["build", "--no-arch"],
      /--no-arch says nothing: leave --arch out/,
    ],
    ["--no-config", ["list", "--no-config", "--config", "x"], /--config is given more than once|--no-config/],
    ["a value for a flag", ["list", "--json=maybe"], /--json=maybe: it takes no value/],
    ["a number for a flag", ["list", "--rejected=1"], /--rejected=1: it takes no value/],
    ["heads and a model", ["bench", "--model", "qwen3-8b", "--heads", "1/1/1"], /mutually exclusive/],
  ])("%s", async (_, args, message) => {
    const { code, out, err } = await run(project(), args);
    expect(err).toMatch(message);
    expect(err).toContain("`normrope --help`");
    expect([code, out]).toEqual([2, ""]);
  });

  it("in whatever language the machine speaks", async () => {
    setEnv("LC_ALL", "de_DE.UTF-8");
    const { code, err } = await normrope(["list", "--jsn"]);
    expect(code).toBe(2);
    expect(err).toContain("Did you mean --json?");
  });
});

const NUMBERS = [
  "0",
  "-1",
  "1.5",
  "1e1",
  "0x1",
  " 1",
  "",
  "two",
  "NaN",
  "Infinity",
  "9007199254740993",
  "1\n2",
];
/** In words of the command line, which has no `path`. */
const NOTHING_BUILT =
  /\[nothing-built\]: there is no .*cuda\/libnormrope\.so\n {2}fix: run `normrope build --target cuda --config \S+`, .*--config FILE$/;
const quote = (text: string) => JSON.stringify(text);

describe("an option that cannot be followed ends with 1, and says why:", () => {
  const numeric = (name: string, command: readonly string[], range: string) =>
    NUMBERS.map((value): Case => {
      const message = `[bad-option]: --${name} is ${quote(value)}\n  fix: write a whole number from ${range}`;
      return [`--${name} ${quote(value)}`, [...command, `--${name}`, value], RegExp(literally(message))];
    });
  it.each<Case>([
    ...numeric("jobs", ["build", "--target", "cpu"], "1 to 1024"),
    ...numeric("entry", ["add", "headDim", "32"], "1 to 2147483647"),
    ...numeric("replays", ["bench", "--target", "cpu"], "7 to 1000"),
    [
      "an architecture of a wheel for the CPU",
      ["wheel", "--target", "cpu", "--arch", "sm_90"],
      /\[bad-option\]: --arch is sm_90, and the target is cpu\n {2}fix: add --target cuda/,
    ],
    [
      "a wheel's folder that is a file",
      ["wheel", "--target", "cpu", "--out", "/dev/null"],
      /\[bad-option\]: --out \/dev\/null is no folder/,
    ],
    ["more compilers than machines run", ["build", "--jobs", "1025"], /--jobs is "1025"/],
    ["few replays", ["bench", "--replays", "3"], /--replays is "3"[\s\S]*from 7/],
    ["many replays", ["bench", "--replays", "1001"], /--replays is "1001"/],
    ["an architecture that is too old", ["build", "--arch", "sm_70"], /\[bad-option\]: --arch "sm_70"/],
    ["what is no architecture", ["build", "--arch", "banana"], /\[bad-option\]: --arch "banana"/],
    [
      "an architecture with a line break",
      ["build", "--arch", "sm_9\n0"],
      /\[bad-option\]: --arch "sm_9\\n0"/,
    ],
    ["no architecture", ["build", "--arch", ""], /\[bad-option\]: --arch ""/],
    ["two architectures, of which one is none", ["build", "--arch", "sm_90,"], /\[bad-option\]: --arch ""/],
    [
      "an architecture for the CPU",
      ["build", "--target", "cpu", "--arch", "sm_90"],
      /\[bad-option\]: --arch/,
    ],
    [
      "a misspelt kernel",
      ["explain", "qk_norm_rope__bf16_d16_r16_nexo"],
      /\[bad-option\][\s\S]*did you mean qk_norm_rope__bf16_d16_r16_neox\?/,
    ],
    [
      "a kernel that one value would add",
      ["explain", "qk_norm_rope__bf16_d96_r96_neox"],
      /no kernel "qk_norm_rope__bf16_d96_r96_neox"\n {2}fix: Run `normrope add headDim 96 --config \S+`/,
    ],
    [
      "a kernel that an entry would add",
      ["explain", "qk_norm_rope__f16_d96_r64_neox"],
      /fix: Add the entry \{ headDim: \[96\], rotaryDim: \[64\], rope: \["neox"\], dtype: \["f16"\] \}/,
    ],
    [
      "a kernel that there cannot be",
      ["explain", "qk_norm_rope__bf16_d100_r100_neox"],
      /fix: None can be made: headDim is 100, and must be a multiple of 8/,
    ],
    [
      "a kernel like none",
      ["explain", "nothing"],
      /\[bad-option\][\s\S]*`normrope list` shows its 1 kernel\b/,
    ],
    ["a kernel without a name", ["explain", ""], /no kernel ""/],
    ["a kernel of many letters", ["explain", "x".repeat(10_000)], /no kernel "x{200}"… of 10000 characters/],
    ["a kernel with control characters", ["explain", "a\n\u001b[31m\u202e"], /"a\\n\\u001b\[31m\\u\{202e\}"/],
    ["an axis with a slip in it", ["add", "headdim", "32"], /\[unknown-axis\][\s\S]*did you mean headDim\?/],
    ["an axis with a line break in it", ["add", "head\nDim", "32"], /\[unknown-axis\].*"head\\nDim"/],
    ["a value that is there", ["add", "headDim", "16"], /\[value-present\]/],
    ["no value", ["add", "headDim", ""], /\[value-not-in-axis\]: "" is no value/],
    ["a negative value", ["add", "headDim", "-32"], /\[value-not-in-axis\]: "-32" is no value/],
    ["a value in exponents", ["add", "headDim", "3.2e1"], /\[value-not-in-axis\]: "3\.2e1" is no value/],
    ["an entry past the last", ["add", "headDim", "32", "--entry", "2"], /\[bad-option\]: --entry is 2/],
    ["nothing built, to verify", ["verify", "--target", "cuda"], NOTHING_BUILT],
    ["nothing built, to report", ["report", "--target", "cuda"], NOTHING_BUILT],
    ["nothing built, to bench", ["bench", "--target", "cuda"], NOTHING_BUILT],
    ["what is no library, to verify", ["verify", "--target", "cpu"], /\[library-invalid\].*manifest\.json/],
  ])("%s", async (_, args, message) => {
    const { code, out, err } = await run(project(), args);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([1, ""]);
  });
});

describe("a machine that lacks what a command needs:", () => {
  it.each<[string, Record<string, string>, string, RegExp]>([
    ["no nvcc", { NORMROPE_NVCC: "none" }, "cuda", /\[no-compiler\].*nvcc[\s\S]*NORMROPE_NVCC/],
    ["an nvcc that does not run", { NORMROPE_NVCC: "no/nvcc" }, "cuda", /\[no-compiler\].*no\/nvcc/],
    ["a CXX that does not run", { CXX: "no/such/g++" }, "cpu", /\[no-compiler\].*no\/such\/g\+\+/],
    ["no C++ compiler", { PATH: "", CXX: "" }, "cpu", /\[no-compiler\][\s\S]*g\+\+/],
  ])("%s", async (_, variables, target, message) => {
    for (const [name, value] of Object.entries(variables)) setEnv(name, value);
    const { code, out, err } = await run(project(), ["build", "--target", target]);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([1, ""]);
  });

  it("a file in the place of the cache", async () => {
    const made = project();
    setEnv("NORMROPE_CACHE_DIR", join(made.folder, "build/cpu/manifest.json"));
    const before = filesIn(join(made.folder, "build"));
    const { code, err } = await leaving(before, () =>
      normrope(["build", "--target", "cpu", "--config", made.config]),
    );
    expect(err).toMatch(/error \[cache-unusable\]: .*build\/cpu\/manifest\.json .*no folder/);
    expect(code).toBe(1);
  });
});

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
