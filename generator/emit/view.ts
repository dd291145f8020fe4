/**
 * Plans → views of the templates that list all kernels: dispatch, and the bindings for TypeScript.
 *
 * In: plans, ops and the manifest. Out: one flat record of strings, integers and booleans for each template, lists of such
 * records where a template repeats itself. Pure.
 */
import { ARGS_BEHIND, HEADS, type Input, optionalInputs, SIDES, type Side } from "../../dsl/inputs.js";
import { type Manifest, opOf } from "../../dsl/manifest.js";
import { valueOn, written } from "../../dsl/points.js";
import type { AxisValue, KernelPlan, Op } from "../ir.js";
import { layoutsOf } from "./kernel_view.js";
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
      rotaryPairs: plan.rotaryPairs,
      vectorElements: plan.vectorElements,
      ...takenView(plan),
      blockThreads: plan.blockThreads,
      minLoad: plan.throughput.minLoad,
      isStaged: plan.throughput.isStaged,
      layouts: layoutsOf(plan).map(({ symbol, dependentSymbol, headsPerWarp, fragmentsPerLane }) => ({
        symbol,
        dependentSymbol,
        sideCount: plan.sides.length,
        headsPerWarp,
        fragmentsPerLane,
      })),
    })),
  };
}

/** The sides of a kernel in its order, and a bit for each optional input that it takes. */
function takenView({ sides, inputs }: KernelPlan): View {
  const bits = (of: readonly Input[], pathOf: (name: string) => string) =>
    optionalInputs(of).reduce((all, name, bit) => all + (inputs.includes(pathOf(name)) ? 2 ** bit : 0), 0);
  const ofSide = (side: Side) => `${bits(HEADS, (name) => `${side}.${name}`)}`;
  return {
    ...{ sides: sides.map((side) => SIDES.indexOf(side)).join(", "), sideCount: sides.length },
    ...{ qInputs: ofSide("q"), kInputs: ofSide("k"), vInputs: ofSide("v") },
    callInputs: `${bits(ARGS_BEHIND, (name) => name)}`,
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
