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
  /** What the caller calls it, where it is a buffer, and where it is a layout of one. */
  readonly field: string;
  readonly bufferField: string;
  /** That of these which it nearly always is. */
  readonly usualField: string;
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
    const bufferField = `${field}.buffer`;
    return {
      ...{ name: camelCase(name), path, length: `${path}_length`, strides },
      ...{ dtype: rule.dtype, shape: rule.shape },
      layoutFields: ["buffer", "offset", ...strides.map(([option]) => option)],
      ...{ field, bufferField, usualField: strides.length > 1 ? bufferField : field },
    };
  });
}

/** Those of the whole call, and of each side. */
export const CALL_TENSORS = tensorsOf(ARGS_BEHIND);
export const SIDE_TENSORS = { q: tensorsOf(HEADS, "q"), k: tensorsOf(HEADS, "k"), v: tensorsOf(HEADS, "v") };
/** A side's input and output. */
export const SIDE_PLACES = {
  q: placesOf(SIDE_TENSORS.q),
  k: placesOf(SIDE_TENSORS.k),
  v: placesOf(SIDE_TENSORS.v),
};

function placesOf(tensors: readonly Tensor[]): { readonly from: Tensor; readonly to: Tensor } {
  const [from, to] = ["in", "out"].map((name) => tensors.find((tensor) => tensor.name === name));
  if (from === undefined || to === undefined) throw new RangeError("a side has an input and an output");
  return { from, to };
}

const FIELD_NAMES = new Map([
  ...ELSEWHERE,
  ...[CALL_TENSORS, ...Object.values(SIDE_TENSORS)]
    .flat()
    .flatMap(({ path, strides, field, usualField }) => [
      [path, usualField] as const,
      ...strides.map(([option, stride]) => [stride, `${field}.${option}`] as const),
    ]),
]);

/** What the caller calls a field of `normrope_args`. */
export const callerField = (path: string): string => FIELD_NAMES.get(path) ?? camelCase(path);
