/** The C interface: the struct as C lays it out, every status of normrope_run, and the errors' words. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { compile, emit } from "../generator/pipeline.js";
import { findCxx } from "../generator/toolchain.js";
import { ARGS, HEADS } from "../runtime/call.js";
import { loadLibrary, type NativeFunctions } from "../runtime/library.js";
import { packedArgs } from "./c_args.js";
import { buildFixture, CONFIGS } from "./fixture.js";
import { temporaryFolder } from "./helpers.js";

const snake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

test("the runtime writes the struct where C reads it", async () => {
  const folder = temporaryFolder();
  const header = emit(compile(CONFIGS.default)).find(({ path }) => path === "include/normrope.h");
  writeFileSync(join(folder, "normrope.h"), header?.text ?? "");
  const { size, ...args } = ARGS;
  const lines = [
    ...Object.keys(args).map((name) => `P("${name}", offsetof(normrope_args, ${snake(name)}));`),
    ...Object.keys(HEADS).map((name) => `P("heads.${name}", offsetof(normrope_heads, ${snake(name)}));`),
    `P("size", sizeof(normrope_args));`,
  ];
  const source = `#include <stdio.h>\n#include "normrope.h"
#define P(name, at) printf("%s %zu\\n", name, (size_t)(at))
int main(void) { ${lines.join("\n")} return 0; }\n`;
  writeFileSync(join(folder, "offsets.c"), source);
  const cxx = await findCxx();
  execFileSync(
    cxx?.path ?? "g++",
    ["-x", "c", "-std=c99", "-Wall", "-Werror", "-pedantic", "offsets.c", "-o", "offsets"],
    {
      cwd: folder,
    },
  );
  const printed = execFileSync(join(folder, "offsets"), { encoding: "utf8" }).trim().split("\n");
  const heads = Object.entries(HEADS).map(([name, at]) => `heads.${name} ${at}`);
  expect(printed).toEqual([
    ...Object.entries(args).map(([name, at]) => `${name} ${at}`),
    ...heads,
    `size ${size}`,
  ]);
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
    expect(c.allocate(4096, new Uint8Array(out.buffer))).toBe(0);
    memory = out[0] ?? 0n;
  });

  function run(change: (view: DataView) => void, index = kernel): number {
    const view = packedArgs(memory, headDim);
    change(view);
    return c.run(index, new Uint8Array(view.buffer), 0n);
  }
  const bytes = new Uint8Array(data.buffer);
  const fill = () => c.copyToDevice(memory, bytes, bytes.length, 0n);
  const contents = () => {
    const read = new Uint8Array(bytes.length);
    c.copyToHost(read, memory, read.length, 0n);
    return read;
  };

  test("runs valid arguments", () => {
    fill();
    expect(run(() => undefined)).toBe(0);
    expect(contents()).not.toEqual(bytes);
  });

  const q = (field: keyof typeof HEADS) => ARGS.q + HEADS[field];

  test("succeeds at once with nothing to do, whatever the pointers are", () => {
    fill();
    const noPointers = (v: DataView) => {
      for (const at of [q("in"), q("out"), ARGS.positions, ARGS.ropeTable]) v.setBigUint64(at, 0n, true);
    };
    expect(run((v) => [noPointers(v), v.setBigInt64(ARGS.numTokens, 0n, true)])).toBe(0);
    const noHeads = (v: DataView) =>
      [q("numHeads"), ARGS.k + HEADS.numHeads].map((at) => v.setInt32(at, 0, true));
    expect(run((v) => [noPointers(v), noHeads(v)])).toBe(0);
    expect(contents()).toEqual(bytes);
  });

  test("names its statuses, and finds kernels by id", () => {
    const texts = [0, -1, -2, -3, -4, -5, -99].map((status) => c.statusText(status));
    expect(new Set(texts).size).toBe(7);
    expect(c.find("qk_norm_rope__bf16_d1000_r1000_neox")).toBe(-2);
    expect(c.lastError()).toContain("qk_norm_rope__bf16_d1000_r1000_neox");
    expect(c.abi()).toBe(1);
  });
});
