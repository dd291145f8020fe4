/** Calls of a kernel with arguments that do not go together, each by its name; no buffer changes by a bit. */
import { describe, expect, test } from "vitest";
import { callerField } from "../../runtime/call_inputs.js";
import { NormropeError } from "../../runtime/errors.js";
import type { RunOptions } from "../../runtime/run_options.js";
import { BAD_ARGS, type BadArgs } from "./args.js";
import {
  between,
  betweenEntries,
  bits,
  HEAD_DIM,
  kernel,
  library,
  openAgain,
  other,
  outOfPlace,
  POINT,
  positions,
  qkv,
  ROW,
  rope,
  TOKENS,
  tableFor,
  validCall,
  weight,
  withIn,
  withQ,
} from "./call.js";
import { expectRefusal, leaving } from "./unchanged.js";

/** Changes to a valid call, as a caller without types could make them; the field that the error must name. */
const BAD: [what: string, field: string, change: () => object][] = [
  ["k that is null", "k", () => ({ k: null })],
  ["an output that is null", "q.out", () => withQ({ out: null })],
  ["half a token", "numTokens", () => ({ numTokens: 1.5 })],
  ["too few positions", "positions", () => ({ positions: library.allocate("int32", TOKENS - 1) })],
  ["positions of another type", "positions", () => ({ positions: weight })],
  ["positions that are no buffer", "positions", () => ({ positions: Int32Array.of(1, 2, 3) })],
  ["no positions", "positions", () => ({ positions: undefined })],
  ["a table that is too short", "ropeTable.turns", () => ({ ropeTable: tableFor(HEAD_DIM - 2) })],
  [
    "a table at an address between pairs of entries",
    "ropeTable.turns",
    () => ({ ropeTable: { ...rope, turns: betweenEntries() } }),
  ],
  ["a table for a larger rotaryDim", "ropeTable.turns", () => ({ ropeTable: tableFor(2 * HEAD_DIM) })],
  ["an eps that no float32 holds", "eps", () => ({ eps: 1e300 })],
  [
    "q over its own input, a head further on",
    "q.out.buffer",
    () => withQ({ numHeads: 1, out: { buffer: qkv, offset: HEAD_DIM / 2, tokenStride: ROW } }),
  ],
  [
    "q over the input of k",
    "q.out.buffer",
    () => withQ({ numHeads: 1, out: { buffer: qkv, offset: 2 * HEAD_DIM, tokenStride: ROW } }),
  ],
  ["k over the output of q", "k.out.buffer", () => ({ q: outOfPlace(0), k: outOfPlace(HEAD_DIM) })],
  ["heads of another head_dim", "q.headDim", () => withQ({ headDim: 2 * HEAD_DIM })],
  ["a misspelt option", "options.epsilon", () => ({ epsilon: 1e-6 })],
  ["a misspelt k", "options.K", () => ({ K: validCall().k })],
  ["a misspelt offset", "q.in.ofset", () => withIn({ ofset: HEAD_DIM })],
  ["a misspelt weight", "q.wieght", () => withQ({ wieght: weight })],
  [
    "a misspelt field of the output",
    "q.out.headstride",
    () => withQ({ out: { buffer: qkv, tokenStride: ROW, headstride: 64 } }),
  ],
  [
    "a misspelt field of the table",
    "ropeTable.attentionfactor",
    () => ({ ropeTable: { ...rope, attentionfactor: 1 } }),
  ],
  ["k on the heads of q", "q.in.buffer", () => ({ k: validCall().q })],
  [
    "k half over the last head of q",
    "q.in.buffer",
    () => ({ k: { ...withIn({ offset: 1.5 * HEAD_DIM }).q, numHeads: 1 } }),
  ],
  [
    "k over the q of the next token",
    "q.in.buffer",
    () => ({ k: withIn({ offset: 3 * HEAD_DIM }).q, numTokens: 2 }),
  ],
  ["no table", "ropeTable", () => ({ ropeTable: undefined })],
  ["no heads", "q", () => ({ q: undefined, k: undefined })],
  ["a stream that is none", "stream", () => ({ stream: 7 })],
  ["a stream of another library", "stream", () => ({ stream: other.createStream() })],
  ["q of another dtype", "q.in.buffer", () => withIn({ buffer: library.allocate("f16", TOKENS * ROW) })],
  ["q in another library", "q.in.buffer", () => withIn({ buffer: other.allocate("bf16", TOKENS * ROW) })],
  ["q beyond its buffer", "q.in.buffer", () => withIn({ offset: HEAD_DIM * 3 })],
  ["a row stride beyond the buffer", "q.in.buffer", () => withIn({ tokenStride: 2 * ROW })],
  ["a head stride beyond the buffer", "q.in.buffer", () => withIn({ headStride: 4 * HEAD_DIM })],
  ["more heads than the buffer holds", "q.in.buffer", () => withQ({ numHeads: 5 })],
  ["a misaligned offset", "q.in.buffer", () => withIn({ offset: 2 })],
  ["a negative row stride", "q.in.tokenStride", () => withIn({ tokenStride: -ROW })],
  ["a NaN row stride", "q.in.tokenStride", () => withIn({ tokenStride: Number.NaN })],
  ["a weight that is too short", "q.weight", () => withQ({ weight: library.allocate("bf16", HEAD_DIM - 1) })],
  ["a weight of nothing", "q.weight", () => withQ({ weight: library.allocate("bf16", 0) })],
  ["an eps that float32 holds as 0", "eps", () => ({ eps: 1e-50 })],
  ["an eps that float32 holds as -0", "eps", () => ({ eps: -1e-50 })],
  ["an offset that is a bigint", "q.in.offset", () => withIn({ offset: 4n })],
  ["an offset at the buffer's end", "q.in.offset", () => withIn({ offset: TOKENS * ROW })],
  ["an offset beyond the buffer's end", "q.in.offset", () => withIn({ offset: TOKENS * ROW + 4 })],
  ["a weight of another dtype", "q.weight", () => withQ({ weight: library.allocate("f16", HEAD_DIM) })],
  [
    "one weight where each head has its own",
    "q.weight",
    () => withQ({ weight: { buffer: weight, headStride: HEAD_DIM } }),
  ],
  [
    "an output beyond its buffer",
    "q.out.buffer",
    () => withQ({ out: { buffer: qkv, offset: ROW, tokenStride: ROW } }),
  ],
  ["a pdl that is no boolean", "pdl", () => ({ pdl: "no" })],
  [
    "heads at an address between vectors",
    "q.in.buffer",
    () => withIn({ buffer: between(qkv), offset: 0 }, { numHeads: 1 }),
  ],
  ["a weight at an address between vectors", "q.weight", () => withQ({ weight: between(weight) })],
  ["rows that are written over each other", "q.in.buffer", () => withIn({ tokenStride: HEAD_DIM })],
  ["a misaligned output", "q.out.buffer", () => withQ({ out: { buffer: qkv, offset: 1, tokenStride: ROW } })],
  ["a row stride past 2^53", "q.in.tokenStride", () => withIn({ tokenStride: 2 ** 53 })],
  ["a row stride that overflows", "q.in.buffer", () => withIn({ tokenStride: 2 ** 52 })],
  ["an offset past 2^53", "q.in.offset", () => withIn({ offset: 2 ** 60 })],
  [
    "an attention factor that no float32 holds",
    "ropeTable.attentionFactor",
    () => ({ ropeTable: { ...rope, attentionFactor: 1e39 } }),
  ],
];

describe("a call with", () => {
  test.each(BAD)("%s is refused, naming %s, and writes nothing", async (_, field, change) => {
    for (const launch of ["run", "prepare", "launchInfo"] as const) {
      const run = () => kernel[launch]({ ...validCall(), ...change() });
      await expectRefusal(bits, run, "invalid-argument", `${field} `);
    }
  });
});

/** Rows of the table of C that a call of the runtime can say: numbers of fields that the caller gives. */
const GIVEN =
  /^(num_tokens|eps|attention_factor|[qk]\.(num_heads|(in|out)_(token|head)_stride|weight_head_stride))$/;
const SAID = BAD_ARGS.filter(([, , , changed]) =>
  Object.entries(changed).every(([path, value]) => GIVEN.test(path) && typeof value !== "object"),
);

/** The call with fields of C changed. */
function spoilt(changed: BadArgs[3]): RunOptions {
  const call = structuredCloneOf(validCall());
  for (const [path, value] of Object.entries(changed)) {
    const [last = "", ...first] = callerField(path).split(".").reverse();
    let object: Record<string, unknown> = call;
    for (const name of first.reverse()) {
      // A result that goes elsewhere lies as the heads do.
      if (object[name] === undefined) object[name] = { buffer: qkv, tokenStride: ROW, headStride: HEAD_DIM };
      object = object[name] as Record<string, unknown>;
    }
    object[last] = Number(value);
  }
  return call as never;
}

/** Objects of its own, around the same buffers. */
const structuredCloneOf = ({ q, k, ropeTable, ...rest }: ReturnType<typeof validCall>) => {
  const own = (heads = q) => ({ ...heads, in: { ...heads.in }, weight: { buffer: heads.weight } });
  return { ...rest, q: own(), k: own(k), ropeTable: { ...ropeTable } } as Record<string, unknown>;
};

describe("what C refuses, the runtime refuses by its own name of the field:", () => {
  test("the table covers most of what a caller can pass", () =>
    expect(SAID.length).toBeGreaterThanOrEqual(30));

  test.each(SAID)("%s that is %s", async (field, _value, _wanted, changed) => {
    const run = () => kernel.run(spoilt(changed));
    await expectRefusal(bits, run, "invalid-argument", RegExp(`^${callerField(field)}(\\.buffer)? `));
  });
});

test("launch info describes a launch without making it", async () => {
  await leaving(bits, () => {
    expect(kernel.launchInfo(validCall())).toEqual({
      ...{ layout: 0, headsPerTask: 1, slices: 1, isDependent: false },
    });
    const nothing = { layout: 0, headsPerTask: 0, slices: 0, isDependent: false };
    expect(kernel.launchInfo({ ...validCall(), numTokens: 0 })).toEqual(nothing);
  });
});

describe("what was freed or closed is refused, and nothing is written:", () => {
  const closed = "closed";
  test.each<[string, () => object, string]>([
    ["heads", () => withIn({ buffer: freed("bf16", TOKENS * ROW) }), "q.in.buffer was freed"],
    [
      "an output",
      () => withQ({ out: { buffer: freed("bf16", TOKENS * ROW), tokenStride: ROW } }),
      "q.out.buffer was freed",
    ],
    ["a weight", () => withQ({ weight: freed("bf16", HEAD_DIM) }), "q.weight was freed"],
    ["positions", () => ({ positions: freed("int32", TOKENS) }), "positions was freed"],
    [
      "a table",
      () => ({ ropeTable: { ...rope, turns: freed("uint64", HEAD_DIM / 2) } }),
      "ropeTable.turns was freed",
    ],
    ["a stream", () => ({ stream: freedStream() }), "the stream was freed"],
  ])("%s", async (_, change, message) => {
    for (const launch of ["run", "prepare"] as const) {
      const call = { ...validCall(), ...change() };
      await expectRefusal(bits, () => kernel[launch](call), closed, message);
    }
  });

  test("a library", async () => {
    const closing = await openAgain();
    const its = await closing.kernel(POINT);
    const buffer = closing.allocate("bf16", 8);
    closing.close();
    const uses: [string, () => unknown][] = [
      ["run", () => its.run(validCall())],
      ["prepare", () => its.prepare(validCall())],
      ["kernel", () => closing.kernel(POINT)],
      ["allocate", () => closing.allocate("bf16", 8)],
      ["upload", () => closing.upload("bf16", new Uint16Array(8))],
      ["borrow", () => closing.borrow("bf16", new Uint16Array(8))],
      ["createStream", () => closing.createStream()],
      ["createEvent", () => closing.createEvent()],
      ["synchronize", () => closing.synchronize()],
      ["read", () => buffer.read(new Uint16Array(8))],
      ["write", () => buffer.write(new Uint16Array(8))],
    ];
    for (const [, use] of uses) await expectRefusal(bits, use, closed, / was (closed|freed)\. /);
  });
});

const freed = (type: "bf16" | "int32" | "uint64", length: number) => {
  const buffer = library.allocate(type, length);
  buffer.free();
  return buffer;
};
const freedStream = () => {
  const stream = library.createStream();
  stream.free();
  return stream;
};

test("the valid call that the bad ones are made from is taken", async () => {
  await leaving(
    () => library.manifest,
    () => kernel.prepare(validCall()).run(),
  );
  expect(() => kernel.run({ ...validCall(), eps: -1 })).toThrow(NormropeError);
  expect(positions.read(new Int32Array(TOKENS))).toEqual(Int32Array.of(1, 2, 3));
  expect(weight.length).toBe(HEAD_DIM);
});
