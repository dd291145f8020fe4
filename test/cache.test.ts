/** The content-addressed cache: hits, misses, failures, damage and races. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type CacheEntry, cached, cacheKey } from "../generator/cache.js";
import { cacheRoot } from "../generator/cache_folder.js";
import { temporaryFolder } from "./helpers.js";

const KEY = cacheKey(["a compiler", ["-O3"], "a source"]);
const FILES = ["unit.o", "report.txt"];

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
    await expect(silent).rejects.toThrow(
      "[compile-failed]: a compiler ended as if all was well, and made no unit.o",
    );
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

  it("that two make at once is the first one's for both", async () => {
    const root = temporaryFolder();
    let secondHasStarted = () => {};
    const secondStarted = new Promise<void>((resolve) => {
      secondHasStarted = resolve;
    });
    const makeAs = (name: string, turn: () => Promise<unknown>) =>
      cached(root, KEY, FILES, async (folder) => {
        await turn();
        for (const file of FILES) writeFileSync(join(folder, file), name);
      });
    const first = makeAs("first", () => secondStarted);
    const second = makeAs("second", () => {
      secondHasStarted();
      return first;
    });
    const entries = await Promise.all([first, second]);
    expect(entries.map(read)).toEqual([
      ["first", "first"],
      ["first", "first"],
    ]);
    expect((await makerIn(root).get()).hit).toBe(true);
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
  const home = join(homedir(), ".cache", "normrope");
  it.each<[NodeJS.ProcessEnv, string]>([
    [{ NORMROPE_CACHE_DIR: "/a", XDG_CACHE_HOME: "/b" }, "/a"],
    [{ XDG_CACHE_HOME: "/b" }, "/b/normrope"],
    [{ NORMROPE_CACHE_DIR: "", XDG_CACHE_HOME: "/b" }, "/b/normrope"],
    [{ XDG_CACHE_HOME: "" }, home],
    [{}, home],
  ])("of %j is %s", (env, root) => {
    expect(cacheRoot(env)).toBe(root);
  });
});
