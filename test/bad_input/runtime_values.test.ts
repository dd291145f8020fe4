/** Anything in the place of anything: no value that a caller without types could give gets past, or changes a bit. */
import { describe, test } from "vitest";
import { decode, encode, encodeAll } from "../../runtime/dtype.js";
import { packedHeads } from "../../runtime/heads.js";
import { open } from "../../runtime/open.js";
import { ropeTable, tableOf } from "../../runtime/rope_table.js";
import { bits, kernel, library, NO_VALUES, POINT, rope, validCall, weight, withIn, withQ } from "./call.js";
import { expectRefusal } from "./unchanged.js";

const run = (change: object) => () => kernel.run({ ...validCall(), ...change });
const table = (change: object) => () => ropeTable({ base: 1e4, rotaryDim: 64, ...change });
interface Place {
  readonly place: string;
  /** What the message must begin with. */
  readonly names: string;
  readonly use: (value: unknown) => () => unknown;
  /** The values that mean something there. */
  readonly takes: readonly string[];
}
const at = (place: string, names: string, use: Place["use"], takes: readonly string[] = []): Place => ({
  ...{ place, names, use, takes },
});
/** What has no field that is asked for is as good as {}. */
const EMPTY = [
  "a list",
  "a date",
  "a number in a box",
  "an object without a prototype",
  "an object that is no number",
];

/** Where a value can be given. */
const PLACES: readonly Place[] = [
  ...["q", "k", "numTokens", "positions", "ropeTable", "stream", "pdl"].map((field) =>
    at(`run: ${field}`, field, (value) => run({ [field]: value })),
  ),
  at("run: eps", "eps", (value) => run({ eps: value })),
  ...["buffer", "offset", "tokenStride", "headStride"].map((field) =>
    at(`run: q.in.${field}`, `q.in.${field}`, (value) => run(withIn({ [field]: value }))),
  ),
  ...["in", "numHeads", "headDim", "weight", "out"].map((field) =>
    at(`run: q.${field}`, `q.${field}`, (value) => run(withQ({ [field]: value }))),
  ),
  ...["buffer", "offset", "headStride"].map((field) =>
    at(`run: q.weight.${field}`, `q.weight.${field}`, (value) =>
      run(withQ({ weight: { buffer: weight, [field]: value } })),
    ),
  ),
  at("run: ropeTable.turns", "ropeTable.turns", (value) => run({ ropeTable: { ...rope, turns: value } })),
  at(
    "run: ropeTable.attentionFactor",
    "ropeTable.attentionFactor",
    (value) => run({ ropeTable: { ...rope, attentionFactor: value } }),
    ["-1"],
  ),
  at("run", "(options|q)", (value) => () => kernel.run(value as never)),
  at("prepare", "(options|q)", (value) => () => kernel.prepare(value as never)),
  at("open", "options", (value) => () => open(value as never), EMPTY),
  at("open: target", "target", (value) => () => open({ target: value as never })),
  at("open: path", "path", (value) => () => open({ target: "cpu", path: value as never }), ["text"]),
  at("kernel", "point", (value) => () => library.kernel(value as never), EMPTY),
  at("supports", "point", (value) => () => library.supports(value as never), EMPTY),
  at("allocate: type", "type", (value) => () => library.allocate(value as never, 1)),
  at("allocate: length", "length", (value) => () => library.allocate("bf16", value as never)),
  at("upload", "data", (value) => () => library.upload("bf16", value as never)),
  at(
    "borrow: address",
    "address",
    (value) => () => library.borrow("bf16", { address: value as never, length: 1 }),
  ),
  at(
    "borrow: length",
    "length",
    (value) => () => library.borrow("bf16", { address: 4096n, length: value as never }),
  ),
  at(
    "uploadRope: invFreq",
    "table.invFreq",
    (value) => () => library.uploadRope({ attentionFactor: 1, invFreq: value } as never),
  ),
  at("write", "data", (value) => () => weight.write(value as never)),
  at("write: offset", "offset", (value) => () => weight.write(new Uint16Array(1), value as never)),
  at("read", "data", (value) => () => weight.read(value as never)),
  at("read: stream", "stream", (value) => () => weight.read(new Uint16Array(1), 0, value as never)),
  at("event: start", "start", (value) => () => library.createEvent().millisecondsSince(value as never)),
  at("ropeTable", "(parameters|base)", (value) => () => ropeTable(value as never)),
  at("ropeTable: base", "base", (value) => table({ base: value }), ["1e308"]),
  at("ropeTable: rotaryDim", "rotaryDim", (value) => table({ rotaryDim: value })),
  at("ropeTable: scaling", "scaling", (value) => table({ scaling: value }), ["null"]),
  at("ropeTable: scaling.type", "scaling.type", (value) => table({ scaling: { type: value } })),
  at("tableOf", "invFreq", (value) => () => tableOf(value as never, 1)),
  at("packedHeads", "(packed|headDim)", (value) => () => packedHeads(value as never)),
  at("encode: dtype", "dtype", (value) => () => encode(value as never, 1)),
  at("decode", "bits", (value) => () => decode("bf16", value as never)),
  at("encodeAll", "values", (value) => () => encodeAll("bf16", value as never), ["a list"]),
];

describe.each(PLACES)("$place", ({ names, use, takes }) => {
  test.each(NO_VALUES.filter(([what]) => !takes.includes(what)))("is not %s", async (_what, value) => {
    const pattern = new RegExp(`(^${names}\\b|^(options|parameters|memory|table) cannot be read)`);
    await expectRefusal(bits, use(value), "invalid-argument", pattern);
  });
});

describe.each(["headDim", "rotaryDim", "rope", "dtype"])("the %s of a kernel", (axis) => {
  test.each(NO_VALUES.filter(([what]) => !(axis === "rotaryDim" && what === "null")))(
    "is not %s",
    async (_what, value) => {
      const wanted = { ...POINT, [axis]: value };
      await expectRefusal(
        bits,
        () => library.kernel(wanted as never),
        "kernel-not-found",
        RegExp(`${axis} is .* must be`),
      );
    },
  );
});
