/** The command line as a user meets it: every command's output, messages and exit codes. */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { buildProject, compilerFor } from "../generator/commands/project.js";
import { COMPILER_VERSION, PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import {
  collectingIo,
  neoxEntry,
  neoxId,
  neoxSpace,
  normrope,
  setEnv,
  textsIn,
  useCompileCache,
} from "./cli_helpers.js";
import { readMarks, spaceOf, temporaryFolder, writeConfig } from "./helpers.js";

const cache = useCompileCache();
const ESCAPE = "\u001b[";
const generatedOf = (config: string) => join(dirname(config), "generated");
const buildOf = (config: string) => join(dirname(config), "build");
const PARTLY_REJECTED = spaceOf(`{ headDim: [16, 32], rotaryDim: [32], rope: ["neox"], dtype: ["bf16"] }`);

describe("help", () => {
  const options: Readonly<Record<string, readonly string[]>> = {
    init: ["config"],
    list: ["config", "json", "rejected"],
    explain: ["config", "json"],
    emit: ["config"],
    check: ["config"],
    build: ["arch", "config", "jobs", "json", "static", "target", "timeout"],
    add: ["config", "entry"],
    verify: ["config", "json", "target"],
    bench: [
      ...[
        "cache",
        "commit",
        "config",
        "heads",
        "json",
        "model",
        "out",
        "pdl",
        "replays",
        "target",
        "tokens",
        "tp",
      ],
    ],
    chart: ["geometry", "out", "peers"],
    report: ["bench", "config", "out", "target", "verify"],
    demo: ["config"],
    doctor: ["config", "json"],
  };

  it("lists the commands", async () => {
    const { code, out, err } = await normrope(["--help"]);
    const commands = [...out.matchAll(/^ {2}normrope (\w+)/gm)].map(([, name]) => name);
    expect([code, err, commands]).toEqual([0, "", Object.keys(options)]);
  });

  it.each(Object.entries(options))("of %s names its options", async (command, names) => {
    const { code, out, err } = await normrope([command, "--help"]);
    const found = [...out.matchAll(/^ {2}--([\w-]+) +\S/gm)].map(([, name]) => name).sort();
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`normrope ${command}`);
    expect(found).toEqual([...names, "help", "version"].sort());
  });

  it("has the version beside it", async () => {
    expect(await normrope(["--version"])).toEqual({ code: 0, out: COMPILER_VERSION, err: "" });
  });
});

describe("a command line that makes no sense ends with 2, and says why:", () => {
  it.each<[string, readonly string[], RegExp]>([
    ["no command", [], /Name a command/],
    ["an unknown command", ["biuld"], /Did you mean build\?/],
    ["a command that is like none", ["frobnicate"], /frobnicate/],
    ["an unknown option", ["list", "--jsn"], /Unknown argument: jsn\. Did you mean --json\?/],
    ["an unknown option with a value", ["build", "--taget", "cpu"], /taget\. Did you mean --target\?/],
    ["an option that is like none", ["list", "--frobnicate"], /frobnicate/],
    ["an unknown target", ["build", "--target", "tpu"], /"tpu".*"cuda".*"cpu"/],
    ["no kernel to explain", ["explain"], /./],
    ["no value to add", ["add", "headDim"], /./],
    ["--config without a file", ["list", "--config"], /config/],
    ["--jobs without a number", ["build", "--jobs"], /jobs/],
    ["--config twice", ["list", "--config", "a.ts", "--config", "b.ts"], /config/],
    ["--out without a file", ["report", "--out"], /out/],
    ["--bench twice", ["report", "--bench", "a.json", "--bench", "b.json"], /bench/],
    ["--target twice", ["build", "--target", "cpu", "--target", "cpu"], /target/],
    ["--arch twice", ["build", "--target", "cuda", "--arch", "sm_90", "--arch", "sm_100"], /arch/],
  ])("%s", async (_, [command, ...rest], message) => {
    const given = ["build", "explain", "add"].includes(command ?? "")
      ? ["--config", writeConfig(neoxSpace(16))]
      : [];
    const { code, out, err } = await normrope([
      ...(command === undefined ? [] : [command, ...given]),
      ...rest,
    ]);
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

describe("an input that cannot be used ends with 1, and says why:", () => {
  it.each<[string, readonly string[], RegExp]>([
    ["no jobs", ["build", "--jobs", "0"], /\[bad-option\]: --jobs is 0\n.*whole number from 1/],
    ["half a job", ["build", "--jobs", "1.5"], /\[bad-option\]: --jobs is 1\.5/],
    ["jobs in words", ["build", "--jobs", "two"], /\[bad-option\]: --jobs is NaN/],
    ["an architecture that is too old", ["build", "--arch", "sm_70"], /\[bad-option\]: --arch "sm_70"/],
    ["what is no architecture", ["build", "--arch", "banana"], /\[bad-option\]: --arch "banana"/],
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
      "a kernel like none",
      ["explain", "nothing"],
      /\[bad-option\][\s\S]*`normrope list` shows its 1 kernels/,
    ],
    ["an axis with a slip in it", ["add", "headdim", "32"], /\[unknown-axis\][\s\S]*did you mean headDim\?/],
    ["a value that is there", ["add", "headDim", "16"], /\[value-present\]/],
    ["an entry past the last", ["add", "headDim", "32", "--entry", "2"], /\[bad-option\]: --entry is 2/],
    ["an entry in words", ["add", "headDim", "32", "--entry", "two"], /\[bad-option\]: --entry/],
  ])("%s", async (_, args, message) => {
    const config = writeConfig(neoxSpace(16));
    const { code, out, err } = await normrope([...args, "--config", config]);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([1, ""]);
    expect(readFileSync(config, "utf8")).toBe(neoxSpace(16));
    expect(existsSync(buildOf(config))).toBe(false);
  });

  it.each(["list", "emit", "check", "build"])("a config with errors, to %s", async (command) => {
    const { text, places } = readMarks(
      spaceOf(`{\n  headDim: [16, ▸20],\n  rope: [▸"neo"],\n  dtype: ["bf16"],\n}`),
    );
    const config = writeConfig(text);
    const { code, out, err } = await normrope([command, "--config", config]);
    expect([code, out]).toEqual([1, ""]);
    expect(places).toHaveLength(2);
    for (const { line, column } of places) {
      expect(err).toContain(`${config}:${line}:${column}: error [value-not-in-axis]`);
    }
    expect(existsSync(generatedOf(config))).toBe(false);
  });

  it.each(["list", "emit", "check", "build", "demo"])(
    "a config that is not there, to %s",
    async (command) => {
      const config = join(temporaryFolder(), "normrope.config.ts");
      const { code, out, err } = await normrope([command, "--config", config]);
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain(`error [config-not-found]: there is no ${config}`);
      expect(err).toContain("normrope init");
    },
  );

  it.each<[string, string, (config: string) => string]>([
    ["emit", "generated", generatedOf],
    ["check", "generated", generatedOf],
    ["build", "build", buildOf],
  ])("to %s, a file in the place of %s/", async (command, _, folderOf) => {
    const config = writeConfig(neoxSpace(16));
    writeFileSync(folderOf(config), "mine\n");
    const target = command === "build" ? ["--target", "cpu"] : [];
    const { code, err } = await normrope([command, "--config", config, ...target]);
    expect(err).toContain(folderOf(config));
    expect(code).toBe(1);
    expect(readFileSync(folderOf(config), "utf8")).toBe("mine\n");
  });

  it("a file in the place of the cache", async () => {
    const config = writeConfig(neoxSpace(16));
    setEnv("NORMROPE_CACHE_DIR", config);
    const { code, err } = await normrope(["build", "--target", "cpu", "--config", config]);
    expect(err).toContain(config);
    expect(code).toBe(1);
  });

  it.each<[string, Record<string, string>, string, RegExp]>([
    ["no nvcc", { NORMROPE_NVCC: "none" }, "cuda", /\[no-compiler\].*nvcc[\s\S]*NORMROPE_NVCC/],
    [
      "an nvcc that does not run",
      { NORMROPE_NVCC: "no/such/nvcc" },
      "cuda",
      /\[no-compiler\].*no\/such\/nvcc/,
    ],
    ["no C++ compiler", { PATH: "", CXX: "" }, "cpu", /\[no-compiler\][\s\S]*g\+\+/],
  ])("%s", async (_, variables, target, message) => {
    for (const [name, value] of Object.entries(variables)) setEnv(name, value);
    const config = writeConfig(neoxSpace(16));
    const { code, out, err } = await normrope(["build", "--target", target, "--config", config]);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([1, ""]);
  });

  it.each(["verify", "report"])("nothing built, to %s", async (command) => {
    const config = writeConfig(neoxSpace(16));
    const { code, out, err } = await normrope([command, "--target", "cpu", "--config", config]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("error [library-not-found]");
    expect(err).toContain(join(buildOf(config), "cpu"));
    expect(err).toContain("normrope build");
  });
});

describe("list", () => {
  const config = () => writeConfig(spaceOf(`[${neoxEntry(32, 16)}, ${neoxEntry(64)}]`));

  it("shows a line for each kernel", async () => {
    const { code, out, err } = await normrope(["list", "--config", config()]);
    expect([code, err]).toEqual([0, ""]);
    expect(out.split("\n").map((line) => line.split(/ +/))).toEqual([
      ["kernel", "headDim", "rotaryDim", "rope", "dtype"],
      ...[16, 32, 64].map((dim) => [neoxId(dim), `${dim}`, `${dim}`, "neox", "bf16"]),
    ]);
  });

  it("--json has the id and every axis by name", async () => {
    const { code, out } = await normrope(["list", "--json", "--config", config()]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(
      [16, 32, 64].map((headDim) => ({
        id: neoxId(headDim),
        headDim,
        rotaryDim: headDim,
        rope: "neox",
        dtype: "bf16",
      })),
    );
  });

  it("--rejected shows what a rule forbids, and why", async () => {
    const run = (...args: string[]) =>
      normrope(["list", "--rejected", ...args, "--config", writeConfig(PARTLY_REJECTED)]);
    const { code, out } = await run();
    expect(code).toBe(0);
    expect(out.split("\n")[1]).toMatch(
      /^qk_norm_rope__bf16_d16_r32_neox +rotary_dim_within_head +a head of 16 elements has no 32 to rotate$/,
    );
    expect(out.split("\n")).toHaveLength(2);
    expect(JSON.parse((await run("--json")).out)).toEqual([
      {
        id: neoxId(16, 32),
        headDim: 16,
        rotaryDim: 32,
        rope: "neox",
        dtype: "bf16",
        rule: "rotary_dim_within_head",
        reason: "a head of 16 elements has no 32 to rotate",
        values: { headDim: 16, rotaryDim: 32 },
      },
    ]);
  });

  it("--rejected says so where nothing is", async () => {
    const [text, json] = await Promise.all([
      normrope(["list", "--rejected", "--config", config()]),
      normrope(["list", "--rejected", "--json", "--config", config()]),
    ]);
    expect(text).toEqual({ code: 0, out: "Nothing is rejected.", err: "" });
    expect(JSON.parse(json.out)).toEqual([]);
  });
});

describe("explain", () => {
  it("shows the point, the lanes, the launch and the bytes", async () => {
    const { code, out, err } = await normrope([
      "explain",
      neoxId(16),
      "--config",
      writeConfig(neoxSpace(16)),
    ]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^kernel +qk_norm_rope__bf16_d16_r16_neox$/m);
    expect(out).toMatch(/^point +headDim 16, rotaryDim 16, rope neox, dtype bf16$/m);
    expect(out).toMatch(/^vectors +4 elements, 8 bytes/m);
    expect(out).toMatch(/^lanes +2 a head with 1 slots each/m);
    expect(out).toMatch(/^launch +16 heads a warp at once, 128 threads a block$/m);
    expect(out).toMatch(/^bytes +64 a head/m);
    expect(out).toMatch(/^registers +not known before `normrope build --target cuda`$/m);
    expect(out).toContain("elem 8\nlane 0  1\npair b  b\n");
  });

  it("--json has the same as data", async () => {
    const { out } = await normrope(["explain", neoxId(16), "--json", "--config", writeConfig(neoxSpace(16))]);
    expect(JSON.parse(out)).toMatchObject({
      id: neoxId(16),
      point: { headDim: 16, rotaryDim: 16, rope: "neox", dtype: "bf16" },
      vectorElements: 4,
      slots: 2,
      lanesPerHead: 2,
      slotsPerLane: 1,
      headsPerWarp: 16,
      blockThreads: 128,
      bytesPerHead: 64,
      vectors: [
        { element: 0, lane: 0, slot: 0, rotates: "all" },
        { element: 4, lane: 1, slot: 1, rotates: "all" },
        { element: 8, lane: 0, slot: 0, rotates: "all" },
        { element: 12, lane: 1, slot: 1, rotates: "all" },
      ],
      resources: [],
    });
  });
});

describe("init", () => {
  it("writes a config that compiles", async () => {
    const config = join(temporaryFolder(), "mine.config.ts");
    const { code, out } = await normrope(["init", "--config", config]);
    expect(code).toBe(0);
    expect(out).toContain(config);
    const list = await normrope(["list", "--json", "--config", config]);
    expect(list.code).toBe(0);
    expect(JSON.parse(list.out)).toMatchObject([{ id: neoxId(128) }]);
    const added = await normrope(["add", "headDim", "96", "--config", config]);
    expect(added.code).toBe(0);
  });

  it("leaves a file that is there as it is", async () => {
    const config = writeConfig("// mine\n");
    const { code, out, err } = await normrope(["init", "--config", config]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("error [file-exists]");
    expect(err).toContain(config);
    expect(readFileSync(config, "utf8")).toBe("// mine\n");
  });

  it("says where it cannot write", async () => {
    const config = join(temporaryFolder(), "none", "normrope.config.ts");
    const { code, err } = await normrope(["init", "--config", config]);
    expect(code).toBe(1);
    expect(err).toContain(config);
  });
});

describe("emit and check", () => {
  const emitted = async () => {
    const config = writeConfig(neoxSpace(16));
    expect((await normrope(["emit", "--config", config])).code).toBe(0);
    return config;
  };

  it("agree, and a second emit writes nothing", async () => {
    const config = await emitted();
    const folder = generatedOf(config);
    const files = Object.keys(textsIn(folder));
    const check = await normrope(["check", "--config", config]);
    expect(check).toEqual({ code: 0, out: `${folder} is up to date: ${files.length} files`, err: "" });
    const inodes = () => files.map((path) => statSync(join(folder, path)).ino);
    const before = inodes();
    const again = await normrope(["emit", "--config", config]);
    expect(again).toEqual({ code: 0, out: `${folder} holds 1 kernels in ${files.length} files`, err: "" });
    expect(inodes()).toEqual(before);
  });

  it.each<[string, string, (path: string) => void, string]>([
    ["changed", "cpu/simd.hpp", (path) => appendFileSync(path, "// by hand\n"), "-// by hand"],
    ["missing", "include/normrope.h", (path) => rmSync(path), "+#define NORMROPE_ABI 1"],
    ["extra", "cuda/notes.txt", (path) => writeFileSync(path, "mine\n"), "-mine"],
    ["extra", `cuda/${neoxId(24)}.cu`, (path) => writeFileSync(path, "// old\n"), "-// old"],
  ])("fails with a diff where a file is %s: %s", async (kind, path, damage, line) => {
    const config = await emitted();
    damage(join(generatedOf(config), path));
    const texts = textsIn(generatedOf(config));
    const { code, out, err } = await normrope(["check", "--config", config]);
    expect(code).toBe(1);
    expect(out.split("\n")).toContain(line);
    expect(out).toContain(path);
    expect(err).toContain("error [stale-output]");
    expect(err).toContain(`${path} is ${kind}`);
    expect(textsIn(generatedOf(config))).toEqual(texts);
  });

  it("emit mends what check found, and leaves alone what is not normrope's", async () => {
    const config = await emitted();
    const folder = generatedOf(config);
    const texts = textsIn(folder);
    appendFileSync(join(folder, "cpu/simd.hpp"), "// by hand\n");
    rmSync(join(folder, "include/normrope.h"));
    writeFileSync(join(folder, `cuda/${neoxId(24)}.cu`), "// old\n");
    mkdirSync(join(folder, "mine"));
    writeFileSync(join(folder, "mine/notes.txt"), "mine\n");
    const { code, err } = await normrope(["emit", "--config", config]);
    expect(code).toBe(0);
    expect(err).toContain("2 files written, 1 removed");
    expect(err).toContain(join(folder, "mine/notes.txt"));
    expect(textsIn(folder)).toEqual({ ...texts, "mine/notes.txt": "mine\n" });
    expect((await normrope(["check", "--config", config])).err).toContain("mine/notes.txt is extra");
  });
});

describe("add", () => {
  it("makes kernels that list shows", async () => {
    const config = writeConfig(neoxSpace(16));
    const { code, out, err } = await normrope(["add", "headDim", "32", "24", "--config", config]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(config);
    expect(out.split("\n").filter((line) => line.startsWith("  "))).toEqual(
      [24, 32].map((dim) => `  ${neoxId(dim)}`),
    );
    expect(readFileSync(config, "utf8")).toBe(neoxSpace(16, 24, 32));
    const list = await normrope(["list", "--json", "--config", config]);
    expect(JSON.parse(list.out)).toMatchObject([16, 24, 32].map((dim) => ({ id: neoxId(dim) })));
  });

  it("--entry picks one of several that could take the value", async () => {
    const before = (dims: string) =>
      spaceOf(`[${neoxEntry(16)}, { headDim: [${dims}], rope: ["interleaved"], dtype: ["bf16"] }]`);
    const config = writeConfig(before("16"));
    const refused = await normrope(["add", "headDim", "32", "--config", config]);
    expect([refused.code, refused.out]).toEqual([1, ""]);
    expect(refused.err).toMatch(/\[entry-needed\].*1 \(line 2\), 2 \(line 2\)\n.*--entry N/);
    expect(readFileSync(config, "utf8")).toBe(before("16"));
    expect((await normrope(["add", "headDim", "32", "--entry", "2", "--config", config])).code).toBe(0);
    expect(readFileSync(config, "utf8")).toBe(before("16, 32"));
  });
});

describe("build and verify", () => {
  const build = (config: string, ...args: string[]) =>
    normrope(["build", "--target", "cpu", "--config", config, ...args]);
  const verify = (config: string, ...args: string[]) =>
    normrope(["verify", "--target", "cpu", "--config", config, ...args]);

  it("go through, as data", async () => {
    setEnv("NORMROPE_CACHE_DIR", temporaryFolder());
    const config = writeConfig(neoxSpace(16));
    const built = await build(config, "--json", "--jobs", "2");
    expect(built.code).toBe(0);
    const library = join(buildOf(config), "cpu", "libnormrope.so");
    const result: unknown = JSON.parse(built.out);
    expect(result).toEqual({ target: "cpu", library, compiled: [neoxId(16)], cached: [] });
    expect(existsSync(library)).toBe(true);
    expect(built.err).toContain(neoxId(16));
    expect((await normrope(["check", "--config", config])).code).toBe(0);

    const again = await build(config, "--json");
    expect(JSON.parse(again.out)).toEqual({ target: "cpu", library, compiled: [], cached: [neoxId(16)] });
    expect(again.err).toBe("");

    const verified = await verify(config, "--json");
    expect(verified.code).toBe(0);
    const number: unknown = expect.any(Number);
    const device: unknown = expect.stringMatching(/./);
    expect(JSON.parse(verified.out)).toEqual({
      target: "cpu",
      device,
      kernels: [{ id: neoxId(16), cases: number, maxError: number, relError: number, pass: true }],
    });
  });

  it("go through, as text", async () => {
    const config = writeConfig(neoxSpace(16));
    const built = await build(config);
    expect(built.code).toBe(0);
    expect(built.out).toContain(join(buildOf(config), "cpu", "libnormrope.so"));
    const verified = await verify(config);
    expect(verified.code).toBe(0);
    expect(verified.out).toMatch(/^qk_norm_rope__bf16_d16_r16_neox +[1-9]\d* +0\.\d+ +1\.\d+e-3 +passes$/m);
    expect(verified.out).toMatch(/^1 of 1 kernels pass/m);
  });

  it("verify ends with 1 where a kernel is wrong", async () => {
    const config = writeConfig(neoxSpace(16, 24));
    const path = `cpu/${neoxId(24)}.cpp`;
    const files = emit(compile(config));
    const wrong = files.map((file) =>
      file.path === path ? { path, text: file.text.replaceAll("args->eps", "(args->eps + 0.1f)") } : file,
    );
    expect(wrong).not.toEqual(files);
    await buildProject(config, wrong, await compilerFor("cpu", undefined), collectingIo().io);

    const asData = await verify(config, "--json");
    expect(asData.code).toBe(1);
    expect(JSON.parse(asData.out)).toMatchObject({
      kernels: [
        { id: neoxId(16), pass: true },
        { id: neoxId(24), pass: false },
      ],
    });
    const asText = await verify(config);
    expect(asText.code).toBe(1);
    expect(asText.out).toMatch(/^qk_norm_rope__bf16_d24_r24_neox .* FAILS/m);
    expect(asText.out).toMatch(/^1 of 2 kernels pass/m);
  });
});

describe("doctor", () => {
  it("says what is missing, and what to do", async () => {
    setEnv("NORMROPE_NVCC", "none");
    const { code, out, err } = await normrope(["doctor"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^nvcc +nothing +no build --target cuda: install .*NORMROPE_NVCC/m);
    expect(out).toMatch(/^C\+\+ compiler +\S+: .* build --target cpu/m);
    expect(out).toContain(cache);
  });

  it("--json has the same as data", async () => {
    setEnv("NORMROPE_NVCC", "none");
    const { code, out } = await normrope(["doctor", "--json"]);
    const text: unknown = expect.any(String);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(
      expect.arrayContaining([
        { what: "Node", found: process.version, allows: text },
        { what: "C++ compiler", found: text, allows: text },
        { what: "nvcc", found: null, allows: expect.stringContaining("NORMROPE_NVCC") },
        { what: "cache", found: cache, allows: text },
      ]),
    );
  });

  it("works where there is nothing at all", async () => {
    for (const [name, value] of Object.entries({ NORMROPE_NVCC: "none", PATH: "", CXX: "" })) {
      setEnv(name, value);
    }
    const { code, out } = await normrope(["doctor"]);
    expect(code).toBe(0);
    for (const what of ["C\\+\\+ compiler", "nvcc", "GPU"]) {
      expect(out).toMatch(new RegExp(`^${what} +nothing `, "m"));
    }
  });
});

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
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const command = ["--import", tsx, join(PACKAGE_ROOT, "generator", "cli.ts")];
  const { NO_COLOR: _, ...inherited } = process.env;
  const env = { ...inherited, FORCE_COLOR: "1" };
  const spawn = (cwd: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...command, ...args], {
      cwd,
      env,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };

  it("reads the config of its working folder, and prints without colours into a pipe", () => {
    const { status, stdout, stderr } = spawn(dirname(writeConfig(neoxSpace(16))), "list");
    expect([status, stderr]).toEqual([0, ""]);
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
    const line = `"$NODE" --import "$TSX" "$CLI" list --jsn 2>"$ERRORS"`;
    const variables = { NODE: process.execPath, TSX: tsx, CLI: command.at(-1), ERRORS: errors };
    const { status } = spawnSync("script", ["-qec", line, "/dev/null"], { env: { ...env, ...variables } });
    expect(status).toBe(2);
    expect(readFileSync(errors, "utf8")).toMatch(/^usage: Unknown argument: jsn/);
  });
});

it("a reader that stops reading is no error", () => {
  const config = writeConfig(neoxSpace(...Array.from({ length: 127 }, (_, i) => 16 + 8 * i)));
  const command = `"${process.execPath}" --import tsx generator/cli.ts list --json --config "${config}" | head -1`;
  const { stdout, stderr } = spawnSync("bash", ["-c", `set -o pipefail; ${command}`], {
    cwd: PACKAGE_ROOT,
    encoding: "utf8",
  });
  expect([stdout, stderr]).toEqual(["[\n", ""]);
});
