/**
 * Tables → views of all templates but the kernels'.
 *
 * In: plans, and the tables of inputs and functions. Out: one flat record of strings, integers and booleans for each template,
 * lists of such records where a template repeats itself. Pure.
 */
import { FUNCTION_NAMES, prototypeOf } from "../../dsl/functions.js";
import {
  ARGS_BEFORE,
  ARGS_BEHIND,
  argsLayout,
  C_TYPES,
  type CType,
  type Dimension,
  FIRST_ARGS_BYTES,
  type Field,
  HEADS,
  type Input,
  layOut,
  optionalInputs,
  SIDES,
  type Side,
  type TensorDtype,
} from "../../dsl/inputs.js";
import { ABI_VERSION, type Manifest, opOf } from "../../dsl/manifest.js";
import { valueOn, written } from "../../dsl/points.js";
import { internalError } from "../diagnostics.js";
import type { AxisValue, KernelPlan, Op } from "../ir.js";
import { layoutsOf } from "./kernel_view.js";
import { commented, rawString } from "./spelling.js";

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

/** The sides of a kernel in its order, and which inputs it takes: a bit for each that is optional. */
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

/** What dispatch hands on to kernels, besides where heads lie and where positions do. */
export function paramsView(): View {
  const isTensor = ({ name, rule }: Input) =>
    rule.kind === "tensor" && !["in", "out", "positions"].includes(name);
  return {
    headTensors: HEADS.filter(isTensor).map((input) => ({ ...paramOf(input), strides: stridesOf(input) })),
    callTensors: ARGS_BEHIND.filter(isTensor).map((input) => paramOf(input)),
    // In the order that was timed.
    numbers: ARGS_BEHIND.filter(({ type }) => type === "float")
      .map(({ name }) => ({ name }))
      .reverse(),
    ofEachHead: HEADS.filter(isTensor).flatMap(({ name, rule }) => {
      if (rule.kind !== "tensor" || !rule.shape.includes("num_heads")) return [];
      const stride = rule.strides.num_heads;
      return stride === undefined ? { field: name, none: "nullptr" } : { field: stride, none: "0" };
    }),
  };
}

const isOfKernel = ({ rule }: Input) => rule.kind === "tensor" && rule.dtype === "kernel";

/** What is of the kernel's dtype is addressed in bytes, as heads are. */
const paramOf = (input: Input): View => ({
  name: input.name,
  type: isOfKernel(input) ? "const char *" : input.type,
});

function stridesOf(input: Input): View[] {
  const strides = input.rule.kind === "tensor" ? Object.values(input.rule.strides) : [];
  const elementBytes = isOfKernel(input) ? TENSOR_ELEMENT_BYTES.kernel : 1;
  return strides.map((stride) => ({ stride, elementBytes }));
}

export function headerView(): View {
  return {
    abi: ABI_VERSION,
    heads: HEADS.flatMap(declaration),
    before: ARGS_BEFORE.flatMap(declaration),
    behind: ARGS_BEHIND.flatMap(declaration),
    ...Object.fromEntries(FUNCTION_NAMES.map((name) => [`normrope_${name}`, prototypeOf(name)])),
  };
}

/** The lines of a field in C. */
function declaration({ name, type, count = 1, docs }: Input): View[] {
  const blank = type.endsWith("*") ? "" : " ";
  return commented(`${type}${blank}${name}${count === 1 ? "" : `[${count}]`};`, docs).map((line) => ({
    line,
  }));
}

/** What the C interface checks, field by field. */
export function inputsView(): View {
  const { fields } = argsLayout();
  const args = [...fields.values()].filter(({ input }) => !HEADS.includes(input));
  return {
    firstBytes: FIRST_ARGS_BYTES,
    allHeads: 2 ** optionalInputs(HEADS).length - 1,
    allArgs: 2 ** optionalInputs(ARGS_BEHIND).length - 1,
    tables: [...tablesOf("HEADS", layOut(HEADS).fields), ...tablesOf("ARGS", args)],
    runs: [
      { table: "HEADS_ABSENT_RUNS", runs: absentRuns(layOut(HEADS).fields) },
      { table: "ARGS_ABSENT_RUNS", runs: absentRuns(args) },
    ],
  };
}

/** The fields of one struct by what is done with them: each call goes through all. */
function tablesOf(struct: string, fields: readonly Field[]): View[] {
  const views = inputViews(fields);
  const isOf = (rules: readonly string[]) => (view: View) => rules.includes(`${view.rule}`);
  const apart = ["absent", "tensor"];
  return [
    { table: `${struct}_NUMBERS`, inputs: views.filter((view) => !isOf(apart)(view)) },
    { table: `${struct}_TENSORS`, inputs: views.filter(isOf(["tensor"])) },
    { table: `${struct}_ABSENT`, inputs: views.filter(isOf(["absent"])) },
  ];
}

/** The bytes of absent fields that lie side by side: a call looks at these as a whole. */
function absentRuns(fields: readonly Field[]): View[] {
  const runs: { offset: number; bytes: number }[] = [];
  for (const { input, offset } of fields.filter(({ input }) => input.rule.kind === "absent")) {
    const bytes = C_TYPES[input.type] * (input.count ?? 1);
    const last = runs.at(-1);
    if (last !== undefined && last.offset + last.bytes === offset) last.bytes += bytes;
    else runs.push({ offset, bytes });
  }
  return runs;
}

/** What `Type` of the emitted table is called that holds a value of a C type. */
const typeName = (type: CType) => {
  if (type.endsWith("*")) return "pointer";
  return type === "float" ? "float32" : type.replace("_t", "");
};

/** 0: of `position_bits`. */
const TENSOR_ELEMENT_BYTES: Readonly<Record<TensorDtype, number>> = {
  kernel: 2,
  position: 0,
  uint64: 8,
  float32: 4,
};

const sizeName = (dimension: Dimension) => (dimension === "rotary_dim / 2" ? "rotary_pairs" : dimension);

/** The fields of one struct. */
function inputViews(fields: readonly Field[]): View[] {
  const offsetOf = (name: string) => {
    const field = fields.find(({ input }) => input.name === name);
    if (field === undefined) throw internalError("view", `no field is called ${name}`);
    return field.offset;
  };
  const optional = optionalInputs(fields.map(({ input }) => input));
  return fields.map(({ input, offset }) => {
    const { name, type, count = 1, rule } = input;
    const strides = rule.kind === "tensor" ? Object.entries(rule.strides) : [];
    const [first, second] = strides.map(([size, stride]) => ({ size, stride, offset: offsetOf(stride) }));
    const none = { size: "none", stride: "", offset: 0 };
    const bit = optional.indexOf(input.of ?? name);
    const common = { name, offset, bytes: C_TYPES[type] * count, type: typeName(type), rule: rule.kind, bit };
    const dimensions = { first: first ?? none, second: second ?? none };
    if (rule.kind !== "tensor") {
      const over = rule.kind === "stride" ? rule.over : "none";
      return {
        ...{ ...common, over, ...dimensions },
        ...{ contiguous: "none", alignment: 0, elementBytes: 0, lengthOffset: 0, isExact: false },
      };
    }
    const { shape, alignment, isExact = false } = rule;
    return {
      ...{ ...common, over: "none", ...dimensions },
      contiguous: sizeName(shape.find((dimension) => rule.strides[dimension] === undefined) ?? "num_tokens"),
      alignment: typeof alignment === "number" ? alignment : alignment.toUpperCase(),
      ...{
        elementBytes: TENSOR_ELEMENT_BYTES[rule.dtype],
        lengthOffset: offsetOf(`${name}_length`),
        isExact,
      },
    };
  });
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
