/** Manifests that are cut short, of another version, or say what the library is not: none is opened. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import type { BuiltManifest, ManifestKernel } from "../../dsl/manifest.js";
import { open } from "../../runtime/open.js";
import { buildFixture } from "../fixture.js";
import { type Built, buildOf, damaged, expectNotOpened, manifestOf, readManifest } from "./built.js";

beforeAll(async () => {
  await buildFixture("default", "cpu");
});

const INVALID = "library-invalid";
const NOT_JSON = /manifest\.json is not JSON\. Run/;
const LIES = /manifest\.json lists other kernels than .*libnormrope\.so\. .* run `normrope build`/;
const notOfThisVersion = (place: string) =>
  RegExp(`manifest\\.json is not a manifest of this version: ${place}: .*Run \`normrope build\``);

const text = (change: (before: string) => string | Buffer) => (built: Built) =>
  writeFileSync(built.manifest, change(readFileSync(built.manifest, "utf8")));
const kernels = (change: (kernels: readonly ManifestKernel[]) => readonly unknown[]) =>
  manifestOf((manifest) => ({ ...manifest, kernels: change(manifest.kernels) }));
/** The first kernel, changed. */
const first = (change: (kernel: ManifestKernel) => object) =>
  kernels(([kernel, ...others]) =>
    kernel === undefined ? [] : [{ ...kernel, ...change(kernel) }, ...others],
  );
const top = (change: object) => manifestOf((manifest) => ({ ...manifest, ...change }));
const without = (name: keyof BuiltManifest) =>
  manifestOf((manifest) => Object.fromEntries(Object.entries(manifest).filter(([key]) => key !== name)));

test.each<[string, (built: Built) => void, string, RegExp]>([
  [
    "none",
    ({ manifest }) => rmSync(manifest),
    "library-not-found",
    /manifest\.json cannot be read: ENOENT.*normrope build/,
  ],
  [
    "a folder",
    ({ manifest }) => [rmSync(manifest), mkdirSync(manifest)],
    INVALID,
    /manifest\.json is not a file/,
  ],
  ["an empty file", ({ manifest }) => truncateSync(manifest), INVALID, NOT_JSON],
  ["one that is cut short", ({ manifest }) => truncateSync(manifest, 100), INVALID, NOT_JSON],
  ["one with a word too many", ({ manifest }) => appendFileSync(manifest, "x"), INVALID, NOT_JSON],
  ["one with a byte order mark", text((before) => `\ufeff${before}`), INVALID, NOT_JSON],
  ["one in UTF-16", text((before) => Buffer.from(before, "utf16le")), INVALID, NOT_JSON],
  ["10 MB of junk", text(() => Buffer.alloc(10_000_000, "x")), INVALID, NOT_JSON],
  ["null", text(() => "null"), INVALID, notOfThisVersion("the whole")],
  ["a list", text(() => "[]"), INVALID, notOfThisVersion("the whole")],
  ["a number", text(() => "7"), INVALID, notOfThisVersion("the whole")],
  ["the emitted one, without a build", without("build"), INVALID, notOfThisVersion("build")],
  ["one without kernels", without("kernels"), INVALID, notOfThisVersion("kernels")],
  ["one of a later C interface", top({ abi: 3 }), INVALID, notOfThisVersion("abi")],
  ["one of an earlier C interface", top({ abi: 0 }), INVALID, notOfThisVersion("abi")],
  ["a version in words", top({ abi: "2" }), INVALID, notOfThisVersion("abi")],
  ["a key of a later version", top({ later: 1 }), INVALID, notOfThisVersion("the whole")],
  ["a key that is not printed", top({ "a\n\u001b[31m": 1 }), INVALID, /Unrecognized key: .*\\u001b\[31m/],
  ["a target that there is none of", buildOf({ target: "tpu" }), INVALID, notOfThisVersion("build.target")],
  ["a hash that is no text", buildOf({ librarySha256: 7 }), INVALID, notOfThisVersion("build.librarySha256")],
  [
    "features that are no list",
    buildOf({ cpuFeatures: "avx2" }),
    INVALID,
    notOfThisVersion("build.cpuFeatures"),
  ],
  [
    "the hash of another library",
    buildOf({ librarySha256: "0".repeat(64) }),
    INVALID,
    /is not the library that/,
  ],
  [
    "half a head",
    first(() => ({ vectorElements: 1.5 })),
    INVALID,
    notOfThisVersion("kernels.0.vectorElements"),
  ],
  [
    "a vector of 0 elements",
    first(() => ({ vectorElements: 0 })),
    INVALID,
    notOfThisVersion("kernels.0.vectorElements"),
  ],
  [
    "a number past 2^53",
    first(() => ({ fragments: 2 ** 60 })),
    INVALID,
    notOfThisVersion("kernels.0.fragments"),
  ],
  [
    "a point without a dtype",
    first(({ point }) => ({ point: { ...point, dtype: undefined } })),
    INVALID,
    notOfThisVersion("kernels.0.point.dtype"),
  ],
  [
    "a kernel that the library lacks",
    kernels((list) => [...list, { ...list[0], id: "qk_norm_rope__bf16_d8_r8_neox" }]),
    INVALID,
    LIES,
  ],
  ["a kernel twice", kernels((list) => [...list, list[0]]), INVALID, LIES],
  ["a kernel too few", kernels((list) => list.slice(1)), INVALID, LIES],
  ["no kernel", kernels(() => []), INVALID, LIES],
  ["the kernels in another order", kernels((list) => list.toReversed()), INVALID, LIES],
  [
    "a point that its id is not of",
    first(({ point }) => ({ point: { ...point, headDim: point.headDim / 2 } })),
    INVALID,
    LIES,
  ],
  [
    "another head_dim, and an id to go with it",
    first(({ id, point }) => ({
      id: id.replaceAll("64", "32"),
      point: { ...point, headDim: 32, rotaryDim: 32 },
    })),
    INVALID,
    LIES,
  ],
  [
    "a smaller vector",
    first(({ vectorElements }) => ({ vectorElements: vectorElements / 2 })),
    INVALID,
    LIES,
  ],
  [
    "another op",
    manifestOf((manifest) => ({ ...manifest, ops: manifest.ops.map((op) => ({ ...op, name: "other" })) })),
    INVALID,
    /kernels.*a kernel is of an op that is not there/,
  ],
  [
    "a stage too few",
    manifestOf((manifest) => ({
      ...manifest,
      ops: manifest.ops.map((op) => ({ ...op, stages: { q: op.stages.q, k: op.stages.k?.slice(1) } })),
    })),
    INVALID,
    LIES,
  ],
  ["the hash of other sources", top({ sourcesSha256: "0".repeat(64) }), INVALID, LIES],
  ["another compiler", top({ compiler: "normrope 99" }), INVALID, LIES],
  [
    "a CPU with more features",
    buildOf({ cpuFeatures: ["sse9", "future\n"] }),
    "cpu-unsupported",
    /lacks: "sse9, future\\n"\. /,
  ],
  [
    "another kind of CPU",
    buildOf({ cpuArch: "riscv128" }),
    "cpu-unsupported",
    /was built for riscv128, and this is/,
  ],
  [
    "a library for CUDA",
    buildOf({ target: "cuda" }),
    "invalid-argument",
    /target is "cpu"\. target must be "cuda"/,
  ],
])("a library is not opened with %s as its manifest", async (_, damage, code, names) => {
  await expectNotOpened(damaged(damage), code, names);
});

test("the manifest of a build is accepted", async () => {
  const built = damaged(() => undefined);
  using library = await open({ target: "cpu", path: built.folder });
  expect(library.manifest).toEqual(readManifest(built));
});

test("a manifest whose keys are in another order says the same", async () => {
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, inner]) => [key, reversed(inner)]),
    );
  };
  const { folder } = damaged(text((before) => JSON.stringify(reversed(JSON.parse(before)))));
  using library = await open({ target: "cpu", path: folder });
  expect(library.manifest.kernels.length).toBeGreaterThan(0);
});
