/**
 * Plans → views of the templates that list all kernels: dispatch, and the bindings for TypeScript.
 *
 * In: plans, ops and the manifest. Out: one flat record of strings, integers and booleans for each template, lists of such
 * records where a template repeats itself. Pure.
 */
import { FORMATS } from "../../dsl/dtypes.js";
import { ARGS_BEHIND, HEADS, type Input, optionalInputs, SIDES, type Side } from "../../dsl/inputs.js";
import { type Manifest, opOf } from "../../dsl/manifest.js";
import { valueOn, written } from "../../dsl/points.js";
import type { OtherDtype } from "../../dsl/stage.js";
import type { AxisValue, KernelPlan, Op } from "../ir.js";
import { layoutsOf, paramsType } from "./kernel_view.js";
import { rawString } from "./spelling.js";

export type ViewValue = string | number | boolean | View | readonly View[];
export interface View {
  readonly [name: string]: ViewValue;
}

export function dispatchView(plans: readonly KernelPlan[], manifest: Manifest): View {
  return {
    kernelCount: plans.length,
    manifest: rawString(JSON.stringify(manifest)),
    kernels: plans.map((plan) => ({
      id: plan.id,
      headDim: plan.point.headDim,
      elementBytes: FORMATS[plan.point.dtype].bytes,
      rotaryPairs: plan.rotaryPairs,
      vectorElements: plan.vectorElements,
      pairsAtOnce: plan.pairsAtOnce,
      positionAxes: plan.positionAxes,
      ...takenView(plan),
      blockThreads: plan.blockThreads,
      layouts: layoutsOf(plan).map(({ symbol, dependentSymbol, headsPerWarp, fragmentsPerLane }) => ({
        symbol,
        dependentSymbol,
        sideCount: plan.sides.length,
        paramsType: paramsType(plan),
        headsPerWarp,
        fragmentsPerLane,
      })),
    })),
  };
}

/** The sides of a kernel in its order, and its inputs: a bit for each. */
function takenView(plan: KernelPlan): View {
  const { sides, inputs, optionalInputs: optional, inputDtypes } = plan;
  const withDtype = (dtype: OtherDtype) => inputs.filter((path) => inputDtypes[path] === dtype);
  const bits = (of: readonly Input[], paths: readonly string[], pathOf: (name: string) => string) =>
    optionalInputs(of).reduce((all, name, bit) => all + (paths.includes(pathOf(name)) ? 2 ** bit : 0), 0);
  const entry = (of: readonly Input[], pathOf: (name: string) => string) =>
    `{ ${[inputs, optional, withDtype("f32"), withDtype("e4m3")].map((paths) => bits(of, paths, pathOf)).join(", ")} }`;
  const ofSide = (side: Side) => entry(HEADS, (name) => `${side}.${name}`);
  return {
    ...{ sides: sides.map((side) => SIDES.indexOf(side)).join(", "), sideCount: sides.length },
    ...{ qInputs: ofSide("q"), kInputs: ofSide("k"), vInputs: ofSide("v") },
    callInputs: entry(ARGS_BEHIND, (name) => name),
    copiedSides: plan.copiedSides.reduce((all, side) => all + 2 ** SIDES.indexOf(side), 0),
  };
}

export function bindingsView(ops: readonly Op[], plans: readonly KernelPlan[]): View {
  return {
    kernels: plans.map((plan) => {
      const { axes } = opOf(ops, plan);
      const named = new Set(written(axes, plan.point).map(([{ name }]) => name));
      const field = (name: string, value: AxisValue, isRequired: boolean) => ({
        ...{ name, optional: isRequired ? "" : "?", type: JSON.stringify(value) },
      });
      return {
        id: plan.id,
        fields: [
          field("op", plan.op, ops.length > 1),
          ...axes.flatMap((axis) => {
            const value = valueOn(axis, plan.point);
            return value === undefined ? [] : [field(axis.name, value, named.has(axis.name))];
          }),
        ],
      };
    }),
  };
}
