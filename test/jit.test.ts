/** Compiling on first use: one library a point in the cache, made once, found by every later process, from real compilers. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { provideLibrary } from "../generator/jit.js";
import { load } from "../generator/load/index.js";
import { OP_FILE, readShippedOp } from "../generator/op_file.js";
import { loadLibrary } from "../runtime/library.js";
import { open } from "../runtime/open.js";
import { verifyLibrary } from "../runtime/verify.js";
import { neoxId, normrope, setEnv } from "./cli_helpers.js";
import { compiledPackage, compilerThat, soon } from "./cli_process.js";
import { CONFIGS, nvcc } from "./fixture.js";
import { opConfig, temporaryFolder, writeConfig } from "./helpers.js";

const dist = compiledPackage();

/** What a process says of a kernel that it opened and ran: the outputs' bits, or the error. */
interface Said {
  readonly id?: string;
  readonly bits?: string;
  readonly code?: string;
  readonly message?: string;
}

/** Opens with `jit` in an empty folder, runs a kernel of one head_dim on ones, and says what came of it. */
const PROGRAM = `
  const { open, ropeTable } = await import(${JSON.stringify(join(dist, "runtime", "index.js"))});
  const [headDim, target, options] = JSON.parse(process.argv[1]);
  const said = {};
  try {
    const library = await open({ jit: true, target, ...options });
    const kernel = await library.kernel({ headDim, rope: "neox", dtype: "bf16" });
    said.id = kernel.id;
    if (library.devices.length > 0) {
      const ones = () => library.upload("bf16", new Uint16Array(2 * headDim).fill(0x3f80));
      const [heads, weight] = [ones(), ones()];
      const positions = library.upload("int32", Int32Array.of(1, 1000));
      const rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: headDim }));
      const q = { buffer: heads, tokenStride: headDim, numHeads: 1, weight };
      kernel.run({ q, numTokens: 2, positions, rope, eps: 1e-6 });
      library.synchronize();
      said.bits = Buffer.from(heads.read(new Uint16Array(2 * headDim)).buffer).toString("hex");
    }
  } catch (error) {
    Object.assign(said, { code: error.code ?? error.name, message: error.message });
  }
  console.log(JSON.stringify(said));
`;

interface Use {
  readonly headDim?: number;
  readonly target?: "cpu" | "cuda";
  readonly options?: object;
  readonly cwd?: string;
}

function start(
  cache: string,
  env: NodeJS.ProcessEnv,
  { headDim = 16, target = "cpu", options = {}, cwd }: Use = {},
) {
  const args = ["--input-type=module", "--eval", PROGRAM, JSON.stringify([headDim, target, options])];
  return spawn(process.execPath, args, {
    cwd: cwd ?? temporaryFolder(),
    env: { ...process.env, NORMROPE_CACHE_DIR: cache, ...env },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
}

async function use(cache: string, env: NodeJS.ProcessEnv = {}, how: Use = {}): Promise<Said> {
  const child = start(cache, env, how);
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

const shelf = (cache: string, id: string) => join(cache, "jit", id);
const entriesOf = (cache: string, id: string) =>
  existsSync(shelf(cache, id)) ? readdirSync(shelf(cache, id)).map((key) => join(shelf(cache, id), key)) : [];
const staged = (cache: string) => readdirSync(join(cache, "staging"));

/** A compiler that notes each of its runs but those that ask for its version. */
function countingCompiler() {
  const log = join(temporaryFolder(), "runs");
  const path = compilerThat(["--version", ":"], ["*", `echo run >>'${log}'`]);
  return { path, runs: () => (existsSync(log) ? readFileSync(log, "utf8").split("\n").length - 1 : 0) };
}

describe("a point that no library holds", () => {
  it("is compiled once, exactly that one, and found by every later process", async () => {
    const cache = temporaryFolder();
    const { path: CXX, runs } = countingCompiler();
    const first = await use(cache, { CXX });
    expect(first).toMatchObject({ id: neoxId(16) });
    const made = runs();
    expect(made).toBeGreaterThan(0);
    expect(readdirSync(join(cache, "jit")).sort()).toEqual(["none", neoxId(16)]);
    expect(await use(cache, { CXX })).toEqual(first);
    expect(runs()).toBe(made);
    expect(staged(cache)).toEqual([]);

    const [entry = ""] = entriesOf(cache, neoxId(16));
    using library = await open({ path: join(entry, "libnormrope.so") });
    expect(library.manifest.kernels.map(({ id }) => id)).toEqual([neoxId(16)]);
    expect((await verifyLibrary(library)).map(({ id, pass }) => [id, pass])).toEqual([[neoxId(16), true]]);
  });

  it("is compiled anew by another version of the compiler", async () => {
    const cache = temporaryFolder();
    const version = join(temporaryFolder(), "version");
    const CXX = compilerThat(["--version", `exec cat '${version}'`]);
    for (const text of ["1.0", "2.0", "1.0"]) {
      writeFileSync(version, text);
      await use(cache, { CXX });
    }
    expect(entriesOf(cache, neoxId(16))).toHaveLength(2);
  });

  it("is asked for by 8 processes at once, and all have it", async () => {
    const cache = temporaryFolder();
    const all = await Promise.all(Array.from({ length: 8 }, () => use(cache)));
    const [first] = all;
    expect(first?.id).toBe(neoxId(16));
    expect(all).toEqual(all.map(() => first));
    expect(entriesOf(cache, neoxId(16))).toHaveLength(1);
    expect(staged(cache)).toEqual([]);
  });

  it("is made by the next process where the first was killed", async () => {
    const cache = temporaryFolder();
    const marker = join(temporaryFolder(), "compiling");
    const CXX = compilerThat(["--version", "exec echo 1.0"], ["*neox.cpp*", `touch '${marker}'; sleep 60`]);
    const child = start(cache, { CXX });
    expect(await soon(() => existsSync(marker))).toBe(true);
    process.kill(-(child.pid ?? 0), "SIGKILL");
    expect(await use(cache)).toMatchObject({ id: neoxId(16) });
  });

  it("is made anew where what was made is damaged", async () => {
    const cache = temporaryFolder();
    const first = await use(cache);
    for (const file of ["libnormrope.so", "manifest.json", "seal.json"]) {
      const [entry = ""] = entriesOf(cache, neoxId(16));
      truncateSync(join(entry, file), 100);
      expect(await use(cache)).toEqual(first);
    }
  });

  it("is not published where it cannot be loaded", async () => {
    const cache = temporaryFolder();
    const link = 'for last do :; done; while [ "$1" != -o ]; do shift; done; exec echo no library >"$2"';
    const CXX = compilerThat(["*-shared*", link]);
    expect(await use(cache, { CXX })).toMatchObject({ code: "library-invalid" });
    expect(entriesOf(cache, "none")).toEqual([]);
    expect(staged(cache)).toEqual([]);
  });

  it("is the compiler's error where it does not compile, and compiled where it is asked for again", async () => {
    const cache = temporaryFolder();
    const CXX = compilerThat(["--version", ":"], ["*d16*", "echo out of luck; exit 1"]);
    const failed = await use(cache, { CXX });
    expect(failed).toMatchObject({ code: "compile-failed" });
    expect(failed.message).toContain("out of luck");
    expect(await use(cache)).toMatchObject({ id: neoxId(16) });
  });

  it.skipIf(nvcc === undefined)("is compiled for CUDA, also where there is no GPU (needs nvcc)", async () => {
    const cache = temporaryFolder();
    expect(await use(cache, {}, { target: "cuda" })).toMatchObject({ id: neoxId(16) });
    expect(await use(cache, { NORMROPE_JIT: "0" }, { target: "cuda" })).toMatchObject({ id: neoxId(16) });
  });

  it("follows the op of a library that was built with one of its own", async () => {
    const own = { name: '"qk_norm_rope"', headDim: "multipleOf(16, { min: 16, max: 64 })" };
    const config = writeConfig(opConfig(own));
    const [cache, cwd] = [temporaryFolder(), dirname(config)];
    expect((await normrope(["build", "--target", "cpu", "--config", config])).code).toBe(0);
    expect(await use(cache, {}, { cwd })).toEqual(await use(cache));
    expect(entriesOf(cache, neoxId(16))).toHaveLength(2);
    const outside = await use(cache, {}, { cwd, headDim: 24 });
    expect(outside.message).toContain("headDim is 24, and must be a multiple of 16");
  });
});

describe("what is built already", () => {
  it("is used, and only what it lacks is compiled", async () => {
    const config = writeConfig(
      'import { defineSpace, qkNormRope } from "normrope/dsl";\nexport default defineSpace(qkNormRope, { headDim: [24], rope: ["neox"], dtype: ["bf16"] });\n',
    );
    expect((await normrope(["build", "--target", "cpu", "--config", config])).code).toBe(0);
    const [cache, cwd] = [temporaryFolder(), dirname(config)];
    expect(await use(cache, {}, { headDim: 24, cwd })).toMatchObject({ id: neoxId(24) });
    expect(existsSync(join(cache, "jit"))).toBe(false);
    expect(await use(cache, {}, { headDim: 16, cwd })).toMatchObject({ id: neoxId(16) });
    expect(readdirSync(join(cache, "jit"))).toEqual([neoxId(16)]);
  });

  it("has to be where `path` says it is", async () => {
    const options = { path: "elsewhere" };
    expect(await use(temporaryFolder(), {}, { options })).toMatchObject({ code: "library-not-found" });
  });
});

describe("NORMROPE_JIT=0", () => {
  it("makes a miss an error that names the line for the config", async () => {
    const cache = temporaryFolder();
    await use(cache);
    const missed = await use(cache, { NORMROPE_JIT: "0" }, { headDim: 40 });
    expect(missed.code).toBe("kernel-not-found");
    expect(missed.message).toContain('{ headDim: [40], rope: ["neox"], dtype: ["bf16"] }');
    expect(missed.message).toContain("NORMROPE_JIT is 0");
    expect(existsSync(shelf(cache, neoxId(40)))).toBe(false);
  });

  it("finds what is in the cache", async () => {
    const cache = temporaryFolder();
    const first = await use(cache);
    expect(await use(cache, { NORMROPE_JIT: "0" })).toEqual(first);
  });

  it("leaves nothing to open where neither a library nor a cache is there", async () => {
    const said = await use(temporaryFolder(), { NORMROPE_JIT: "0" });
    expect(said.code).toBe("library-not-found");
    expect(said.message).toContain("normrope build --target cpu");
  });
});

describe("without a compiler", () => {
  const none = { CXX: "/nonexistent/g++" };

  it("a cache that was filled before serves, also one that is read-only, and is not written to", async () => {
    const seeds = temporaryFolder();
    const first = await use(seeds);
    const contents = () => readdirSync(seeds, { recursive: true }).sort();
    const before = contents();
    chmodSync(seeds, 0o555);
    const cache = temporaryFolder();
    const env = { NORMROPE_CACHE_READONLY: `/nonexistent:${seeds}` };
    expect(await use(cache, { ...none, ...env })).toEqual(first);
    expect(await use(cache, env)).toEqual(first);
    expect(contents()).toEqual(before);
    expect(readdirSync(cache)).not.toContain("jit");
    chmodSync(seeds, 0o755);
  });

  it("what another version made is not taken, nor what this machine cannot run", async () => {
    const cache = temporaryFolder();
    await use(cache);
    const [entry = ""] = entriesOf(cache, neoxId(16));
    const path = join(entry, "manifest.json");
    const text = readFileSync(path, "utf8");
    const changes = [
      text.replace(/"compiler": "normrope [^"]*"/, '"compiler": "normrope 0.0.1"'),
      text.replace(/"cpuFeatures": \[/, '"cpuFeatures": ["none-such",').replace(/,\s*\]/, "]"),
      text.replace(/"cpuArch": "[^"]*"/, '"cpuArch": "z80"'),
    ];
    for (const changed of changes) {
      expect(changed).not.toBe(text);
      writeFileSync(path, changed);
      // As whoever filled the cache would have sealed it.
      const { createHash } = await import("node:crypto");
      const seal = JSON.parse(readFileSync(join(entry, "seal.json"), "utf8"));
      seal["manifest.json"] = createHash("sha256").update(changed).digest("hex");
      writeFileSync(join(entry, "seal.json"), JSON.stringify(seal));
      expect(await use(cache, none)).toMatchObject({ code: "kernel-not-found" });
    }
  });

  it("a miss says which compiler is missing, and the line for the config", async () => {
    const cache = temporaryFolder();
    await use(cache);
    const missed = await use(cache, none, { headDim: 40 });
    expect(missed.code).toBe("kernel-not-found");
    expect(missed.message).toContain("CXX is /nonexistent/g++");
    expect(missed.message).toContain("headDim: [40]");
  });
});

it.skipIf(nvcc === undefined)(
  "without a compiler a device gets what it can run, its own before others (needs nvcc)",
  async () => {
    setEnv("NORMROPE_CACHE_DIR", temporaryFolder());
    const point = { headDim: 16, rotaryDim: 16, rope: "neox", dtype: "bf16" } as const;
    const provide = (...archs: string[]) =>
      provideLibrary({ point, target: "cuda", archs, load: loadLibrary });
    for (const archs of [["sm_80", "sm_100"], ["sm_80"], ["sm_90"]]) await provide(...archs);
    setEnv("NORMROPE_JIT", "0");
    const archsFor = async (device: string) => {
      const found = await provide(device);
      return "reason" in found ? found.reason : loadLibrary(found.library).manifest.build.archs;
    };
    expect(await archsFor("sm_80")).toContain("sm_80");
    expect(await archsFor("sm_90")).toEqual(["sm_90"]);
    expect(await archsFor("sm_86")).toContain("sm_80");
    expect(await archsFor("sm_120")).toContainEqual(expect.stringMatching(/^sm_/)); // from PTX
    setEnv("NORMROPE_CACHE_DIR", temporaryFolder());
    setEnv("NORMROPE_JIT", "");
    await provide("sm_80", "sm_100");
    setEnv("NORMROPE_JIT", "0");
    expect(await archsFor("sm_90")).toBe("NORMROPE_JIT is 0"); // neither of its generation, nor PTX of an older one
  },
);

describe("a cache that others may write to", () => {
  it("is not searched", async () => {
    const seeds = temporaryFolder();
    await use(seeds);
    chmodSync(shelf(seeds, neoxId(16)), 0o777);
    const said = await use(temporaryFolder(), { NORMROPE_CACHE_READONLY: seeds, NORMROPE_JIT: "0" });
    expect(said.code).toBe("compile-failed");
    expect(said.message).toContain("others may write to it");
  });
});

describe("in one process", () => {
  it("a point is compiled once for all that ask at the same time, and tried again after a failure", async () => {
    const cache = temporaryFolder();
    const program = `
      const { open } = await import(${JSON.stringify(join(dist, "runtime", "index.js"))});
      const library = await open({ jit: true, target: "cpu" });
      const point = { headDim: 16, rope: "neox", dtype: "bf16" };
      const codes = await Promise.all([1, 2].map(() => library.kernel(point).catch(({ code }) => code)));
      process.env.CXX = process.argv[1];
      const kernels = await Promise.all([1, 2, 3].map(() => library.kernel(point)));
      const impossible = await library.kernel({ ...point, headDim: 17 }).catch(({ message }) => message);
      const support = [16, 40, 17].map((headDim) => library.supports({ ...point, headDim }).isSupported);
      console.log(JSON.stringify([codes, new Set(kernels).size, impossible, support]));
    `;
    const bad = compilerThat(["--version", ":"], ["*d16*", "exit 1"]);
    const { path, runs } = countingCompiler();
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program, path], {
      cwd: temporaryFolder(),
      env: { ...process.env, NORMROPE_CACHE_DIR: cache, CXX: bad },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout) chunks.push(chunk);
    const [codes, kernels, impossible, support] = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    expect(codes).toEqual(["compile-failed", "compile-failed"]);
    expect(kernels).toBe(1);
    expect(impossible).toContain("None can be made: headDim is 17");
    expect(support).toEqual([true, true, false]);
    // Abi and devices, which the base has too, are not compiled again: kernel, dispatch, and the link.
    expect(runs()).toBeLessThanOrEqual(5);
  });
});

test("the op that ships is the one that its source says", () => {
  expect(JSON.parse(readFileSync(OP_FILE, "utf8"))).toEqual(load(CONFIGS.default).op);
  expect(readShippedOp()).toEqual(load(CONFIGS.default).op);
});
