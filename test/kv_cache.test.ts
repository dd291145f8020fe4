/** The stages that write, `cache` and `out`: what a kernel takes for them, and what its id says. */
import { describe, expect, it } from "vitest";
import { OUT, type SideStages, type StageCall, sideTexts, stagesAt } from "../dsl/sides.js";
import type { KernelPlan } from "../generator/ir.js";
import { opId } from "../generator/kernel_id.js";
import { readShippedOp, readShippedOps } from "../generator/op_file.js";
import { compileText, diagnosticsOf, spaceOf } from "./helpers.js";

const REST = 'rope: ["neox"], dtype: ["bf16"]';
/** The plans of the shipped op at some values of what is written. */
const shippedAt = (values: string): readonly KernelPlan[] =>
  compileText(spaceOf(`{ headDim: [64], ${REST}, ${values} }`)).plans;
/** The plans of an op of the config's own. */
function plansOf(sides: string, values = "", name = "mine", rest = REST): readonly KernelPlan[] {
  const entry = `{ headDim: [64], ${rest}, ${values} }`;
  return compileText(`import { cache, defineOp, defineSpace, norm, rotate, value } from "normrope/dsl";
export default defineSpace(defineOp({ name: "${name}", ${sides} }), ${entry});\n`).plans;
}
function only<T>(list: readonly T[]): T {
  const [one, ...others] = list;
  if (one === undefined || others.length > 0) throw new Error(`there are ${list.length}`);
  return one;
}

/** What is written, and with which inputs. */
const STORES = /^slots$|\.(out|cache)(_scale)?$/;
const storesOf = ({ inputs, optionalInputs, inputDtypes }: KernelPlan) =>
  inputs
    .filter((path) => STORES.test(path))
    .map(
      (path) =>
        `${path}${optionalInputs.includes(path) ? "?" : ""}${inputDtypes[path] === "e4m3" ? ":e4m3" : ""}`,
    )
    .join(" ");

describe("a kernel", () => {
  it.each([
    ["no cache", "", "q.out k.out"],
    // Of v nothing else is written, so that it has no output.
    ["a cache", 'cache: ["same"]', "slots q.out k.out? k.cache v.cache"],
    ["a cache and v copied", 'cache: ["same"], value: ["copy"]', "slots q.out k.out? k.cache v.out? v.cache"],
    ["v copied alone", 'value: ["copy"]', "q.out k.out v.out"],
    [
      "a cache of e4m3",
      'cache: ["e4m3"]',
      "slots q.out k.out? k.cache:e4m3 k.cache_scale? v.cache:e4m3 v.cache_scale?",
    ],
    ["outputs of e4m3", 'out: ["e4m3"]', "q.out:e4m3 q.out_scale? k.out:e4m3 k.out_scale?"],
    [
      "all of e4m3, and a norm of v",
      'cache: ["e4m3"], out: ["e4m3"], value: ["norm"]',
      [
        "slots q.out:e4m3 q.out_scale? k.out?:e4m3 k.cache:e4m3 k.cache_scale? k.out_scale?",
        "v.out?:e4m3 v.cache:e4m3 v.cache_scale? v.out_scale?",
      ].join(" "),
    ],
  ])("with %s takes it, and may leave out an output where there is a cache", (_, values, stores) => {
    expect(storesOf(only(shippedAt(values)))).toBe(stores);
  });

  it("has a body for each list of stages, and code for each side where a cache makes all differ", () => {
    const bodies = (values: string) => only(shippedAt(values)).bodies.map(({ text }) => text);
    expect(bodies("")).toEqual(["q and k: rotate(norm(x))"]);
    expect(bodies('cache: ["same"]')).toEqual([
      "q: rotate(norm(x))",
      "k: cache(rotate(norm(x)))",
      "v: cache(x)",
    ]);
    expect(bodies('cache: ["e4m3"], norm: ["none"], value: ["copy"]')).toEqual([
      ...["q: rotate(x)", "k: cache(rotate(x))", "v: cache(x)"],
    ]);
    expect(only(shippedAt("")).isBySide).toBe(false);
    expect(only(shippedAt('cache: ["same"]')).isBySide).toBe(true);
    const same = only(
      plansOf("q: (x) => rotate(x), k: (x) => cache(x), v: (x) => cache(x)", 'cache: ["same"]'),
    );
    expect([same.isBySide, same.bodies.length]).toEqual([false, 2]);
  });

  it("stores a head last: in the cache, then in the output, if there is one", () => {
    const stages = (values: string) =>
      only(shippedAt(values)).bodies.map(({ sides, stages }) => [
        sides.join(),
        ...stages.filter(({ isSink }) => isSink).map(({ name }) => name),
      ]);
    expect(stages("")).toEqual([["q,k", "out"]]);
    expect(stages('cache: ["same"]')).toEqual([
      ["q", "out"],
      ["k", "cache", "out"],
      ["v", "cache"],
    ]);
    expect(stages('cache: ["same"], value: ["copy"]').at(-1)).toEqual(["v", "cache", "out"]);
  });

  it("only copies a side that no cache takes", () => {
    expect(only(shippedAt('value: ["copy"]')).copiedSides).toEqual(["v"]);
    expect(only(shippedAt('cache: ["same"], value: ["copy"]')).copiedSides).toEqual([]);
  });

  it("of a cache alone writes it, and there is none without", () => {
    const plansAt = (values: string) => plansOf("k: (x) => cache(x)", values, "mine", 'dtype: ["bf16"]');
    expect(storesOf(only(plansAt('cache: ["same"]')))).toBe("slots k.out? k.cache");
    expect(diagnosticsOf(() => plansAt(""))).toMatchObject([{ code: "entry-without-kernel" }]);
  });
});

describe("an argument", () => {
  const FIXED = 'k: (x) => cache(rotate(x), { cache: "same" }), v: (x) => cache(value(x), { cache: "e4m3" })';

  it("fixes whether a cache is written, and its dtype, side by side with another", () => {
    const plan = only(plansOf(FIXED));
    expect(storesOf(plan)).toBe("slots k.out? k.cache v.cache:e4m3 v.cache_scale?");
    expect(plan.point).not.toHaveProperty("cache");
    expect(plan.id).toMatch(/^mine_[0-9a-f]{8}__bf16_d64_r64_neox$/);
  });

  it("of one stage leaves the axis open for the other", () => {
    const plans = plansOf(
      'k: (x) => cache(rotate(x), { cache: "same" }), v: (x) => cache(norm(x))',
      'cache: ["none", "e4m3"]',
    );
    expect(plans.map(storesOf).sort()).toEqual([
      ...["slots k.out? k.cache v.out", "slots k.out? k.cache v.out? v.cache:e4m3 v.cache_scale?"],
    ]);
  });

  it("that turns the cache off leaves none", () => {
    const plan = only(plansOf('k: (x) => cache(rotate(x), { cache: "none" })'));
    expect([storesOf(plan), plan.inputs.includes("slots")]).toEqual(["k.out", false]);
  });
});

describe("an id", () => {
  it("ends with what is written, where that is not the default", () => {
    const ids = (values: string) =>
      shippedAt(values).map(({ id }) => id.replace("qk_norm_rope__bf16_d64_r64_neox", ""));
    expect(ids('cache: ["none", "same", "e4m3"], out: ["same", "e4m3"]').sort()).toEqual(
      ["", "_kv", "_kv8", "_out8", "_kv_out8", "_kv8_out8"].sort(),
    );
    expect(ids('cache: ["e4m3"], value: ["copy"], angles: ["cos_sin"], norm: ["none"]')).toEqual([
      "_nonorm_cs16_vcopy_kv8",
    ]);
  });

  it("of an op that equals the shipped one without its cache is the shipped one's", () => {
    const sides = "head: (x) => rotate(norm(x)), v: (x) => value(x)";
    const plan = only(plansOf(sides, "", "qk_norm_rope"));
    expect(plan.id).toBe("qk_norm_rope__bf16_d64_r64_neox");
    expect(plan.point).not.toHaveProperty("cache");
    // Another name, and a cache on one side alone, are told apart.
    expect(only(plansOf(sides)).id).toMatch(/^mine_/);
    const cached = "q: (x) => rotate(norm(x)), k: (x) => cache(rotate(norm(x)))";
    expect(only(plansOf(cached, 'cache: ["same"]', "qk_norm_rope")).id).toMatch(
      /^qk_norm_rope_[0-9a-f]{8}__.*_kv$/,
    );
  });

  it("tells k's cache from v's", () => {
    const list = (k: StageCall[], v: StageCall[]): SideStages => ({
      q: [rotate],
      k: [rotate, ...k],
      v: [norm, ...v],
    });
    const [rotate, norm, cache] = ["rotate", "norm", "cache"].map((name) => ({ name, args: {} })) as [
      ...[StageCall, StageCall, StageCall],
    ];
    const idOf = (stages: SideStages) => opId({ name: "mine", stages });
    const lists = [list([], []), list([cache], []), list([], [cache])];
    expect(new Set(lists.map(idOf)).size).toBe(lists.length);
    // A cache of both is told by the point's tag.
    expect(idOf(list([cache], [cache]))).toBe(idOf(list([], [])));
    // An argument is in no tag.
    expect(idOf(list([cache], [{ ...cache, args: { cache: "same" } }]))).not.toBe(idOf(list([], [])));
  });
});

describe("the shipped ops", () => {
  it("write k into the cache, and v where they have one; never q", () => {
    for (const { stages } of readShippedOps()) {
      expect(stages.q?.some(({ name }) => name === "cache")).toBe(false);
      expect(stages.k?.at(-1)?.name).toBe("cache");
      if (stages.v !== undefined) expect(stages.v.at(-1)?.name).toBe("cache");
    }
  });

  it("are what they were without a cache", () => {
    const { stages } = readShippedOp();
    const point = { headDim: 64, rotaryDim: 64, rope: "neox", dtype: "bf16" };
    expect(sideTexts(stagesAt(stages, point))).toEqual(["q and k: rotate(norm(x))"]);
    const left = stagesAt(stages, { ...point, value: "copy" });
    expect(left.v).toEqual([OUT]);
    expect(left.k).toEqual(left.q);
  });
});
