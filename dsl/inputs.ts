/**
 * The table of inputs: every tensor and number that a call passes, in the order of the C structs.
 *
 * In: nothing. Out: the rows of `normrope_heads` and `normrope_args`, and their offsets. The header with its comments, the
 * checks in C, the packing in TypeScript and the structs of Python are made from these rows.
 */
import {
  ABSENT,
  absent,
  type Field,
  type Input,
  int64,
  layOut,
  partOf,
  strideOver,
  type TensorRule,
  tensor,
} from "./input.js";

export {
  type Alignment,
  C_TYPES,
  type CType,
  type Dimension,
  type Field,
  type Input,
  layOut,
  type Rule,
  type TensorDtype,
} from "./input.js";

const STRIDED = (prefix: "in" | "out"): TensorRule => ({
  ...{ kind: "tensor", shape: ["num_tokens", "num_heads", "head_dim"], alignment: "vector", dtype: "kernel" },
  strides: { num_tokens: `${prefix}_token_stride`, num_heads: `${prefix}_head_stride` },
});

const SCALE_DOCS =
  "[1], or [num_heads] with its stride: an e4m3 number is value / scale; a scale is from 2^-126 to 2^100; NULL: 1";
const SCALE_STRIDE_DOCS = "in elements; 0: one scale for all heads";
const SCALE = (name: string): TensorRule => ({
  ...{ kind: "tensor", shape: ["num_heads"], alignment: "element", dtype: "float32" },
  strides: { num_heads: `${name}_head_stride` },
});

/** The size of `normrope_heads` in words of 8 bytes. It never changes, since q, k and v are adjacent. */
const HEADS_WORDS = 40;

/** The fields, then the reserved words. */
function withReserved<const Fields extends readonly Input[]>(fields: Fields): readonly [...Fields, Input] {
  const count = HEADS_WORDS - layOut(fields).end / 8;
  return [
    ...fields,
    { ...absent("reserved", "int64_t", "0: the struct never grows, since k lies behind q"), count },
  ];
}

/** All the heads of a side. A new input comes last. */
export const HEADS = withReserved([
  ...tensor(
    "in",
    "const void *",
    "[num_tokens, num_heads, head_dim], strided: head 0 of token 0",
    STRIDED("in"),
  ),
  ...tensor(
    "out",
    "void *",
    "the same shape, the kernel's dtype or e4m3; may be NULL for k and v where the kernel writes a cache",
    STRIDED("out"),
  ),
  partOf("in", "in_token_stride", "in elements", strideOver("num_tokens")),
  partOf("in", "in_head_stride", "in elements", strideOver("num_heads")),
  partOf("out", "out_token_stride", "in elements", strideOver("num_tokens")),
  partOf("out", "out_head_stride", "in elements", strideOver("num_heads")),
  int64("num_heads", "0 or more; with 0 the inputs of the side are ignored", { kind: "count" }),
  absent("heads_per_group", "int64_t", "0: heads lie in no groups"),
  absent("in_group_stride", "int64_t", "0"),
  absent("out_group_stride", "int64_t", "0"),
  ...tensor(
    "weight",
    "const void *",
    "[head_dim], or [num_heads, head_dim] with weight_head_stride; the kernel's dtype, or float32",
    {
      ...{ kind: "tensor", shape: ["num_heads", "head_dim"], alignment: "vector", dtype: "kernel" },
      strides: { num_heads: "weight_head_stride" },
    },
  ),
  partOf("weight", "weight_head_stride", "in elements; 0: one weight for all heads", strideOver("num_heads")),
  ...tensor("bias", "const void *", "the same shape as the weight, of its dtype", {
    ...{ kind: "tensor", shape: ["num_heads", "head_dim"], alignment: "vector", dtype: "kernel" },
    strides: { num_heads: "bias_head_stride" },
  }),
  partOf("bias", "bias_head_stride", "in elements; 0: one bias for all heads", strideOver("num_heads")),
  ...tensor(
    "cache",
    "void *",
    "k and v: [blocks, block_size, num_heads, head_dim], strided: the paged KV cache; the kernel's dtype, or e4m3",
    {
      ...{ kind: "tensor", shape: ["blocks", "block_size", "num_heads", "head_dim"] },
      strides: {
        ...{ blocks: "cache_block_stride", block_size: "cache_slot_stride", num_heads: "cache_head_stride" },
      },
      ...{ alignment: "vector", dtype: "kernel" },
    },
  ),
  partOf("cache", "cache_block_stride", "in elements", strideOver("blocks")),
  partOf("cache", "cache_slot_stride", "in elements", strideOver("block_size")),
  partOf("cache", "cache_head_stride", "in elements", strideOver("num_heads")),
  ...tensor("cache_scale", "const float *", SCALE_DOCS, SCALE("cache_scale")),
  partOf("cache_scale", "cache_scale_head_stride", SCALE_STRIDE_DOCS, strideOver("num_heads", "element")),
  ...tensor("out_scale", "const float *", SCALE_DOCS, SCALE("out_scale")),
  ...tensor("row_sum", "float *", "NULL", ABSENT),
  absent("row_sum_stride", "int64_t", "0"),
  absent("norm_width", "int64_t", "0"),
  partOf("out_scale", "out_scale_head_stride", SCALE_STRIDE_DOCS, strideOver("num_heads", "element")),
]);

type NameOfTensor<Field> = Field extends { readonly name: infer Name; readonly rule: TensorRule }
  ? Name
  : never;

/** The tensors of a side, by their names. */
export type HeadTensor = NameOfTensor<(typeof HEADS)[number]>;

/** The sides of a call, in their order. */
export const SIDES = ["q", "k", "v"] as const;
export type Side = (typeof SIDES)[number];

/** The fields of `normrope_args` before the sides. */
export const ARGS_BEFORE: readonly Input[] = [
  { name: "struct_size", type: "uint32_t", docs: "sizeof(normrope_args)", rule: { kind: "size" } },
  { name: "flags", type: "uint32_t", docs: "0 or NORMROPE_PDL", rule: { kind: "flags" } },
];

/** The fields after the sides. New fields go to the end. */
export const ARGS_BEHIND: readonly Input[] = [
  int64("num_tokens", "0 or more; 0 succeeds at once; num_tokens * num_heads is at most 2^30 for each side", {
    kind: "count",
  }),
  ...tensor(
    "positions",
    "const void *",
    "[num_tokens] or [position_axes, num_tokens], signed. Any value with a table: angles are reduced exactly, and the table's rounding adds at most |position| 2^-65 turns. With cos_sin the index of a row, and NULL if rows are those of the tokens",
    {
      ...{ kind: "tensor", shape: ["position_axes", "num_tokens"], alignment: "element", dtype: "index" },
      ...{ strides: { position_axes: "position_axis_stride" }, bits: "position_bits" },
    },
  ),
  partOf("positions", "position_bits", "32 or 64", { kind: "bits" }),
  partOf(
    "positions",
    "position_axis_stride",
    "in elements; 0 if a token has one position",
    strideOver("position_axes", "element"),
  ),
  ...tensor("pair_axes", "const uint8_t *", "[rotary_dim / 2]: the axis whose position turns each pair", {
    ...{ kind: "tensor", shape: ["rotary_dim / 2"], strides: {}, alignment: "pairs", dtype: "uint8" },
    isExact: true,
  }),
  ...tensor(
    "rope_table",
    "const uint64_t *",
    "[rotary_dim / 2], 16-byte aligned: normrope_rope_table makes it",
    {
      ...{ kind: "tensor", shape: ["rotary_dim / 2"], strides: {} },
      ...{ alignment: 16, dtype: "uint64", isExact: true },
    },
  ),
  {
    ...{ name: "attention_factor", type: "float", rule: { kind: "finite" } },
    docs: "multiplies cosine and sine; finite; 1 without YaRN or longrope",
  },
  {
    name: "eps",
    type: "float",
    docs: "added to the mean of squares; 0, or from 2^-126 on",
    rule: { kind: "eps" },
  },
  ...tensor(
    "cos_sin",
    "const void *",
    "[rows, rotary_dim]: cosines, then sines, of a position, or of a token if positions is NULL; the kernel's dtype, or float32",
    {
      ...{ kind: "tensor", shape: ["rows", "rotary_dim"], alignment: "pairs", dtype: "kernel" },
      strides: { rows: "cos_sin_row_stride" },
    },
  ),
  partOf("cos_sin", "cos_sin_row_stride", "in elements", strideOver("rows", "pairs")),
  ...tensor(
    "slots",
    "const void *",
    "[num_tokens], signed: slot s of a cache is slot s % block_size of block s / block_size; below 0: not written to a cache",
    {
      ...{ kind: "tensor", shape: ["num_tokens"], strides: {}, alignment: "element" },
      ...{ dtype: "index", bits: "slot_bits" },
    },
  ),
  partOf("slots", "slot_bits", "32 or 64", { kind: "bits" }),
  partOf("slots", "block_size", "the slots of a block; 1: the cache has no blocks", { kind: "positive" }),
];

/** The names of inputs that only some kernels take. Every kernel takes the others, or none does yet. */
export function optionalInputs(inputs: readonly Input[]): readonly string[] {
  // A user's compiler checks this file too, with whatever `lib` it is set to. So it uses no `includes`.
  const kinds: readonly string[] = ["tensor", "finite", "eps"];
  return inputs
    .filter(({ rule, of }) => of === undefined && kinds.indexOf(rule.kind) >= 0)
    .map(({ name }) => name);
}

/** Bytes of version 2's first `normrope_args`. A caller's struct may be shorter than the library's, but not than this. */
export const FIRST_ARGS_BYTES = 1104;

/** Every field of `normrope_args` by its path, such as `eps` and `q.in`, and the bytes of the struct. */
export function argsLayout(): { readonly fields: ReadonlyMap<string, Field>; readonly bytes: number } {
  const before = layOut(ARGS_BEFORE);
  const heads = layOut(HEADS);
  const behind = layOut(ARGS_BEHIND, before.end + SIDES.length * heads.end);
  const fields = new Map([...before.fields, ...behind.fields].map((field) => [field.input.name, field]));
  SIDES.forEach((side, i) => {
    for (const { input, offset } of heads.fields) {
      fields.set(`${side}.${input.name}`, { input, offset: before.end + i * heads.end + offset });
    }
  });
  return { fields, bytes: Math.ceil(behind.end / 8) * 8 };
}
