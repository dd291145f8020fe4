/** The commands that compile nothing: what they print, and their exit codes. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { sizeOf } from "../generator/commands/list.js";
import { COMPILER_VERSION } from "../generator/package_root.js";
import { neoxEntry, neoxId, neoxSpace, normrope, textsIn } from "./cli_helpers.js";
import { DEFAULTS, spaceOf, temporaryFolder, writeConfig } from "./helpers.js";

const generatedOf = (config: string) => join(dirname(config), "generated");
const PARTLY_REJECTED = spaceOf(`{ headDim: [16, 32], rotaryDim: [32], rope: ["neox"], dtype: ["bf16"] }`);

describe("help", () => {
  const options: Readonly<Record<string, readonly string[]>> = {
    init: ["config"],
    list: ["config", "json", "rejected"],
    explain: ["config", "json"],
    emit: ["config"],
    check: ["config"],
    build: ["arch", "config", "jobs", "json", "static", "target", "timeout"],
    add: ["config", "entry", "op"],
    import: [
      ...["config", "dry-run", "dtype", "json", "rope-theta", "rotary-dim", "tp", "op"],
      ...["rounding", "text-only"],
      ...["head", "norm", "weight", "weight-dtype", "bias", "norm-rounding"],
      ...["rope", "rotary-at", "angles", "position-axes", "rope-rounding", "value", "cache", "out"],
    ],
    verify: ["config", "json", "target"],
    bench: [
      ...[
        "commit",
        "config",
        "heads",
        "json",
        "memory",
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
    cache: ["arch", "days", "json", "target"],
    wheel: ["arch", "config", "json", "out", "target"],
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

  it("prints the version", async () => {
    expect(await normrope(["--version"])).toEqual({ code: 0, out: COMPILER_VERSION, err: "" });
  });
});

describe("list", () => {
  const config = () => writeConfig(spaceOf(`[${neoxEntry(32, 16)}, ${neoxEntry(64)}]`));

  it("shows a line for each kernel", async () => {
    const { code, out, err } = await normrope(["list", "--config", config()]);
    expect([code, err]).toEqual([0, sizeOf(3, availableParallelism()).join("\n")]);
    expect(out.split("\n").map((line) => line.split(/ +/))).toEqual([
      ["kernel", "headDim", "rotaryDim", "rope", "dtype"],
      ...[16, 32, 64].map((dim) => [neoxId(dim), `${dim}`, `${dim}`, "neox", "bf16"]),
    ]);
  });

  it("says how many there are and about how long they build, and warns of very many", () => {
    expect(sizeOf(1, 1)).toEqual([
      "1 kernel: about 1 s to build for CUDA, 1 s for the CPU (on 1 core, without what the cache holds)",
    ]);
    expect(sizeOf(100, 2)).toHaveLength(1);
    expect(sizeOf(243, 2)).toEqual([
      "243 kernels: about 3 minutes to build for CUDA, 19 s for the CPU (on 2 cores, without what the cache holds)",
      expect.stringMatching(/^warning: /),
    ]);
  });

  it("--json has the id and every axis by name", async () => {
    const { code, out } = await normrope(["list", "--json", "--config", config()]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(
      [16, 32, 64].map((headDim) => ({
        id: neoxId(headDim),
        op: "qk_norm_rope",
        headDim,
        rotaryDim: headDim,
        rope: "neox",
        dtype: "bf16",
        ...DEFAULTS,
      })),
    );
  });

  it("--rejected shows what a rule forbids, and why", async () => {
    const run = (...args: string[]) =>
      normrope(["list", "--rejected", ...args, "--config", writeConfig(PARTLY_REJECTED)]);
    const { code, out } = await run();
    expect(code).toBe(0);
    expect(out.split("\n")[1]).toMatch(
      /^qk_norm_rope__bf16_d16_r32_neox +rotaryDim_within_headDim +rotaryDim 32 is more than headDim 16$/,
    );
    expect(out.split("\n")).toHaveLength(2);
    expect(JSON.parse((await run("--json")).out)).toEqual([
      {
        id: neoxId(16, 32),
        op: "qk_norm_rope",
        headDim: 16,
        rotaryDim: 32,
        rope: "neox",
        dtype: "bf16",
        ...DEFAULTS,
        rule: "rotaryDim_within_headDim",
        reason: "rotaryDim 32 is more than headDim 16",
        values: { headDim: 16, rotaryDim: 32 },
      },
    ]);
  });

  it("--rejected says so if nothing is rejected", async () => {
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
    expect(out).toMatch(/^lanes +2 a head with 1 fragment each/m);
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
      fragments: 2,
      lanesPerHead: 2,
      fragmentsPerLane: 1,
      headsPerWarp: 16,
      blockThreads: 128,
      bytesPerHead: { q: 64, k: 64 },
      vectors: [
        { element: 0, lane: 0, fragment: 0, rotates: "all" },
        { element: 4, lane: 1, fragment: 1, rotates: "all" },
        { element: 8, lane: 0, fragment: 0, rotates: "all" },
        { element: 12, lane: 1, fragment: 1, rotates: "all" },
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
    expect(again).toEqual({ code: 0, out: `${folder} holds 1 kernel in ${files.length} files`, err: "" });
    expect(inodes()).toEqual(before);
  });

  it.each<[string, string, (path: string) => void, string]>([
    ["changed", "cpu/simd.hpp", (path) => appendFileSync(path, "// by hand\n"), "-// by hand"],
    ["missing", "include/normrope.h", (path) => rmSync(path), "+#define NORMROPE_ABI 2"],
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
