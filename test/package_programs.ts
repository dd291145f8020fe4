/** What a user of the package writes: a TypeScript program, ops of their own, and calls of them in both languages. */

/** Compiles the programs, and what was generated. */
export const TSCONFIG = {
  compilerOptions: {
    ...{ target: "ES2022", module: "NodeNext", strict: true, exactOptionalPropertyTypes: true },
    ...{ outDir: "out", rootDir: ".", types: [], lib: ["ES2023", "DOM"] },
  },
  include: ["program.ts", "wrong.ts", "generated/ts"],
};

/** A program of a project whose kernels are typed. */
export const PROGRAM = `import { NormropeError, packedHeads, ropeTable } from "normrope/runtime";
import { open } from "./generated/ts/kernels.js";

const library = await open({ target: "cpu" });
const kernel = await library.kernel({ headDim: 96, rope: "neox", dtype: "bf16" });
const weight = library.upload("bf16", new Uint16Array(96).fill(0x3f80));
const qkv = library.upload("bf16", new Uint16Array(3 * 96).fill(0x4000));
const positions = library.upload("int32", Int32Array.of(0));
const rope = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: 96 }));
const counts = { headDim: 96, numQHeads: 1, numKHeads: 1, numVHeads: 1 };
const heads = packedHeads({ qkv, ...counts, qWeight: weight, kWeight: weight });
kernel.run({ ...heads, numTokens: 1, positions, ropeTable: rope, eps: 0 });
console.log(kernel.id, [...new Set(qkv.read(new Uint16Array(3 * 96)))].map((bits) => bits.toString(16)).join());
try {
  library.allocate("bf16", -1);
} catch (error) {
  if (error instanceof NormropeError) console.log(error.code);
}
library.close();
`;

/** Ops as users write them. */
export const SENTENCES = `import { defineOp, defineSpace, norm, rotate } from "normrope/dsl";
const dtype = "bf16" as const;
const point = { headDim: 64, rope: "neox", dtype } as const;
export default [
  defineSpace(defineOp({ name: "my_rope_norm", head: (x) => norm(rotate(x)) }), point),
  defineSpace(defineOp({ name: "my_weightless", head: (x) => rotate(norm(x, { weight: "none" })) }), point),
  defineSpace(defineOp({ name: "my_one_plus", head: (x) => rotate(norm(x, { weight: "one_plus" })) }), point),
  defineSpace(defineOp({ name: "my_only_rope", head: (x) => rotate(x) }), point),
  defineSpace(defineOp({ name: "my_only_norm", head: (x) => norm(x) }), { headDim: 64, dtype }),
  defineSpace(
    defineOp({ name: "my_v4", q: (x) => rotate(norm(x, { weight: "none" })), k: (x) => rotate(norm(x)) }),
    point,
  ),
  defineSpace(defineOp({ name: "my_twice", head: (x) => norm(rotate(norm(x))) }), point),
  defineSpace(
    defineOp({ name: "my_v", head: (x) => rotate(norm(x)), v: (x) => norm(x, { weight: "none" }) }),
    point,
  ),
];
`;

/**
 * The first element of a q, a k and a v head of fours at position 1, with weights of 2, from the equations: a norm makes 1
 * of each 4, and RoPE multiplies the first pair's a by cos 1 - sin 1 = -0.301, and keeps the mean of the squares.
 */
export const FIRST_ELEMENTS: Readonly<Record<string, string>> = {
  ...{ my_rope_norm: "-0.6 -0.6 4.0", my_weightless: "-0.3 -0.3 4.0", my_one_plus: "-0.9 -0.9 4.0" },
  ...{ my_only_rope: "-1.2 -1.2 4.0", my_only_norm: "2.0 2.0 4.0", my_v4: "-0.3 -0.6 4.0" },
  ...{ my_twice: "-0.6 -0.6 4.0", my_v: "-0.6 -0.6 1.0" },
};

/** Calls each kernel with what it takes. */
export const CALLS = `import { decode, open, ropeTable } from "normrope/runtime";
const library = await open({ target: "cpu" });
for (const { op, point, inputs } of library.manifest.kernels) {
  const kernel = await library.kernel({ ...point, op });
  const buffer = library.upload("bf16", new Uint16Array(3 * 64).fill(0x4080));
  const weight = library.upload("bf16", new Uint16Array(64).fill(0x4000));
  const options = { numTokens: 1 };
  ["q", "k", "v"].forEach((side, i) => {
    if (!inputs.includes(side + ".in")) return;
    options[side] = { in: { buffer, offset: 64 * i, tokenStride: 192 }, numHeads: 1 };
    if (inputs.includes(side + ".weight")) options[side].weight = weight;
  });
  if (inputs.includes("positions")) options.positions = library.upload("int32", Int32Array.of(1));
  if (inputs.includes("rope_table"))
    options.ropeTable = library.uploadRope(ropeTable({ base: 1e4, rotaryDim: 64 }));
  if (inputs.includes("eps")) options.eps = 0;
  kernel.run(options);
  const bits = buffer.read(new Uint16Array(3 * 64));
  console.log(op, ...[0, 64, 128].map((i) => decode("bf16", bits[i]).toFixed(1)));
}
library.close();
`;

/** The same in Python. */
export const PYTHON_CALLS = `import json
import struct
from array import array
import normrope
manifest = json.load(open("build/cpu/manifest.json"))
def number(bits):
    return struct.unpack("<f", struct.pack("<HH", 0, bits))[0]
for kernel in manifest["kernels"]:
    inputs, point = kernel["inputs"], kernel["point"]
    heads = {s: array("H", [0x4080] * 64) for s in "qkv"}
    given = {s: memoryview(x).cast("B").cast("H", (1, 1, 64)) for s, x in heads.items() if s + ".in" in inputs}
    for s in "qkv":
        if s + ".weight" in inputs:
            given[s + "_weight"] = array("H", [0x4000] * 64)
    if "positions" in inputs:
        given["positions"] = array("i", [1])
        given["rope_table"] = normrope.RopeTable(base=1e4, rotary_dim=64)
        given["rope"] = point["rope"]
    if "eps" in inputs:
        given["eps"] = 0
    normrope.Op(kernel["op"]).in_place(dtype="bf16", **given)
    print(kernel["op"], *(f"{number(x[0]):.1f}" for x in heads.values()))
`;
