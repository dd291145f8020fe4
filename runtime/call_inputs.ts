/**
 * The table of inputs, as a call reads it.
 *
 * In: the rows of dsl/inputs.ts. Out: the tensors of a side and of the whole call, with the fields that they go in, and what
 * the caller calls each field. All are spelled once: a call takes microseconds.
 */
import { ARGS_BEHIND, type Dimension, HEADS, type Input, type TensorDtype } from "../dsl/inputs.js";
import { camelCase } from "./camel_case.js";

/** A tensor that a side, or the call, is given. */
export interface Tensor {
  /** The option that has it. */
  readonly name: string;
  /** Its field, and that of its length. */
  readonly path: string;
  readonly length: string;
  /** What a layout of it may have besides: each stride with its field. */
  readonly strides: readonly (readonly [option: "tokenStride" | "headStride", path: string])[];
  readonly layoutFields: readonly string[];
  readonly dtype: TensorDtype;
  /** Names of the dimensions' sizes. */
  readonly shape: readonly Dimension[];
  /** What the caller calls it, and its buffer. */
  readonly field: string;
  readonly bufferField: string;
}

/** Fields that the caller has in another place. */
const ELSEWHERE = new Map([
  ["rope_table", "ropeTable.turns"],
  ["attention_factor", "ropeTable.attentionFactor"],
]);

function tensorsOf(inputs: readonly Input[], side = ""): readonly Tensor[] {
  const pathOf = (name: string) => (side === "" ? name : `${side}.${name}`);
  return inputs.flatMap(({ name, rule }) => {
    if (rule.kind !== "tensor") return [];
    const path = pathOf(name);
    const { num_tokens: overTokens, num_heads: overHeads } = rule.strides;
    const strides = [
      ...(overTokens === undefined ? [] : [["tokenStride", pathOf(overTokens)] as const]),
      ...(overHeads === undefined ? [] : [["headStride", pathOf(overHeads)] as const]),
    ];
    const field = ELSEWHERE.get(path) ?? camelCase(path);
    return {
      ...{ name: camelCase(name), path, length: `${path}_length`, strides },
      ...{ dtype: rule.dtype, shape: rule.shape },
      layoutFields: ["buffer", "offset", ...strides.map(([option]) => option)],
      ...{ field, bufferField: strides.length > 1 ? `${field}.buffer` : field },
    };
  });
}

/** Those of the whole call, and of each side. */
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

/** What the caller calls a field of `normrope_args`. */
export const callerField = (path: string): string => FIELD_NAMES.get(path) ?? camelCase(path);
