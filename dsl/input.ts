/**
 * An input: a tensor or number that a call passes, as a field of a C struct.
 *
 * In: nothing. Out: types, functions that declare fields, and the layout of a struct. The table of inputs is made with these.
 */

/** C types with their size in bytes, which is also their alignment. */
export const C_TYPES = {
  "const void *": 8,
  "void *": 8,
  "const uint64_t *": 8,
  "const uint8_t *": 8,
  "const float *": 8,
  "float *": 8,
  int64_t: 8,
  uint32_t: 4,
  float: 4,
} as const;

export type CType = keyof typeof C_TYPES;

/** The sizes of a tensor's dimensions. */
export type Dimension =
  | ("num_tokens" | "num_heads" | "head_dim")
  | ("rotary_dim" | "rotary_dim / 2" | "position_axes")
  // Of a cache: as many as its length holds, and the slots of each.
  | ("blocks" | "block_size")
  // A row of `cos_sin` for each position, or for each token if there are no positions.
  | "rows";

/**
 * A tensor's element type. `kernel`: the kernel's dtype, or another one if the kernel takes it so. `index`: signed integers, whose
 * bits another field gives.
 */
export type TensorDtype = "kernel" | "index" | "uint8" | "uint64" | "float32";

/** Addresses and strides are multiples of it: the kernel's vector, the pairs that it loads at once, an element, or 16 bytes. */
export type Alignment = "vector" | "pairs" | "element" | 16;

/** What C checks of a field. */
export type Rule =
  /** No kernel takes it yet: NULL or 0. */
  | { readonly kind: "absent" }
  /** Not NULL, aligned, and no shorter than its shape if its length is known. */
  | {
      readonly kind: "tensor";
      readonly shape: readonly Dimension[];
      /** The fields with the strides of dimensions. Other dimensions are contiguous. */
      readonly strides: { readonly [D in Dimension]?: string };
      readonly alignment: Alignment;
      readonly dtype: TensorDtype;
      /** The field with the bits of an index. */
      readonly bits?: string;
      /** Whether a longer tensor belongs to another kernel and is refused. */
      readonly isExact?: boolean;
    }
  /** Of the tensor before it, with its alignment. */
  | { readonly kind: "stride"; readonly over: Dimension; readonly alignment: Alignment }
  /** The length in elements of the tensor before it; 0: not known. */
  | { readonly kind: "length" }
  /** A whole number from 0, or from 1, to 2^31 - 1. */
  | { readonly kind: "count" | "positive" }
  | { readonly kind: "size" | "flags" | "bits" | "finite" | "eps" };

/** A field of a struct. */
export interface Input {
  /** The field's name in C. */
  readonly name: string;
  readonly type: CType;
  /** Array length; default 1. */
  readonly count?: number;
  /** Shape, unit and meaning, for the header. */
  readonly docs: string;
  readonly rule: Rule;
  /** The input that this length or stride belongs to. If a kernel does not take that input, this field must be 0. */
  readonly of?: string;
}

export type TensorRule = Extract<Rule, { kind: "tensor" }>;

export const strideOver = (over: Dimension, alignment: Alignment = "vector"): Rule => ({
  kind: "stride",
  over,
  alignment,
});

export const ABSENT = { kind: "absent" } as const;
/** A field of 8 bytes: the check compares words. */
export const absent = (name: string, type: Exclude<CType, "uint32_t" | "float">, docs: string): Input => ({
  name,
  type,
  docs,
  rule: ABSENT,
});
export const int64 = (name: string, docs: string, rule: Rule): Input => ({
  name,
  type: "int64_t",
  docs,
  rule,
});
/** A length or stride of an input. */
export const partOf = (of: string, name: string, docs: string, rule: Rule): Input => ({
  ...int64(name, docs, rule),
  of,
});

/** A tensor and its length in elements. TypeScript knows the name, so that the runtime's types follow. */
export function tensor<const Name extends string, R extends TensorRule | typeof ABSENT>(
  name: Name,
  type: CType,
  docs: string,
  rule: R,
): readonly [Input & { readonly name: Name; readonly rule: R }, Input] {
  const isAbsent = rule.kind === "absent";
  const isExact = rule.kind === "tensor" && rule.isExact;
  const known = isExact
    ? "its exact number of elements; 0: not known"
    : `elements from ${name} on; 0: not known`;
  const length = isAbsent ? "0" : known;
  return [
    { name, type, docs, rule },
    partOf(name, `${name}_length`, length, isAbsent ? rule : { kind: "length" }),
  ];
}

/** A field and its offset in the struct, in bytes. */
export interface Field {
  readonly input: Input;
  readonly offset: number;
}

/** Lays out the fields of a struct as C does: each at a multiple of its size. */
export function layOut(
  inputs: readonly Input[],
  start = 0,
): { readonly fields: readonly Field[]; readonly end: number } {
  const fields: Field[] = [];
  let end = start;
  for (const input of inputs) {
    const bytes = C_TYPES[input.type];
    const offset = Math.ceil(end / bytes) * bytes;
    fields.push({ input, offset });
    end = offset + bytes * (input.count ?? 1);
  }
  return { fields, end };
}
