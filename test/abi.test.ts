/** The C interface: the struct as C lays it out, every status of normrope_run, and the errors' words. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { argsLayout, FIRST_ARGS_BYTES, SIDES } from "../dsl/inputs.js";
import { findCxx } from "../generator/build/toolchain.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { loadLibrary, type NativeFunctions } from "../runtime/library.js";
import { type Fields, packedArgs } from "./c_args.js";
import { buildFixture, CONFIGS } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

test("the struct is laid out where C reads it", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "normrope.h"), header());
  const { fields, bytes } = argsLayout();
  const lines = [...fields.keys()].map((path) => `P("${path}", offsetof(normrope_args, ${path}));`);
  const source = `#include <stdio.h>\n#include "normrope.h"
#define P(name, at) printf("%s %zu\\n", name, (size_t)(at))
int main(void) { ${lines.join("\n")} P("size", sizeof(normrope_args)); return 0; }\n`;
  writeFileSync(join(folder, "offsets.c"), source);
  await compileIn(folder, "-x", "c", "-std=c99", "-pedantic", "offsets.c", "-o", "offsets");
  const printed = execFileSync(join(folder, "offsets"), { encoding: "utf8" }).trim().split("\n");
  const expected = [...fields].map(([path, { offset }]) => `${path} ${offset}`);
  expect(printed).toEqual([...expected, `size ${bytes}`]);
  // Callers that were built against the first header of version 2 have its fields where they are. A later field of a side is one of
  // its reserved words, which they leave 0.
  const first = readFileSync(join(PACKAGE_ROOT, "test", "c_layout_2.txt"), "utf8")
    .trim()
    .split("\n");
  const isReserved = (line: string) => line.includes(".reserved ");
  expect(expected).toEqual(expect.arrayContaining(first.filter((line) => !isReserved(line))));
  expect(first.filter(isReserved)).toHaveLength(SIDES.length);
  expect(first.length).toBe(119);
  expect(first).toContain(`block_size ${FIRST_ARGS_BYTES - 8}`);
});

const header = () =>
  emit(compile(CONFIGS.default)).find(({ path }) => path === "include/normrope.h")?.text ?? "";

async function compileIn(folder: string, ...args: string[]): Promise<void> {
  const cxx = await findCxx();
  execFileSync(cxx?.path ?? "g++", ["-Wall", "-Werror", ...args], { cwd: folder });
}

test("a library whose struct has grown takes callers that were built against this one", async () => {
  const folder = temporaryFolder();
  const files = emit(compile(CONFIGS.default)).filter(({ path }) => /^(common|include)\//.test(path));
  for (const { path, text } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    const grown = text.replace("} normrope_args;", "  int64_t later;\n} normrope_args;");
    writeFileSync(join(folder, path), path === "include/normrope.h" ? grown : text);
  }
  writeFileSync(join(folder, "first.h"), header());
  writeFileSync(
    join(folder, "table.cpp"),
    `#include "abi.hpp"
namespace normrope {
const KernelEntry KERNELS[] = {{"one", 64, 2, 32, 4, 4, 1, 0, {{7}, {7}, {}}, {15}}};
const int KERNEL_COUNT = 1;
const char *const MANIFEST = "{}";
int check_data(const KernelEntry &, const normrope_args &) { return NORMROPE_OK; }
}
extern "C" long long later(const normrope_args *args) {
  normrope_args storage;
  return normrope::read_args(0, args, storage) == NORMROPE_OK ? args->later : -1;
}\n`,
  );
  writeFileSync(
    join(folder, "caller.c"),
    `#include "first.h"
#include <stdio.h>
extern long long later(const normrope_args *args);
int main(void) {
  struct { normrope_args args; long long behind; } memory = {{0}, 7};
  memory.args.struct_size = sizeof memory.args;
  memory.args.position_bits = 32;
  printf("%d %lld\\n", normrope_check(0, &memory.args), later(&memory.args));
  memory.args.struct_size -= 8;
  printf("%d\\n", normrope_check(0, &memory.args));
  return 0;
}\n`,
  );
  const include = ["-Iinclude", "-Icommon"];
  await compileIn(
    folder,
    "-std=c++17",
    ...include,
    "-c",
    "common/abi.cpp",
    "common/validate.cpp",
    "table.cpp",
  );
  await compileIn(folder, "-x", "c", "-c", "caller.c");
  await compileIn(folder, "caller.o", "abi.o", "validate.o", "table.o", "-o", "caller");
  expect(execFileSync(join(folder, "caller"), { encoding: "utf8" })).toBe("0 0\n-1\n");
});

describe("normrope_run", () => {
  let c: NativeFunctions;
  let kernel: number;
  const headDim = 64;
  const data = new Uint16Array(4 * headDim).fill(0x3f80);
  let memory: bigint;
  beforeAll(async () => {
    c = loadLibrary((await buildFixture("default", "cpu")).library).functions;
    kernel = c.find("qk_norm_rope__bf16_d64_r64_neox");
    const out = new BigUint64Array(1);
    expect(c.memoryAllocate(4096, new Uint8Array(out.buffer))).toBe(0);
    memory = out[0] ?? 0n;
  });

  const run = (changed: Fields = {}) => c.run(kernel, packedArgs(memory, headDim, changed), 0n);
  const bytes = new Uint8Array(data.buffer);
  const fill = () => c.copyToDevice(memory, bytes, bytes.length, 0n);
  const contents = () => {
    const read = new Uint8Array(bytes.length);
    c.copyToHost(read, memory, read.length, 0n);
    return read;
  };

  test("runs valid arguments", () => {
    fill();
    expect(run()).toBe(0);
    expect(contents()).not.toEqual(bytes);
  });

  test("succeeds at once if there is nothing to do, whatever the pointers", () => {
    fill();
    const noPointers = { "q.in": 0n, "q.out": 0n, positions: 0n, rope_table: 0n };
    expect(run({ ...noPointers, num_tokens: 0 })).toBe(0);
    expect(run({ ...noPointers, "q.num_heads": 0, "k.num_heads": 0 })).toBe(0);
    expect(contents()).toEqual(bytes);
  });

  test("names its statuses, and finds kernels by id", () => {
    const texts = [0, -1, -2, -3, -4, -5, -99].map((status) => c.statusText(status));
    expect(new Set(texts).size).toBe(7);
    expect(c.find("qk_norm_rope__bf16_d1000_r1000_neox")).toBe(-2);
    expect(c.lastError()).toContain("qk_norm_rope__bf16_d1000_r1000_neox");
    expect(c.abi()).toBe(2);
  });
});
