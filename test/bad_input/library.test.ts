/** Libraries that are missing, cut short, of another machine or version, or not ours: none is opened. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { findCxx } from "../../generator/build/toolchain.js";
import { open } from "../../runtime/open.js";
import { buildFixture, needed } from "../fixture.js";
import { temporaryFolder } from "../helpers.js";
import { adopt, type Built, buildOf, damaged, expectNotOpened, readManifest } from "./built.js";
import { expectRefusal, filesIn } from "./unchanged.js";

let cxx: string;
beforeAll(async () => {
  cxx = needed(await findCxx()).path;
  await buildFixture("default", "cpu");
});

/** Puts a library made from a few lines of C++ in the place of ours; the manifest names it. */
const compiled = (source: string) => (built: Built) => {
  const file = join(temporaryFolder(), "other.cpp");
  writeFileSync(file, source);
  execFileSync(cxx, ["-shared", "-fPIC", file, "-o", built.library]);
  adopt(built);
};
/** Overwrites bytes of the library's ELF header; the manifest names the result. */
const header =
  (at: number, ...bytes: number[]) =>
  (built: Built) => {
    const file = readFileSync(built.library);
    file.set(bytes, at);
    writeFileSync(built.library, file);
    adopt(built);
  };
const cut = (part: number) => (built: Built) => {
  truncateSync(built.library, Math.floor(readFileSync(built.library).length * part));
  adopt(built);
};
const [ELF_CLASS, ELF_DATA, ELF_TYPE, ELF_MACHINE] = [4, 5, 16, 18];
const AARCH64 = 183;
const ABI_OF = (version: number) => `extern "C" int normrope_abi() { return ${version}; }`;
const INVALID = "library-invalid";
const OTHER = /libnormrope\.so is not the library that .*manifest\.json describes\. Run `normrope build`/;
const UNLOADABLE = /libnormrope\.so cannot be loaded: .*Run `normrope build`/;

test.each<[string, (built: Built) => void, string, RegExp]>([
  [
    "none",
    ({ library }) => rmSync(library),
    "library-not-found",
    /there is no .*libnormrope\.so.*normrope build/,
  ],
  [
    "a folder",
    ({ library }) => [rmSync(library), mkdirSync(library)],
    INVALID,
    /libnormrope\.so is not a file/,
  ],
  [
    "a link to nothing",
    ({ library }) => [rmSync(library), symlinkSync("no.so", library)],
    "library-not-found",
    /libnormrope\.so/,
  ],
  ["an empty one", ({ library }) => truncateSync(library), INVALID, OTHER],
  ["one that is cut short", ({ library }) => truncateSync(library, 5000), INVALID, OTHER],
  ["one with a byte too many", ({ library }) => appendFileSync(library, "x"), INVALID, OTHER],
  ["another one", ({ library }) => copyFileSync(process.execPath, library), INVALID, OTHER],
  ["an empty one that its manifest names", cut(0), INVALID, UNLOADABLE],
  ["a header that its manifest names", cut(0.001), INVALID, UNLOADABLE],
  [
    "text that its manifest names",
    (built) => [writeFileSync(built.library, "no library"), adopt(built)],
    INVALID,
    UNLOADABLE,
  ],
  [
    "a program in its place",
    (built) => [copyFileSync(process.execPath, built.library), adopt(built)],
    INVALID,
    UNLOADABLE,
  ],
  ["one for another machine", header(ELF_MACHINE, AARCH64), INVALID, UNLOADABLE],
  ["one of 32 bits", header(ELF_CLASS, 1), INVALID, UNLOADABLE],
  ["one of the other byte order", header(ELF_DATA, 2), INVALID, UNLOADABLE],
  ["an object that is no library", header(ELF_TYPE, 1), INVALID, UNLOADABLE],
  ["one that is not ours", compiled("int mine() { return 1; }"), INVALID, /cannot be loaded: .*normrope_abi/],
  ["an older one", compiled(ABI_OF(0)), INVALID, /has version 0 of the C interface, and this is 2/],
  ["a later one", compiled(ABI_OF(3)), INVALID, /has version 3 of the C interface, and this is 2/],
  ["one that has only its version", compiled(ABI_OF(2)), INVALID, /cannot be loaded: .*normrope_manifest/],
  [
    "one that needs another that is not there",
    compiled('extern "C" int nowhere(); int x = nowhere();'),
    INVALID,
    UNLOADABLE,
  ],
  [
    "one for CPU features that this CPU lacks",
    (built) => {
      const { cpuFeatures } = readManifest(built).build;
      buildOf({ cpuFeatures: [...cpuFeatures, "avx9000"] })(built);
    },
    "cpu-unsupported",
    /built for instructions that this CPU lacks: avx9000\. Run `normrope build --target cpu`/,
  ],
])("%s is not opened", async (_, damage, code, names) => {
  await expectNotOpened(damaged(damage), code, names);
});

const refused = (what: string, options: unknown, code: string, names: RegExp) =>
  [what, options, code, names] as const;
test.each([
  refused("null", null, "invalid-argument", /^options is null/),
  refused("a path for options", "build", "invalid-argument", /^options is "build"/),
  refused("a misspelt option", { tarqet: "cpu" }, "invalid-argument", /^options\.tarqet is not known/),
  refused("an unknown target", { target: "tpu" }, "invalid-argument", /^target is "tpu"/),
  refused(
    "a long target",
    { target: "x".repeat(10_000) },
    "invalid-argument",
    /"x{200}"… of 10000 characters/,
  ),
  refused("a number as path", { path: 5 }, "invalid-argument", /^path is 5/),
  refused(
    "a folder that is not there",
    { target: "cpu", path: "/nonexistent" },
    "library-not-found",
    /no \/nonexistent\/cpu/,
  ),
  refused(
    "a file that is not there",
    { target: "cpu", path: "/nonexistent/libnormrope.so" },
    "library-not-found",
    /nonexistent/,
  ),
  refused("a path with NUL", { target: "cpu", path: "a\0b" }, "library-not-found", /a\\u0000b\/cpu/),
  refused("a path with a line break", { target: "cpu", path: "a\nb" }, "library-not-found", /a\\nb\/cpu/),
  refused(
    "a path that is too long",
    { target: "cpu", path: "x".repeat(300) },
    "library-not-found",
    /x{300}\/cpu/,
  ),
  refused(
    "a path below a file",
    { target: "cpu", path: process.execPath },
    "library-not-found",
    /manifest\.json cannot be read/,
  ),
])("open refuses %s", async (_, options, code, names) => {
  await expectRefusal(
    () => undefined,
    () => open(options as never),
    code,
    names,
  );
});

test.each<[unknown, RegExp]>([
  [1, /^device is 1\. device must be a whole number below 1/],
  [-1, /^device is -1/],
  [0.5, /^device is 0\.5/],
  [Number.NaN, /^device is NaN/],
  [0n, /^device is 0n/],
  ["0", /^device is "0"/],
  [2 ** 53, /^device is 9007199254740992/],
])("device %s is refused", async (device, names) => {
  const { folder } = damaged(() => undefined);
  const options = { target: "cpu", path: folder, device: device as never } as const;
  await expectRefusal(filesIn(folder), () => open(options), "invalid-argument", names);
});

test("a folder that holds the library of another target is told apart", async () => {
  const { folder, library } = damaged(() => undefined);
  const run = () => open({ target: "cuda", path: library });
  await expectRefusal(filesIn(folder), run, "invalid-argument", /^target is "cuda"\. target must be "cpu"/);
  expect((await open({ target: "cpu", path: library })).target).toBe("cpu");
});
