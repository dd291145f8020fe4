/** A wheel as its users take it: installed where neither Node nor a compiler is, and loaded by servers' workers. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Target } from "../dsl/manifest.js";
import { readBuiltManifest } from "../generator/build/publish.js";
import { wheel as packWheel } from "../generator/wheel/wheel.js";
import { normrope, setEnv, useSharedCache } from "./cli_helpers.js";
import { compilerThat } from "./cli_process.js";
import { nvcc } from "./fixture.js";
import { writeFiles } from "./helpers.js";
import { PYTHON_FOLDER, python } from "./python.js";

useSharedCache();

const root = mkdtempSync(join(tmpdir(), "normrope-wheel-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const SERVERS = join(PYTHON_FOLDER, "tests", "servers");
/** With the kernels that the stand-ins for servers call. */
const CONFIG = join(PYTHON_FOLDER, "tests", "dropins", "normrope.config.ts");

const hasVenv =
  python !== undefined &&
  (await execa(python.path, ["-c", "import ensurepip, venv"], { reject: false })).exitCode === 0;
const needs = hasVenv ? "" : " (needs python3, 3.10 or newer, with venv)";
const needsTorch = hasVenv && python?.hasTorch ? "" : " (needs torch 2.4 or newer, and venv)";
const needsGpu =
  hasVenv && python?.hasGpu && nvcc !== undefined ? "" : " (needs torch, venv, a GPU and nvcc)";

interface Made {
  readonly wheel: string;
  readonly platform: string;
  readonly kernels: readonly string[];
}

async function makeWheel(target: Target, out: string): Promise<Made> {
  const args = ["wheel", "--target", target, "--config", CONFIG, "--out", join(root, out), "--json"];
  const { code, out: printed, err } = await normrope(args);
  expect(code, err).toBe(0);
  return JSON.parse(printed);
}

/** A fresh virtual environment with a wheel, and Python in it without Node, compilers, and normrope's own variables. */
async function installed(wheel: string, name: string) {
  const folder = join(root, name);
  const outer = python?.path ?? "";
  await execa(outer, ["-m", "venv", folder]);
  const path = join(folder, "bin", "python");
  // What is installed here besides, such as torch: behind all that the environment has.
  const sites =
    "import site, sysconfig; print(*site.getsitepackages(), sysconfig.get_path('purelib'), sep='\\n')";
  const { stdout: theirs } = await execa(outer, ["-c", sites]);
  const { stdout: own } = await execa(path, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
  writeFiles(own, { "outer.pth": `${theirs}\n` });
  const flags = ["--no-index", "--no-deps", "--quiet", "--disable-pip-version-check"];
  await execa(path, ["-m", "pip", "install", ...flags, wheel]);
  const empty = join(folder, "empty");
  mkdirSync(empty);
  const base = { PATH: empty, HOME: empty, PYTHONPATH: SERVERS, PYTHONDONTWRITEBYTECODE: "1" };
  return (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    execa(path, args, { cwd: empty, env: { ...base, ...env }, extendEnv: false });
}

/** `start` is how vLLM starts its workers. */
const serve = (server: "sglang" | "vllm", device: string, start?: "spawn" | "fork") =>
  ["-m", `${server}.launch_server`, device, start ?? []].flat();

/** Checks every file of the installed wheel against its RECORD, and prints what others see of the package. */
const EXAMINE = `
import base64, hashlib, importlib.metadata, json
found = importlib.metadata.distribution("normrope")
for file in found.files:
    if file.hash is not None:
        digest = hashlib.new(file.hash.mode, file.read_binary()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value, file
        assert len(file.read_binary()) == file.size, file
import normrope
print(json.dumps({
    "hashed": sum(file.hash is not None for file in found.files),
    "entryPoints": sorted([each.group, each.value] for each in found.entry_points),
    "metadata": {key: found.metadata.get_all(key) for key in ("Version", "License", "Provides-Extra", "Requires-Dist")},
    "version": normrope.__version__,
    "supported": normrope.why_not(128, True, "bf16", device="cpu"),
    "unsupported": normrope.why_not(96, True, "bf16", device="cpu"),
}))
`;

describe("a wheel for the CPU", { timeout: 600_000 }, () => {
  let made: Made;
  beforeAll(async () => {
    made = await makeWheel("cpu", "cpu");
  });

  it("has a name that says for what it is, and the same bytes each time", async () => {
    expect(basename(made.wheel)).toMatch(
      /^normrope-\d+\.\d+\.\d+\+cpu\.[0-9a-f]{8}-py3-none-(many)?linux_(2_\d\d_)?(x86_64|aarch64)\.whl$/,
    );
    expect(made.wheel).toContain(made.platform);
    const again = await makeWheel("cpu", "again");
    expect(basename(again.wheel)).toBe(basename(made.wheel));
    expect(readFileSync(again.wheel).equals(readFileSync(made.wheel))).toBe(true);
  });

  it("is not made of a library that another build has put in its place", () => {
    const manifest = readBuiltManifest(join(dirname(CONFIG), "build"), "cpu");
    if (manifest === undefined) throw new Error("there is no manifest");
    const other = join(root, "other.so");
    writeFiles(root, { "other.so": "another library" });
    expect(() => packWheel(other, manifest, "linux_x86_64")).toThrow(
      `[stale-output]: another build has replaced ${other} meanwhile`,
    );
  });

  it("has the same tag in whatever language the machine speaks", async () => {
    writeFiles(root, {
      french: '#!/bin/sh\n[ "$LC_ALL" = C ] && exec readelf "$@"\necho "Nom: GLIBC_2.4"\n',
    });
    chmodSync(join(root, "french"), 0o755);
    setEnv("LC_ALL", "fr_FR.UTF-8");
    setEnv("CXX", compilerThat(["*print-prog-name=readelf*", `echo '${join(root, "french")}'; exit`]));
    expect((await makeWheel("cpu", "spoken")).platform).toBe(made.platform);
  });

  describe.skipIf(!hasVenv)(`installed${needs}`, () => {
    let run: Awaited<ReturnType<typeof installed>>;
    beforeAll(async () => {
      run = await installed(made.wheel, "cpu-environment");
    });

    it("is whole, says what it is, and has its own kernels", async () => {
      const found = JSON.parse((await run(["-c", EXAMINE])).stdout);
      expect(found.hashed).toBeGreaterThan(40);
      expect(found.entryPoints).toEqual([
        ["sglang.srt.plugins", "normrope.plugins:load_sglang"],
        ["vllm.general_plugins", "normrope.plugins:load_vllm"],
      ]);
      expect(found.metadata).toMatchObject({
        License: ["Apache-2.0"],
        "Provides-Extra": ["torch"],
        "Requires-Dist": ['torch>=2.4; extra == "torch"'],
      });
      expect(made.wheel).toContain(`normrope-${found.metadata.Version}-`);
      expect(found.metadata.Version[0]).toMatch(new RegExp(`^${found.version}\\+cpu\\.`));
      expect(found.supported).toBeNull();
      expect(found.unsupported).toMatch(
        /normrope\/library\/cpu\/libnormrope.so holds no kernel for headDim 96/,
      );
    });

    it("is taken by every worker of SGLang, says so in one line each, and counts", async () => {
      const { stdout, stderr } = await run(serve("sglang", "buffers"));
      const launches = { qk_norm_rope__bf16_d128_r128_neox: 1 };
      expect(JSON.parse(stdout)).toEqual(Array(2).fill({ result: [0x3f80, 0x4000], launches }));
      const lines = stderr.split("\n").filter((line) => line.includes("normrope"));
      expect(lines).toHaveLength(3); // of the launcher and two workers
      for (const line of lines) {
        expect(line).toMatch(
          /INFO .* normrope .* in SGLang, process \d+ replaces sglang\.kernels\.ops\.attention\.fused_qknorm_rope\.fused_qk_norm_rope, /,
        );
      }
      expect(new Set(lines.map((line) => /process (\d+)/.exec(line)?.[1])).size).toBe(3);
    });

    it.each([
      ["0", /nothing is replaced, as NORMROPE_PLUGINS is 0$/m],
      ["off", /nothing is replaced, as NORMROPE_PLUGINS is "off"\. Write 0, or unset it$/m],
    ])("replaces nothing where NORMROPE_PLUGINS is %s", async (NORMROPE_PLUGINS, line) => {
      const { stdout, stderr } = await run(serve("sglang", "buffers"), { NORMROPE_PLUGINS });
      expect(JSON.parse(stdout)).toEqual(Array(2).fill({ result: "unfused", launches: {} }));
      expect(stderr).toMatch(line);
    });

    it("leaves a server that it does not know as it is, and says why", async () => {
      const code = "import normrope.plugins as p; p.load_sglang(); p.load_vllm()";
      const { stderr } = await run(["-c", code], { PYTHONPATH: "" });
      expect(stderr).toMatch(/WARNING .* in SGLang, .*: nothing is replaced: .*No module named 'sglang'/);
      expect(stderr).toMatch(/WARNING .* in vLLM, .*: nothing is replaced: .*No module named 'vllm'/);
    });

    it.skipIf(needsTorch !== "").each(["spawn", "fork"] as const)(
      `is taken by workers of vLLM, for the gate beside q, that are started by %s${needsTorch}`,
      async (start) => {
        const { stdout, stderr } = await run(serve("vllm", "cpu", start));
        const [{ result, launches }] = JSON.parse(stdout);
        expect(result.gate).toEqual([[2], [2], [1]]); // one plus a weight of one
        expect(Object.values(launches)).toEqual([1]);
        const replaced = stderr.match(
          /in vLLM, process \d+ replaces torch\.ops\._C\.fused_qk_norm_rope, vllm\./g,
        );
        expect(replaced).toHaveLength(start === "spawn" ? 2 : 1);
      },
    );

    it.skipIf(needsTorch !== "")(`is not taken by workers of vLLM where it is off${needsTorch}`, async () => {
      const { stdout } = await run(serve("vllm", "cpu"), { NORMROPE_PLUGINS: "0" });
      expect(JSON.parse(stdout)).toEqual([{ result: { gate: "the original" }, launches: {} }]);
    });
  });
});

describe("a wheel for CUDA", { timeout: 600_000 }, () => {
  it.skipIf(nvcc === undefined)(
    `names its architectures${nvcc === undefined ? " (needs nvcc)" : ""}`,
    async () => {
      const args = ["wheel", "--target", "cuda", "--arch", "sm_90", "--out", join(root, "one")];
      const { code, out, err } = await normrope([
        ...args,
        "--config",
        join(PYTHON_FOLDER, "tests", "single", "normrope.config.ts"),
      ]);
      expect(code, err).toBe(0);
      expect(out).toMatch(/normrope-.*\+cuda\.[0-9a-f]{8}-py3-none-\S+\.whl holds 1 kernel for sm_90$/);
    },
  );

  it.skipIf(needsGpu !== "")(`is taken by workers of both servers on a GPU${needsGpu}`, async () => {
    const { wheel } = await makeWheel("cuda", "cuda");
    const run = await installed(wheel, "cuda-environment");
    const sglang = await run(serve("sglang", "cuda"));
    const launches = { qk_norm_rope__bf16_d128_r128_neox: 1 };
    expect(JSON.parse(sglang.stdout)).toEqual(Array(2).fill({ result: [1, 2], launches }));
    const vllm = await run(serve("vllm", "cuda"));
    const [{ result, launches: counted }] = JSON.parse(vllm.stdout);
    expect(result).toEqual({ op: [1, 2], gate: [[2], [2], [1]] });
    expect(Object.values(counted)).toEqual([1, 1]);
    const off = await run(serve("vllm", "cuda"), { NORMROPE_PLUGINS: "0" });
    expect(JSON.parse(off.stdout)[0].result).toEqual({ op: [7], gate: "the original" });
  });
});
