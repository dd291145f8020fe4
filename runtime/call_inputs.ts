/**
 * The table of inputs in the form that calls need.
 *
 * In: the rows of dsl/inputs.ts. Out: the tensors of a side and of the whole call, with their fields and the caller's
 * names of these. Everything is spelled once, since a call takes microseconds.
 */
import { ARGS_BEHIND, type Dimension, HEADS, type Input, type TensorDtype } from "../dsl/inputs.js";
import type { ManifestKernel } from "../dsl/manifest.js";
import { camelCase } from "./camel_case.js";
import type { ElementType } from "./memory.js";

/** The names of strides over dimensions, and of the only other number that belongs to a tensor. */
const STRIDE_OPTIONS = {
  num_tokens: "tokenStride",
  blocks: "blockStride",
  block_size: "slotStride",
  num_heads: "headStride",
  position_axes: "axisStride",
  rows: "rowStride",
} as const;
const BLOCK_SIZE = "blockSize";
export type LayoutOption = (typeof STRIDE_OPTIONS)[keyof typeof STRIDE_OPTIONS] | typeof BLOCK_SIZE;

/** A tensor that a side, or the call, is given. */
export interface Tensor {
  /** The name of the option. */
  readonly name: string;
  /** The paths of its field and of its length. */
  readonly path: string;
  readonly length: string;
  /** The numbers of a layout, mostly strides, each with the path of its field. */
  readonly numbers: readonly (readonly [option: LayoutOption, path: string])[];
  readonly layoutFields: readonly string[];
  readonly dtype: TensorDtype;
  /** The path of the field with the bits of an index. */
  readonly bits: string | undefined;
  /** The sizes of its dimensions, by name. */
  readonly shape: readonly Dimension[];
  /** The caller's names of it and of its buffer. */
  readonly field: string;
  readonly bufferField: string;
  /** Whether these are heads. */
  readonly isHeads: boolean;
}

/** The element types of tensors that have the same for every kernel. */
const TYPES = {
  index: ["int32", "int64"],
  uint8: ["uint8"],
  uint64: ["uint64"],
  float32: ["float32"],
} as const satisfies { readonly [D in Exclude<TensorDtype, "kernel">]: readonly ElementType[] };

/** The element types that a kernel takes for a tensor. */
export function typesOf(
  { point, inputDtypes }: Pick<ManifestKernel, "point" | "inputDtypes">,
  { path, dtype }: Tensor,
): readonly [ElementType, ...ElementType[]] {
  if (dtype !== "kernel") return TYPES[dtype];
  const own = inputDtypes[path] ?? point.dtype;
  return [own === "f32" ? "float32" : own];
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
    const sizes = inputs.filter((input) => input.of === name && input.rule.kind === "positive");
    const numbers = [...strides, ...sizes.map((size) => [BLOCK_SIZE, pathOf(size.name)] as const)];
    const field = ELSEWHERE.get(path) ?? camelCase(path);
    return {
      ...{ name: camelCase(name), path, length: `${path}_length`, numbers },
      ...{ dtype: rule.dtype, shape: rule.shape, bits: rule.bits },
      layoutFields: [
        ...["buffer", "offset", ...numbers.map(([option]) => option)],
        ...(rule.shape[0] === "blocks" ? ["blocks"] : []),
      ],
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
    .flatMap(({ path, numbers, field, bufferField }) => [
      [path, bufferField] as const,
      ...numbers.map(([option, stride]) => [stride, `${field}.${option}`] as const),
    ]),
]);

/** The caller's name of a field of `normrope_args`. */
export const callerField = (path: string): string => FIELD_NAMES.get(path) ?? camelCase(path);
