/** What the tests of compiling on first use share: processes that open with `jit`, and what lies in their caches. */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../generator/cache/cache.js";
import { compilerThat, DIST } from "./cli_process.js";
import { freshCache } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

/** What a process says of a kernel that it opened and ran: the outputs' bits, or the error. */
export interface Said {
  readonly id?: string;
  readonly bits?: string;
  readonly code?: string;
  readonly message?: string;
}

/** Opens with `jit` in an empty folder, runs a kernel of one head_dim on ones, and says what came of it. */
export const PROGRAM = `
  const { open, ropeTable } = await import(${JSON.stringify(join(DIST, "runtime", "index.js"))});
  const [headDim, target, options, point] = JSON.parse(process.argv[1]);
  const said = {};
  try {
    const library = await open({ jit: true, target, ...options });
    const kernel = await library.kernel(point ?? { headDim, rope: "neox", dtype: "bf16" });
    said.id = kernel.id;
    if (library.devices.length > 0) {
      const ones = () => library.upload("bf16", new Uint16Array(2 * headDim).fill(0x3f80));
      const [heads, weight] = [ones(), ones()];
      const positions = library.upload("int32", Int32Array.of(1, 1000));
      const rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: headDim }));
      const q = { in: { buffer: heads, tokenStride: headDim }, numHeads: 1, weight };
      kernel.run({ q, numTokens: 2, positions, ropeTable: rope, eps: 1e-6 });
      library.synchronize();
      said.bits = Buffer.from(heads.read(new Uint16Array(2 * headDim)).buffer).toString("hex");
    }
  } catch (error) {
    Object.assign(said, { code: error.code ?? error.name, message: error.message });
  }
  console.log(JSON.stringify(said));
`;

export interface Use {
  readonly headDim?: number;
  readonly target?: "cpu" | "cuda";
  readonly options?: object;
  readonly point?: object;
  readonly cwd?: string;
}

export function start(
  cache: string,
  env: NodeJS.ProcessEnv,
  { headDim = 16, target = "cpu", options = {}, point, cwd }: Use = {},
) {
  const args = ["--input-type=module", "--eval", PROGRAM, JSON.stringify([headDim, target, options, point])];
  return spawn(process.execPath, args, {
    cwd: cwd ?? temporaryFolder(),
    env: { ...process.env, NORMROPE_CACHE_DIR: cache, ...env },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
}

export async function use(cache: string, env: NodeJS.ProcessEnv = {}, how: Use = {}): Promise<Said> {
  const child = start(cache, env, how);
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

let filled: Promise<{ readonly folder: string; readonly said: Said }> | undefined;

/** A cache of the test's own into which a process compiled the kernel of head_dim 16, and what that process said. */
export async function filledCache(): Promise<{ readonly cache: string; readonly said: Said }> {
  filled ??= fill(mkdtempSync(join(tmpdir(), "normrope-filled-")));
  const { folder, said } = await filled;
  const cache = temporaryFolder();
  cpSync(folder, cache, { recursive: true });
  return { cache, said };
}

async function fill(folder: string) {
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  cpSync(freshCache(), folder, { recursive: true });
  return { folder, said: await use(folder) };
}

/** Changes the manifest of an entry, sealed as by whoever filled the cache. */
export function rewrite(entry: string, change: (text: string) => string): void {
  const [manifest, seal] = [join(entry, "manifest.json"), join(entry, "seal.json")];
  const text = change(readFileSync(manifest, "utf8"));
  writeFileSync(manifest, text);
  writeFileSync(
    seal,
    JSON.stringify({ ...JSON.parse(readFileSync(seal, "utf8")), "manifest.json": sha256(text) }),
  );
}

export const shelf = (cache: string, id: string) => join(cache, "jit", id);
export const entriesOf = (cache: string, id: string) =>
  existsSync(shelf(cache, id)) ? readdirSync(shelf(cache, id)).map((key) => join(shelf(cache, id), key)) : [];
export const staged = (cache: string) => readdirSync(join(cache, "staging"));

/** A compiler that notes each of its runs but those that ask for its version. */
export function countingCompiler() {
  const log = join(temporaryFolder(), "runs");
  const path = compilerThat(["--version", ":"], ["*", `echo run >>'${log}'`]);
  return { path, runs: () => (existsSync(log) ? readFileSync(log, "utf8").split("\n").length - 1 : 0) };
}
