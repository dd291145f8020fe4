/** Kernel ids: injective, read back exactly, and nothing else is taken for one. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AXES, type Axis, type AxisValue, type ConfigPoint } from "../dsl/axes.js";
import { hasMeaning } from "../dsl/points.js";
import type { SideStages } from "../dsl/sides.js";
import { kernelId, OP_NAME, opId, parseKernelId } from "../generator/kernel_id.js";
import { readShippedOp, shippedOp } from "../generator/op_file.js";

const ROPES = ["neox", "interleaved"] as const;
const DTYPES = ["bf16", "f16"] as const;

/** Any value of an axis, of the whole table. */
const anyValue = (axis: Axis): fc.Arbitrary<AxisValue> =>
  axis.kind === "enum"
    ? fc.constantFrom(...axis.values)
    : fc
        .integer({ min: Math.ceil(axis.min / axis.step), max: axis.max / axis.step })
        .map((n) => n * axis.step);

/** Any value of every axis that applies. */
const anyPoint: fc.Arbitrary<ConfigPoint> = fc
  .record(Object.fromEntries(AXES.map((axis) => [axis.name, anyValue(axis)])))
  .map((values) => {
    const point: Record<string, AxisValue> = {};
    for (const axis of AXES) {
      const value = values[axis.name];
      if (value !== undefined && hasMeaning(axis, point)) point[axis.name] = value;
    }
    return point as unknown as ConfigPoint;
  });
/** What an id spells of a point. */
const spelled = (point: ConfigPoint) =>
  Object.fromEntries(
    Object.entries(point).filter(
      ([name, value]) => value !== AXES.find((axis) => axis.name === name)?.default,
    ),
  );
/** Ops without a stage: what sets them apart is their name. */
const anyOp = fc.stringMatching(OP_NAME).map((name) => ({ name, axes: AXES, stages: {} }));

const shipped = readShippedOp();

/** The stages of an op that ships, without caches. */
const withoutCache = (name: string): SideStages =>
  Object.fromEntries(
    Object.entries(shippedOp(name).stages).map(([side, calls]) => [
      side,
      calls?.filter((call) => call.name !== "cache"),
    ]),
  );

describe("opId", () => {
  const norm = { name: "norm", args: {} };
  const rotate = { name: "rotate", args: {} };
  const fixed = (args: Record<string, string | number>) => ({ name: "rotate", args });

  it("is the name of the op that ships, whatever its ranges", () => {
    expect(opId(shipped)).toBe("qk_norm_rope");
    expect(opId({ ...shipped, axes: [] } as typeof shipped)).toBe("qk_norm_rope");
  });

  it("tells other stages, sides, orders and arguments from it and from each other, under any name", () => {
    const both = (stages: SideStages["q"]): SideStages => ({ q: stages, k: stages });
    const lists = [
      both([rotate, norm]),
      both([norm]),
      both([norm, fixed({ rotaryDim: 64 })]),
      both([norm, fixed({ rotaryDim: 32 })]),
      both([norm, fixed({ rope: "neox" })]),
      { q: [norm, rotate] },
      { k: [norm, rotate] },
      { q: [norm], k: [rotate] },
      { ...both([norm, rotate]), v: [norm] },
    ];
    const ids = ["qk_norm_rope", "mine"].flatMap((name) => lists.map((stages) => opId({ name, stages })));
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^(qk_norm_rope|mine)_[0-9a-f]{8}$/);
    expect(opId({ ...shipped, name: "mine" })).toBe("mine_877f07b4");
  });

  it("tells apart what the tags of a point do not: a side that may be left alone, and what else is done to it", () => {
    const value = { name: "value", args: {} };
    const lists: SideStages[] = [
      { q: [norm] },
      { q: [norm], k: [value] },
      { q: [value], k: [norm] },
      { q: [norm], v: [value, norm] },
      { q: [norm], v: [norm, value] },
      { q: [norm], v: [{ name: "value", args: { value: "copy" } }] },
      { q: [norm], v: [] },
    ];
    const idOf = (stages: SideStages) => opId({ name: "mine", stages });
    expect(new Set(lists.map(idOf)).size).toBe(lists.length);
    // v alone is told by a tag of the point.
    expect(idOf({ q: [norm], v: [value] })).toBe(idOf({ q: [norm] }));
  });

  it("does not depend on a cache of k and v, which a tag tells, and does on one of k or v alone", () => {
    const cache = { name: "cache", args: {} };
    const [value, e4m3] = [
      { name: "value", args: {} },
      { name: "cache", args: { cache: "e4m3" } },
    ];
    const idOf = (stages: SideStages) => opId({ name: "mine", stages });
    const plain = { q: [norm], k: [norm], v: [value] };
    expect(idOf({ q: [norm], k: [norm, cache], v: [value, cache] })).toBe(idOf(plain));
    const others: SideStages[] = [
      plain,
      { q: [norm], k: [norm, cache], v: [value] },
      { q: [norm], k: [norm], v: [value, cache] },
      { q: [norm], k: [norm, cache], v: [cache] },
      { q: [norm], k: [norm, e4m3], v: [value, cache] },
      { q: [norm], k: [norm, e4m3], v: [value, e4m3] },
    ];
    expect(new Set(others.map(idOf)).size).toBe(others.length);
    // An op that lacks the caches of one that ships has its name.
    expect(opId({ name: "q_norm_kv_norm_rope", stages: withoutCache("q_norm_kv_norm_rope") })).toBe(
      "q_norm_kv_norm_rope",
    );
  });

  it("is of no matter how arguments are ordered where they are written", () => {
    const idOf = (args: Record<string, string | number>) =>
      opId({ name: "mine", stages: { q: [fixed(args)] } });
    expect(idOf({ rope: "neox", rotaryDim: 64 })).toBe(idOf({ rotaryDim: 64, rope: "neox" }));
  });

  it("is read back from a kernel's id", () => {
    const point = { headDim: 128, rotaryDim: 64, rope: "neox", dtype: "bf16" } as const;
    const op = { name: "mine", axes: AXES, stages: { q: [norm] } };
    expect(parseKernelId(kernelId(op, point))).toEqual({ op: opId(op), values: point });
  });
});

describe("kernelId", () => {
  it("spells every axis that has no constant default", () => {
    const point = { headDim: 128, rotaryDim: 64, rope: "neox", dtype: "bf16" } as const;
    expect(kernelId(shipped, point)).toBe("qk_norm_rope__bf16_d128_r64_neox");
  });

  it("is read back to the op and the point that it names", () => {
    fc.assert(
      fc.property(anyOp, anyPoint, (op, point) => {
        expect(parseKernelId(kernelId(op, point))).toEqual({ op: opId(op), values: spelled(point) });
      }),
      { numRuns: 300 },
    );
  });

  it("gives different points different ids", () => {
    const points = Array.from({ length: 127 }, (_, i) => 8 * (i + 2)).flatMap((headDim) =>
      [2, headDim / 2, headDim].flatMap((rotaryDim) =>
        ROPES.flatMap((rope) => DTYPES.map((dtype) => ({ headDim, rotaryDim, rope, dtype }))),
      ),
    );
    expect(new Set(points.map((point) => kernelId(shipped, point))).size).toBe(points.length);
  });

  it("gives different ops different ids", () => {
    fc.assert(
      fc.property(anyOp, anyPoint, anyOp, anyPoint, (op, point, otherOp, otherPoint) => {
        fc.pre(op.name !== otherOp.name);
        expect(kernelId(op, point)).not.toBe(kernelId(otherOp, otherPoint));
      }),
      { numRuns: 300 },
    );
  });

  it("is a C identifier", () => {
    fc.assert(
      fc.property(anyOp, anyPoint, (op, point) => {
        expect(kernelId(op, point)).toMatch(/^[a-z][a-z0-9_]*$/);
      }),
    );
  });
});

describe("parseKernelId", () => {
  it.each([
    ["nothing", ""],
    ["no point", "qk_norm_rope"],
    ["an empty point", "qk_norm_rope__"],
    ["no op", "__bf16_d128_r64_neox"],
    ["a single underscore before the point", "qk_norm_rope_bf16_d128_r64_neox"],
    ["a doubled underscore in the op", "qk__norm_rope__bf16_d128_r64_neox"],
    ["a doubled underscore in the point", "qk_norm_rope__bf16_d128__r64_neox"],
    ["a third part", "qk_norm_rope__bf16_d128_r64_neox__x"],
    ["an op in capitals", "QK_norm_rope__bf16_d128_r64_neox"],
    ["a point in capitals", "qk_norm_rope__BF16_d128_r64_neox"],
    ["an op that starts with a digit", "1op__bf16_d128_r64_neox"],
    ["an op that ends in an underscore", "qk____bf16_d128_r64_neox"],
    ["a leading zero in head_dim", "qk_norm_rope__bf16_d0128_r64_neox"],
    ["a leading zero in rotary_dim", "qk_norm_rope__bf16_d128_r064_neox"],
    ["a head_dim of zero", "qk_norm_rope__bf16_d0_r64_neox"],
    ["a negative head_dim", "qk_norm_rope__bf16_d-128_r64_neox"],
    ["a head_dim with a fraction", "qk_norm_rope__bf16_d128.5_r64_neox"],
    ["a head_dim beyond exact integers", "qk_norm_rope__bf16_d99999999999999999999_r64_neox"],
    ["an unknown rope", "qk_norm_rope__bf16_d128_r64_spiral"],
    ["an unknown dtype", "qk_norm_rope__f32_d128_r64_neox"],
    ["a missing axis", "qk_norm_rope__bf16_r64_neox"],
    ["a value at its default", "qk_norm_rope__bf16_d128_r64_neox_plain"],
    ["axes in another order", "qk_norm_rope__bf16_r64_d128_neox"],
    ["a space before", " qk_norm_rope__bf16_d128_r64_neox"],
    ["a line break after", "qk_norm_rope__bf16_d128_r64_neox\n"],
    ["a file name", "qk_norm_rope__bf16_d128_r64_neox.cu"],
  ])("refuses %s", (_, id) => {
    expect(parseKernelId(id)).toBeUndefined();
  });
});
