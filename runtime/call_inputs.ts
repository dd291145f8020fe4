/**
 * The table of inputs in the form that calls need.
 *
 * In: the rows of dsl/inputs.ts. Out: the tensors of a side and of the whole call, with their fields and the caller's
 * names of these. Everything is spelled once, since a call takes microseconds.
 */
import { ARGS_BEHIND, type Dimension, HEADS, type Input, type TensorDtype } from "../dsl/inputs.js";
import { camelCase } from "./camel_case.js";

/** The names of strides over dimensions. */
const STRIDE_OPTIONS = {
  num_tokens: "tokenStride",
  num_heads: "headStride",
  position_axes: "axisStride",
  rows: "rowStride",
} as const;
export type StrideOption = (typeof STRIDE_OPTIONS)[keyof typeof STRIDE_OPTIONS];

/** A tensor that a side, or the call, is given. */
export interface Tensor {
  /** The name of the option. */
  readonly name: string;
  /** The paths of its field and of its length. */
  readonly path: string;
  readonly length: string;
  /** The strides of a layout, each with the path of its field. */
  readonly strides: readonly (readonly [option: StrideOption, path: string])[];
  readonly layoutFields: readonly string[];
  readonly dtype: TensorDtype;
  /** The sizes of its dimensions, by name. */
  readonly shape: readonly Dimension[];
  /** The caller's names of it and of its buffer. */
  readonly field: string;
  readonly bufferField: string;
  /** Whether these are heads. */
  readonly isHeads: boolean;
}

const isHeads = (shape: readonly Dimension[]) => shape.includes("num_tokens") && shape.includes("head_dim");

/** Fields that the caller passes under another name. */
const ELSEWHERE = new Map([
  ["rope_table", "ropeTable.turns"],
  ["attention_factor", "ropeTable.attentionFactor"],
]);

function tensorsOf(inputs: readonly Input[], side = ""): readonly Tensor[] {
  const pathOf = (name: string) => (side === "" ? name : `${side}.${name}`);
  return inputs.flatMap(({ name, rule }) => {
    if (rule.kind !== "tensor") return [];
    const path = pathOf(name);
    const strides = Object.entries(STRIDE_OPTIONS).flatMap(([dimension, option]) => {
      const stride = rule.strides[dimension as keyof typeof STRIDE_OPTIONS];
      return stride === undefined ? [] : [[option, pathOf(stride)] as const];
    });
    const field = ELSEWHERE.get(path) ?? camelCase(path);
    return {
      ...{ name: camelCase(name), path, length: `${path}_length`, strides },
      ...{ dtype: rule.dtype, shape: rule.shape },
      layoutFields: ["buffer", "offset", ...strides.map(([option]) => option)],
      ...{ field, bufferField: isHeads(rule.shape) ? `${field}.buffer` : field },
      isHeads: isHeads(rule.shape),
    };
  });
}

/** The tensors of the whole call, and of each side. */
export const CALL_TENSORS = tensorsOf(ARGS_BEHIND);
export const SIDE_TENSORS = { q: tensorsOf(HEADS, "q"), k: tensorsOf(HEADS, "k"), v: tensorsOf(HEADS, "v") };
const FIELD_NAMES = new Map([
  ...ELSEWHERE,
  ...[CALL_TENSORS, ...Object.values(SIDE_TENSORS)]
    .flat()
    .flatMap(({ path, strides, field, bufferField }) => [
      [path, bufferField] as const,
      ...strides.map(([option, stride]) => [stride, `${field}.${option}`] as const),
    ]),
]);

/** The caller's name of a field of `normrope_args`. */
export const callerField = (path: string): string => FIELD_NAMES.get(path) ?? camelCase(path);
