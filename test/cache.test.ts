/** The content-addressed cache: hits, misses, failures, damage and races. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { afterAll, afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { type CacheEntry, cached, cacheKey } from "../generator/cache/cache.js";
import { cacheContents, pruneCache } from "../generator/cache/contents.js";
import { cacheRoot } from "../generator/cache/folder.js";
import { temporaryFolder } from "./helpers.js";

const KEY = cacheKey(["a compiler", ["-O3"], "a source"]);
const FILES = ["unit.o", "report.txt"];

afterEach(() => {
  vi.unstubAllEnvs();
});

/** A home folder that is removed after the last test. */
function temporaryHome(): string {
  const folder = mkdtempSync(join(tmpdir(), "normrope-home-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Makes entries of one key, and counts how often. */
function makerIn(root: string) {
  let made = 0;
  const make = async (folder: string) => {
    made += 1;
    for (const file of FILES) writeFileSync(join(folder, file), `${file} ${made}`);
  };
  return {
    made: () => made,
    get: (key = KEY): Promise<CacheEntry> => cached(root, key, FILES, make),
  };
}

const staged = (root: string) =>
  existsSync(join(root, "staging")) ? readdirSync(join(root, "staging")) : [];
const read = ({ folder }: CacheEntry) => FILES.map((file) => readFileSync(join(folder, file), "utf8"));

describe("an entry", () => {
  it("is made once and then found", async () => {
    const root = temporaryFolder();
    const { get, made } = makerIn(root);
    const [first, second] = [await get(), await get()];
    expect([first.hit, second.hit, made()]).toEqual([false, true, 1]);
    expect(second.folder).toBe(first.folder);
    expect(read(second)).toEqual(["unit.o 1", "report.txt 1"]);
    expect(staged(root)).toEqual([]);
  });

  it("is found again whatever the umask was", async () => {
    const umask = process.umask(0);
    onTestFinished(() => {
      process.umask(umask);
    });
    const { get } = makerIn(temporaryFolder());
    await get();
    expect((await get()).hit).toBe(true);
  });

  it("that lacks a file is the compiler's failure, and not published", async () => {
    const root = temporaryFolder();
    const silent = cached(root, KEY, FILES, async () => {});
    await expect(silent).rejects.toThrow("[compile-failed]: a compiler reported success, but made no unit.o");
    expect(staged(root)).toEqual([]);
  });

  it("is made for each key", async () => {
    const { get, made } = makerIn(temporaryFolder());
    const [first, other] = [await get(), await get(cacheKey("another source"))];
    expect([other.hit, made()]).toEqual([false, 2]);
    expect(other.folder).not.toBe(first.folder);
    expect((await get()).hit).toBe(true);
  });

  it("is not published where making it fails", async () => {
    const root = temporaryFolder();
    const failing = cached(root, KEY, FILES, async (folder) => {
      writeFileSync(join(folder, "unit.o"), "half");
      throw new Error("the compiler failed");
    });
    await expect(failing).rejects.toThrow("the compiler failed");
    expect(staged(root)).toEqual([]);
    expect((await makerIn(root).get()).hit).toBe(false);
  });

  it("is not published without all of its files", async () => {
    const root = temporaryFolder();
    const partial = cached(root, KEY, FILES, async (folder) => writeFileSync(join(folder, "unit.o"), "only"));
    await expect(partial).rejects.toThrow("report.txt");
    expect(staged(root)).toEqual([]);
    expect((await makerIn(root).get()).hit).toBe(false);
  });

  it.each<[string, (folder: string) => void]>([
    ["a file is cut short", (folder) => truncateSync(join(folder, "unit.o"), 3)],
    ["a file is empty", (folder) => truncateSync(join(folder, "unit.o"))],
    ["a file has other content", (folder) => writeFileSync(join(folder, "report.txt"), "report.txt 2")],
    ["a file is gone", (folder) => rmSync(join(folder, "report.txt"))],
    [
      "a folder stands in a file's place",
      (folder) => {
        rmSync(join(folder, "unit.o"));
        mkdirSync(join(folder, "unit.o"));
      },
    ],
    ["its seal is gone", (folder) => rmSync(join(folder, "seal.json"))],
    ["its seal is no JSON", (folder) => truncateSync(join(folder, "seal.json"), 5)],
    ["its seal is another type", (folder) => writeFileSync(join(folder, "seal.json"), "null")],
    [
      "it is emptied",
      (folder) => {
        rmSync(folder, { recursive: true });
        mkdirSync(folder);
      },
    ],
    [
      "a file stands in its place",
      (folder) => {
        rmSync(folder, { recursive: true });
        writeFileSync(folder, "");
      },
    ],
  ])("is made anew where %s", async (_, damage) => {
    const root = temporaryFolder();
    const { get, made } = makerIn(root);
    damage((await get()).folder);
    const again = await get();
    expect([again.hit, made()]).toEqual([false, 2]);
    expect(read(again)).toEqual(["unit.o 2", "report.txt 2"]);
    expect((await get()).hit).toBe(true);
    expect(staged(root)).toEqual([]);
  });

  it("is made anew where files that no cache wrote stand in its place", async () => {
    const root = temporaryFolder();
    const { get } = makerIn(root);
    const { folder } = await get();
    rmSync(dirname(folder), { recursive: true });
    mkdirSync(folder, { recursive: true });
    for (const file of FILES) writeFileSync(join(folder, file), "foreign");
    const entry = await get();
    expect(entry.hit).toBe(false);
    expect(read(entry)).toEqual(["unit.o 2", "report.txt 2"]);
  });

  it("that two make at once is made once, for both", async () => {
    const root = temporaryFolder();
    const { get, made } = makerIn(root);
    const entries = await Promise.all([get(), get(), get()]);
    expect(entries.map(({ hit }) => hit).sort()).toEqual([false, true, true]);
    expect(entries.map(read)).toEqual(Array(3).fill(["unit.o 1", "report.txt 1"]));
    expect(made()).toBe(1);
    expect(staged(root)).toEqual([]);
  });

  it("that another has published meanwhile is the other's", async () => {
    const root = temporaryFolder();
    // As by a process of another container, which does not wait.
    const { get } = makerIn(root);
    const slow = cached(root, KEY, FILES, async (folder) => {
      for (const file of FILES) writeFileSync(join(folder, file), "slow");
      const elsewhere = temporaryFolder();
      const { folder: entry } = await makerIn(elsewhere).get();
      mkdirSync(dirname(join(root, relative(elsewhere, entry))), { recursive: true, mode: 0o700 });
      cpSync(entry, join(root, relative(elsewhere, entry)), { recursive: true });
    });
    expect(read(await slow)).toEqual(["unit.o 1", "report.txt 1"]);
    expect((await get()).hit).toBe(true);
    expect(staged(root)).toEqual([]);
  });
});

describe("cacheKey", () => {
  it("differs where any part differs", () => {
    const contents = [["a", "b"], ["b", "a"], ["ab"], ["a", ["b"]], ["a", "b", ""], "ab", ["a", "b "]];
    expect(new Set(contents.map(cacheKey)).size).toBe(contents.length);
    expect(cacheKey(["a", "b"])).toBe(cacheKey(["a", "b"]));
  });
});

describe("cacheRoot", () => {
  const home = temporaryHome();
  const other = join(home, "other");
  const ofHome = join(home, ".cache", "normrope");

  it.each<[string, NodeJS.ProcessEnv, string]>([
    ["what is named", { NORMROPE_CACHE_DIR: "/nonexistent/a", XDG_CACHE_HOME: other }, "/nonexistent/a"],
    ["XDG's", { XDG_CACHE_HOME: other }, join(other, "normrope")],
    [
      "XDG's, where nothing is named",
      { NORMROPE_CACHE_DIR: "", XDG_CACHE_HOME: other },
      join(other, "normrope"),
    ],
    ["the home folder's", { XDG_CACHE_HOME: "" }, ofHome],
    ["the home folder's, where XDG's cannot be used", { XDG_CACHE_HOME: "/dev/null" }, ofHome],
    ["the home folder's, where XDG's is relative", { XDG_CACHE_HOME: "cache" }, ofHome],
  ])("is %s", (_, env, root) => {
    vi.stubEnv("HOME", home);
    expect(cacheRoot(env)).toBe(root);
  });

  it("is a private temporary folder if no other can be used", () => {
    const temporary = temporaryFolder();
    vi.stubEnv("HOME", "/dev/null");
    vi.stubEnv("TMPDIR", temporary);
    const root = cacheRoot({ XDG_CACHE_HOME: "/proc" });
    vi.stubEnv("HOME", "no absolute path");
    expect(cacheRoot({})).toBe(root);
    expect(root).toBe(join(temporary, `normrope-${process.getuid?.()}`));
    expect(statSync(root).mode & 0o777).toBe(0o700);
    chmodSync(root, 0o777);
    vi.stubEnv("HOME", "/dev/null");
    expect(cacheRoot({})).toBe("/dev/null/.cache/normrope"); // its use says what is wrong
  });
});

describe("a cache's contents", () => {
  const days = (count: number) => new Date(Date.now() - count * 24 * 3600 * 1000);
  const seal = ({ folder }: CacheEntry) => join(folder, "seal.json");

  it("are pruned by their last use", async () => {
    const root = temporaryFolder();
    const { get } = makerIn(root);
    const [old, used, recent] = [
      await get("a".repeat(64)),
      await get("b".repeat(64)),
      await get("c".repeat(64)),
    ];
    for (const entry of [old, used]) utimesSync(seal(entry), days(40), days(40));
    expect((await get("b".repeat(64))).hit).toBe(true);
    expect(pruneCache(root, 30).map(({ folder }) => folder)).toEqual([old.folder]);
    expect([old, used, recent].map(({ folder }) => existsSync(folder))).toEqual([false, true, true]);
    expect(cacheContents(root).objects.map(({ folder }) => folder)).toEqual([used.folder, recent.folder]);
    expect(pruneCache(root, 0)).toHaveLength(2);
    expect(cacheContents(root)).toEqual({ libraries: [], objects: [] });
    expect(staged(root)).toEqual([]);
  });

  it("are entries only: other files stay", async () => {
    const root = temporaryFolder();
    const files = ["objects/models/teapot/mesh.obj", "jit/none/.DS_Store", "objects/aa/notes", "jit/notes"];
    for (const file of files) {
      mkdirSync(dirname(join(root, file)), { recursive: true, mode: 0o700 });
      writeFileSync(join(root, file), "");
    }
    expect(pruneCache(root, 0)).toEqual([]);
    for (const file of files) expect(existsSync(join(root, file)), file).toBe(true);
  });

  it("count their size, and count damaged entries as unused", async () => {
    const root = temporaryFolder();
    const { get } = makerIn(root);
    const entry = await get();
    const bytes = [...FILES, "seal.json"].map((file) => statSync(join(entry.folder, file)).size);
    expect(cacheContents(root).objects).toMatchObject([{ bytes: bytes.reduce((a, b) => a + b, 0) }]);
    rmSync(seal(entry));
    expect(pruneCache(root, 30)).toHaveLength(1);
  });
});
