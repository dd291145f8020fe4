/** Stage lists by side: which are equal, what a kernel takes for them, and which rules they must keep. */
import { describe, expect, it } from "vitest";
import { STAGES } from "../dsl/axes.js";
import { oneOf } from "../dsl/axis.js";
import { rejectionOf, stageRejection } from "../dsl/legality.js";
import {
  bodiesOf,
  kernelInputs,
  openAxes,
  pairingOf,
  type SideStages,
  type StageCall,
  sideTexts,
  stagesAt,
} from "../dsl/sides.js";
import { defineStage } from "../dsl/stage.js";

const norm = (weight?: string): StageCall => ({ name: "norm", args: weight === undefined ? {} : { weight } });
const rotate = (args: StageCall["args"] = {}): StageCall => ({ name: "rotate", args });
const point = { headDim: 64, rotaryDim: 32, rope: "neox", dtype: "bf16", weight: "plain" };

describe("sides", () => {
  it("with equal stages share a body, wherever they lie, and whatever the order of arguments", () => {
    const stages: SideStages = {
      q: [rotate({ rope: "neox", rotaryDim: 32 })],
      k: [norm()],
      v: [rotate({ rotaryDim: 32, rope: "neox" })],
    };
    expect(bodiesOf(stages).map(({ sides }) => sides)).toEqual([["q", "v"], ["k"]]);
    expect(sideTexts(stages)).toEqual(['q and v: rotate(x, { rope: "neox", rotaryDim: 32 })', "k: norm(x)"]);
    expect(sideTexts({ q: [norm()], k: [norm()], v: [norm()] })).toEqual(["q, k and v: norm(x)"]);
  });

  it("have the axes that not every application of a stage fixes", () => {
    const names = (stages: SideStages) => openAxes(stages).map(({ name }) => name);
    const ofNorm = (...weights: string[]) => [
      ...["headDim", "dtype", "norm", ...weights, "bias", "normRounding", "out"],
    ];
    // Without a weight there is no dtype of one.
    expect(names({ v: [norm("none")] })).toEqual(ofNorm());
    expect(names({ q: [norm("none"), norm()] })).toEqual(ofNorm("weight", "weightDtype"));
    expect(names({ v: [{ name: "norm", args: { norm: "rms", normRounding: "once" } }] })).toEqual([
      ...["headDim", "dtype", "weight", "weightDtype", "out"],
    ]);
    expect(names({ k: [rotate({ rope: "neox", angles: "table", ropeRounding: "once" })] })).toEqual([
      ...["headDim", "rotaryDim", "dtype", "rotaryAt", "positionAxes", "out"],
    ]);
  });

  it("have axes whose conditions arguments settle", () => {
    const conditionOf = (name: string, ...calls: StageCall[]) =>
      openAxes({ q: calls }).find((axis) => axis.name === name)?.when;
    const layer: StageCall = { name: "norm", args: { norm: "layer" } };
    expect(conditionOf("bias", norm())).toEqual({ norm: oneOf("layer") });
    expect(conditionOf("bias", layer)).toBeUndefined();
    expect(conditionOf("bias", norm(), layer)).toBeUndefined();
    expect(openAxes({ q: [layer] }).map(({ name }) => name)).toContain("bias");
  });

  it("are what their stages come down to at a point", () => {
    const at = (values: object) =>
      sideTexts(
        stagesAt({ q: [norm(), rotate()], v: [{ name: "value", args: {} }] }, { ...point, ...values }),
      );
    expect(at({})).toEqual(["q: rotate(norm(x))"]);
    expect(at({ norm: "none" })).toEqual(["q: rotate(x)"]);
    expect(at({ rotaryDim: 0, value: "copy" })).toEqual(["q: norm(x)", "v: x"]);
    expect(at({ value: "norm" })).toEqual([
      ...["q: rotate(norm(x))", 'v: norm(x, { norm: "rms", weight: "none" })'],
    ]);
  });

  it.each<[string, SideStages, string, object]>([
    [
      "both",
      { q: [norm(), rotate()], k: [norm(), rotate()] },
      "positions rope_table attention_factor eps q.in q.out q.weight k.in k.out k.weight",
      {},
    ],
    ["a norm without a weight", { v: [norm("none")] }, "eps v.in v.out", {}],
    ["a norm without one at this point", { v: [norm()] }, "eps v.in v.out", { weight: "none" }],
    ["one of two norms", { q: [norm("none"), norm()] }, "eps q.in q.out q.weight", {}],
    ["a rotation", { k: [rotate()] }, "positions rope_table attention_factor k.in k.out", {}],
    ["given angles", { k: [rotate()] }, "positions cos_sin k.in k.out", { angles: "cos_sin" }],
    [
      "positions of two axes",
      { k: [rotate()] },
      "positions pair_axes rope_table attention_factor k.in k.out",
      { positionAxes: 2 },
    ],
    ["a bias", { v: [norm()] }, "eps v.in v.out v.weight v.bias", { norm: "layer", bias: "add" }],
  ])("take the inputs of their stages: %s", (_, stages, inputs, changed) => {
    const at = { ...point, ...changed };
    expect(kernelInputs(stagesAt(stages, at), at).inputs.join(" ")).toBe(inputs);
  });

  it("have one pairing, by arguments or by the point", () => {
    expect(pairingOf({ q: [norm()], v: [rotate()] }, point)).toEqual({
      ...{ rope: "neox", rotaryDim: 32, start: 0 },
    });
    expect(pairingOf({ q: [rotate({ rotaryDim: 16, rotaryAt: "trailing" })] }, point)).toEqual({
      ...{ rope: "neox", rotaryDim: 16, start: 48 },
    });
    expect(pairingOf({ q: [norm()] }, point)).toBeUndefined();
  });
});

describe("an input of a side", () => {
  const float32: StageCall = { name: "norm", args: { weightDtype: "f32" } };
  const ruleAt = (stages: SideStages, values: object) =>
    rejectionOf({ axes: openAxes(stages), stages }, { ...point, norm: "rms", ...values })?.rule;

  it("is read in one dtype by all stages", () => {
    const stages: SideStages = { q: [float32, norm()], k: [norm("none"), float32] };
    expect(ruleAt(stages, { weightDtype: "same" })).toBe("one_dtype_of_an_input");
    expect(ruleAt(stages, { weightDtype: "f32" })).toBeUndefined();
    expect(ruleAt(stages, { weight: "none", weightDtype: undefined })).toBeUndefined();
  });

  it("may be of another dtype than that of another side", () => {
    expect(ruleAt({ q: [float32], k: [norm()] }, { weightDtype: "same" })).toBeUndefined();
  });
});

describe("rules of stages", () => {
  const sink = defineStage({
    ...{ name: "sink", axes: {}, inputs: [], isSink: true },
    reference: (head) => head,
  }).stage;
  const declared = new Map([...STAGES, ["sink", sink]]);
  const ruleOf = (stages: SideStages) => stageRejection(stages, declared);
  const write: StageCall = { name: "sink", args: {} };

  it.each<[string, SideStages, string | undefined, object | undefined]>([
    ["nothing at all", {}, "nothing_written", undefined],
    [
      "a stage behind a sink",
      { q: [norm()], k: [norm(), write, rotate()] },
      "nothing_after_a_sink",
      { side: "k", index: 2 },
    ],
    ["a sink behind a sink", { v: [write, write] }, "nothing_after_a_sink", { side: "v", index: 1 }],
    ["a sink at the end", { v: [norm(), write] }, undefined, undefined],
    [
      "a pairing that differs",
      { q: [rotate()], v: [norm(), rotate({ rope: "neox" })] },
      "one_pairing",
      { side: "v", index: 1 },
    ],
    ["one pairing twice", { q: [rotate(), norm(), rotate()], k: [rotate()] }, undefined, undefined],
    ["two norms that differ", { q: [norm("none"), norm("one_plus")] }, undefined, undefined],
  ])("%s", (_, stages, rule, at) => {
    const rejection = ruleOf(stages);
    expect([rejection?.rule, rejection?.at]).toEqual([rule, at]);
  });

  it("follow from what is declared, never from a name", () => {
    const renamed = new Map([
      [
        "turn",
        { ...sink, name: "turn", isSink: false, pairing: () => ({ rope: "neox", rotaryDim: 2, start: 0 }) },
      ],
      ["dump", { ...sink, name: "dump" }],
    ]);
    const turn = (args: StageCall["args"] = {}): StageCall => ({ name: "turn", args });
    expect(stageRejection({ q: [turn()], k: [turn()] }, renamed)).toBeUndefined();
    expect(stageRejection({ q: [write, turn()] }, renamed)).toBeUndefined();
    const pairings = { q: [turn()], v: [write, turn({ rope: "neox" })] };
    const pairing = { rule: "one_pairing", at: { side: "v", index: 1 } };
    expect(stageRejection(pairings, renamed)).toMatchObject(pairing);
    const behind = { k: [turn(), { name: "dump", args: {} }, turn()] };
    const sinking = { rule: "nothing_after_a_sink", at: { side: "k", index: 2 } };
    expect(stageRejection(behind, renamed)).toMatchObject(sinking);
  });
});
