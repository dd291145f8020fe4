/** `normrope cache`: what is in it, one kernel added, and pruned. */
import { existsSync, readdirSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { COMPILER_VERSION } from "../generator/package_root.js";
import { open } from "../runtime/open.js";
import { neoxId, normrope, setEnv } from "./cli_helpers.js";
import { freshCache, nvcc } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

let root: string;
beforeEach(() => {
  root = temporaryFolder();
  setEnv("NORMROPE_CACHE_DIR", root);
});

const json = async (...args: string[]) => JSON.parse((await normrope(["cache", ...args, "--json"])).out);
const add = (id: string, ...args: string[]) => normrope(["cache", "add", id, ...args]);

describe("add", () => {
  it("compiles a kernel, or finds it, and says where it is", async () => {
    setEnv("NORMROPE_CACHE_DIR", freshCache());
    const first = await json("add", neoxId(16), "--target", "cpu");
    expect(first).toEqual({ id: neoxId(16), target: "cpu", library: expect.any(String), hit: false });
    using library = await open({ path: first.library });
    expect(library.manifest.kernels.map(({ id }) => id)).toEqual([neoxId(16)]);
    expect(await json("add", neoxId(16), "--target", "cpu")).toEqual({ ...first, hit: true });
    expect((await add(neoxId(16), "--target", "cpu")).out).toBe(`${first.library} was there`);
  });

  it.skipIf(nvcc === undefined)("compiles for the architectures that are named (needs nvcc)", async () => {
    await json("add", neoxId(16), "--target", "cuda", "--arch", "sm_80,sm_100");
    const { kernels } = await json();
    expect(kernels).toMatchObject([
      { id: null, target: "cuda", archs: ["sm_80", "sm_100"] },
      { id: neoxId(16), target: "cuda", archs: ["sm_80", "sm_100"] },
    ]);
  });

  it.each<[string, string[], string]>([
    ["no id", [], "needs a kernel id"],
    ["what is no id", ["$(trap)"], "is no kernel of qk_norm_rope"],
    ["another op's", ["my_op__bf16_d16_r16_neox"], "is no kernel of qk_norm_rope"],
    ["a head_dim that there is not", [neoxId(17)], "there is no such headDim"],
    ["a dtype that there is not", ["qk_norm_rope__f32_d16_r16_neox"], "is no kernel of qk_norm_rope"],
    ["a rotary_dim beyond the head", [neoxId(16, 32)], "is no kernel of qk_norm_rope"],
    ["an architecture that there is not", [neoxId(16), "--target", "cuda", "--arch", "sm_3"], "sm_3"],
  ])("refuses %s, and leaves the cache alone", async (_, words, message) => {
    const { code, err } = await normrope(["cache", "add", ...words]);
    expect([code, err]).toEqual([1, expect.stringContaining("error [bad-option]")]);
    expect(err).toContain(message);
    expect(readdirSync(root)).toEqual([]);
  });

  it("says what to install where there is no compiler", async () => {
    setEnv("NORMROPE_NVCC", "none");
    const { code, err } = await add(neoxId(16), "--target", "cuda");
    expect([code, err]).toEqual([1, expect.stringContaining("nvcc was not found")]);
    expect(err).toContain("error [no-compiler]");
  });

  it("compiles nothing where NORMROPE_JIT is 0", async () => {
    setEnv("NORMROPE_JIT", "0");
    const { code, err } = await add(neoxId(16), "--target", "cpu");
    expect([code, err]).toEqual([1, expect.stringContaining("NORMROPE_JIT is 0")]);
  });
});

describe("list and prune", () => {
  it("show and count what is there, and remove what is old", async () => {
    expect((await normrope(["cache"])).out).toBe(`${root}: 0 libraries, 0 kB; 0 objects of builds, 0 kB`);
    const { library } = await json("add", neoxId(16), "--target", "cpu");
    const { out } = await normrope(["cache"]);
    expect(out).toMatch(new RegExp(`^${neoxId(16)} +cpu +${COMPILER_VERSION} +\\d+ kB +2`, "m"));
    expect(out).toMatch(/: 2 libraries, \d+ kB; \d+ objects of builds, \d+ kB$/);

    const old = new Date(Date.now() - 31 * 24 * 3600 * 1000);
    utimesSync(join(dirname(library), "seal.json"), old, old);
    expect((await normrope(["cache", "prune", "--days", "32"])).out).toContain("0 entries removed");
    expect((await normrope(["cache", "prune"])).out).toContain("1 entry removed");
    expect(existsSync(library)).toBe(false);
    const { removed, bytes } = await json("prune", "--days", "0");
    expect([removed, bytes]).toEqual([expect.any(Number), expect.any(Number)]);
    expect(await json()).toEqual({ root, readOnly: [], kernels: [], objects: { count: 0, bytes: 0 } });
  });

  it("refuse what they do not know, and leave the cache alone", async () => {
    setEnv("NORMROPE_CACHE_DIR", freshCache());
    const { library } = await json("add", neoxId(16), "--target", "cpu");
    const refused: [code: number, ...words: string[]][] = [
      [1, "prune", "--days", "-1"],
      [1, "prune", "--days", "soon"],
      [1, "prune", neoxId(16)],
      [1, "list", neoxId(16)],
      [2, "pruen"],
    ];
    for (const [code, ...words] of refused) {
      expect((await normrope(["cache", ...words])).code, words.join(" ")).toBe(code);
      expect(existsSync(library)).toBe(true);
    }
  });
});
