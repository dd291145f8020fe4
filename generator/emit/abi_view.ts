/**
 * The table of inputs → views of the C interface's templates: the header, the checks, and the parameters of kernels.
 *
 * In: the tables of inputs and functions. Out: records of strings, integers and booleans, and lists of them. Pure.
 */
import { FUNCTION_NAMES, prototypeOf } from "../../dsl/functions.js";
import {
  type Alignment,
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
  type TensorDtype,
} from "../../dsl/inputs.js";
import { ABI_VERSION } from "../../dsl/manifest.js";
import { internalError } from "../diagnostics.js";
import { commented } from "./spelling.js";
import type { View } from "./view.js";

/** Tensors whose place in the parameters was timed. Others come behind all that kernels without them read. */
const FIRST_TENSORS = ["weight", "rope_table"];
/** Tensors that say where and how a side is stored. */
const STORE_TENSORS = ["cache", "cache_scale", "out_scale"];
/** Tensors that the template writes by hand. */
const OWN_TENSORS = ["in", "out", "positions", "slots"];

const isTensor = ({ name, rule }: Input) => rule.kind === "tensor" && !OWN_TENSORS.includes(name);

/** The parameters of kernels. Heads and positions are in the template. */
export function paramsView(): View {
  const isOther = (name: string) => ![...FIRST_TENSORS, ...STORE_TENSORS].includes(name);
  const tensorsOf = (inputs: readonly Input[], isIt: (name: string) => boolean) =>
    inputs
      .filter((input) => isTensor(input) && isIt(input.name))
      .map((input) => ({ ...paramOf(input), strides: stridesOf(input, optionalInputs(inputs)) }));
  const isFirst = (name: string) => FIRST_TENSORS.includes(name);
  return {
    headTensors: tensorsOf(HEADS, isFirst),
    sideTensors: tensorsOf(HEADS, isOther),
    storeTensors: tensorsOf(HEADS, (name) => STORE_TENSORS.includes(name)),
    // None of these has strides.
    callTensors: tensorsOf(ARGS_BEHIND, isFirst).map(({ strides: _, ...rest }) => rest),
    otherTensors: tensorsOf(ARGS_BEHIND, isOther),
    ...{ inBit: bitOf("in"), outBit: bitOf("out") },
    // In the order that was timed.
    numbers: ARGS_BEHIND.filter(({ type }) => type === "float")
      .map(({ name }) => ({ name }))
      .reverse(),
    ofEachHead: HEADS.filter(isTensor).flatMap(({ name, rule }) => {
      if (rule.kind !== "tensor" || rule.shape[0] !== "num_heads") return [];
      const stride = rule.strides.num_heads;
      return stride === undefined ? { field: name, none: "nullptr" } : { field: stride, none: "0" };
    }),
  };
}

/** The bit of an input of a side. */
const bitOf = (name: string) => optionalInputs(HEADS).indexOf(name);

const isOfKernel = ({ rule }: Input) => rule.kind === "tensor" && rule.dtype === "kernel";

/** Tensors of the kernel's dtype are addressed in bytes, as heads are. */
const paramOf = (input: Input): View => ({
  name: input.name,
  type: !isOfKernel(input) ? input.type : input.type === "void *" ? "char *" : "const char *",
});

function stridesOf(input: Input, optional: readonly string[]): View[] {
  const strides = input.rule.kind === "tensor" ? Object.values(input.rule.strides) : [];
  const elementBytes = isOfKernel(input)
    ? `element_bytes(kernel, inputs, ${optional.indexOf(input.name)})`
    : 1;
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

/** The checks of every field. */
export function inputsView(): View {
  const { fields } = argsLayout();
  const args = [...fields.values()].filter(({ input }) => !HEADS.includes(input));
  return {
    firstBytes: FIRST_ARGS_BYTES,
    allHeads: 2 ** optionalInputs(HEADS).length - 1,
    allArgs: 2 ** optionalInputs(ARGS_BEHIND).length - 1,
    ...{ inBit: bitOf("in"), outBit: bitOf("out"), cacheBit: bitOf("cache") },
    tables: [...tablesOf("HEADS", layOut(HEADS).fields), ...tablesOf("ARGS", args)],
    runs: [
      counted("HEADS_ABSENT_RUNS", "runs", absentRuns(layOut(HEADS).fields)),
      counted("ARGS_ABSENT_RUNS", "runs", absentRuns(args)),
    ],
  };
}

/** The fields of a struct, grouped by kind of check: each call goes through all. */
function tablesOf(struct: string, fields: readonly Field[]): View[] {
  const views = inputViews(fields);
  const isOf = (rules: readonly string[]) => (view: View) => rules.includes(`${view.rule}`);
  const apart = ["absent", "tensor"];
  return [
    counted(
      `${struct}_NUMBERS`,
      "inputs",
      views.filter((view) => !isOf(apart)(view)),
    ),
    counted(`${struct}_TENSORS`, "inputs", views.filter(isOf(["tensor"]))),
    counted(`${struct}_ABSENT`, "inputs", views.filter(isOf(["absent"]))),
  ];
}

/** A table of C, with the number of its rows. */
const counted = (table: string, name: string, rows: readonly View[]): View => ({
  ...{ table, count: rows.length, [name]: rows },
});

/** Runs of adjacent absent fields: a call compares each run as a whole. */
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

/** The name of a C type in the emitted enum `Type`. */
const typeName = (type: CType) => {
  if (type.endsWith("*")) return "pointer";
  return type === "float" ? "float32" : type.replace("_t", "");
};

/** Bytes of an element. 0: the kernel says it, or the field with an index's bits. */
const TENSOR_ELEMENT_BYTES: Readonly<Record<TensorDtype, number>> = {
  kernel: 0,
  index: 0,
  uint8: 1,
  uint64: 8,
  float32: 4,
};

const sizeName = (dimension: Dimension | "none") =>
  dimension === "rotary_dim / 2" ? "rotary_pairs" : dimension;
const alignmentName = (alignment: Alignment) =>
  typeof alignment === "number" ? alignment : alignment.toUpperCase();

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
    const [first, second, third] = strides.map(([size, stride]) => ({
      size,
      stride,
      offset: offsetOf(stride),
    }));
    const none = { size: "none", stride: "", offset: 0 };
    const bit = optional.indexOf(input.of ?? name);
    const common = { name, offset, bytes: C_TYPES[type] * count, type: typeName(type), rule: rule.kind, bit };
    const dimensions = { first: first ?? none, second: second ?? none, third: third ?? none };
    if (rule.kind !== "tensor") {
      const isStride = rule.kind === "stride";
      const over = isStride ? sizeName(rule.over) : "none";
      return {
        ...{ ...common, over, ...dimensions, alignment: isStride ? alignmentName(rule.alignment) : 0 },
        ...{ contiguous: "none", elementBytes: 0, bitsOffset: 0, lengthOffset: 0, isExact: false },
      };
    }
    const { shape, alignment, isExact = false } = rule;
    return {
      ...{ ...common, over: "none", ...dimensions },
      contiguous: sizeName(shape.find((dimension) => rule.strides[dimension] === undefined) ?? "none"),
      alignment: alignmentName(alignment),
      elementBytes: TENSOR_ELEMENT_BYTES[rule.dtype],
      bitsOffset: rule.bits === undefined ? 0 : offsetOf(rule.bits),
      lengthOffset: offsetOf(`${name}_length`),
      isExact,
    };
  });
}
