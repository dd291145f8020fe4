/**
 * What cannot be used of a call's arguments: each bad value once, for C, for Python's structs, and for the runtime where it
 * can be given there. The call that is spoilt is `packedFields` of ../c_args.ts: two packed tokens of two q heads and one k
 * head of 64 elements.
 */
import { argsLayout } from "../../dsl/inputs.js";
import type { Given } from "../c_args.js";

const at = (offset: number): Given => ({ at: offset });

/** The field that is named, its value, what it must be, and the fields that are changed. */
export type BadArgs = readonly [
  field: string,
  value: string | RegExp,
  wanted: RegExp,
  changed: Readonly<Record<string, Given>>,
];

const one = (
  field: string,
  value: number | bigint,
  wanted: RegExp,
  shown: string | RegExp = `${value}`,
): BadArgs => [...([field, shown, wanted] as const), { [field]: value }];
export const SIZE = argsLayout().bytes;
const ADDRESS = /^at 0x[0-9a-f]+$/;

export const BAD_ARGS: readonly BadArgs[] = [
  ...[0, SIZE - 8, 4097, 2 ** 32 - 1].map((size) => one("struct_size", size, /from 1104 to 4096/)),
  one("flags", 2, /^0 or NORMROPE_PDL/, "0x2"),
  one("flags", 2 ** 31 + 1, /^0 or NORMROPE_PDL/, "0x80000001"),
  ...[-1n, 2n ** 31n, 2n ** 40n, -(2n ** 63n)].map((tokens) =>
    one("num_tokens", tokens, /from 0 to 2147483647/),
  ),
  one("num_tokens", 2n ** 31n - 1n, /at most 2\^30 in all with 2 q heads: split the batch/),
  ["num_tokens", "2", /with 2147483647 q heads/, { "q.num_heads": 2 ** 31 - 1 }],
  ...[0, 8, 16, 33, -32, 128].map((bits) => one("position_bits", bits, /^32 or 64$/)),
  one("eps", Number.NaN, /^0, or a finite number from 2\^-126 on$/, "nan"),
  one("eps", 1e-40, /^0, or a finite/, "9.99995e-41"),
  one("eps", -1, /^0, or a finite/),
  one("eps", Number.POSITIVE_INFINITY, /^0, or a finite/, "inf"),
  one("eps", Number.NEGATIVE_INFINITY, /^0, or a finite/, "-inf"),
  one("attention_factor", Number.NaN, /^a finite number$/, "nan"),
  one("attention_factor", Number.POSITIVE_INFINITY, /^a finite number$/, "inf"),
  ...["positions", "rope_table", "q.in", "q.out", "q.weight", "k.weight"].map((field) =>
    one(field, 0n, /^given$/, "NULL"),
  ),
  ["positions", ADDRESS, /a multiple of 4 bytes/, { positions: at(2050) }],
  ["positions", ADDRESS, /a multiple of 8 bytes/, { positions: at(2052), position_bits: 64 }],
  ["rope_table", ADDRESS, /a multiple of 16 bytes/, { rope_table: at(2564) }],
  ["rope_table", ADDRESS, /a multiple of 16 bytes/, { rope_table: at(2568) }],
  ["q.in", ADDRESS, /a multiple of 8 bytes/, { "q.in": at(2) }],
  ["q.in", ADDRESS, /a multiple of 8 bytes/, { "q.in": at(1) }],
  ["q.out", ADDRESS, /a multiple of 8 bytes/, { "q.out": at(6) }],
  ["q.weight", ADDRESS, /a multiple of 8 bytes/, { "q.weight": at(1026) }],
  ["k.in", ADDRESS, /a multiple of 8 bytes/, { "k.in": at(260) }],
  one("q.num_heads", -1, /from 0 to 2147483647/),
  one("q.num_heads", -(2 ** 31), /from 0 to 2147483647/),
  one("q.num_heads", 2n ** 31n, /from 0 to 2147483647/),
  one("k.num_heads", -7, /from 0 to 2147483647/),
  one("q.in_token_stride", 66, /a multiple of this kernel's vector, 4 elements/),
  one("q.out_token_stride", 193, /a multiple of/),
  one("q.out_head_stride", 1, /a multiple of/),
  one("q.weight_head_stride", 3, /a multiple of/),
  one("k.in_token_stride", 2, /a multiple of/),
  one("q.in_head_stride", 2n ** 62n, /the last of 2 lies in memory/),
  one("q.in_token_stride", 2n ** 60n, /the last of 2 lies in memory/),
  one("q.in_token_stride", -(2n ** 63n), /lies in memory/),
  one("q.out_token_stride", 2n ** 63n - 4n, /lies in memory/),
  one("q.weight_head_stride", 2n ** 61n, /lies in memory/),
  ["q.out", "its input, with other strides", /the same strides/, { "q.out_token_stride": 128 }],
  ["q.out", /a token stride of 0 /, /apart/, { "q.in_token_stride": 0, "q.out_token_stride": 0 }],
  ["q.out", /a head stride of 32$/, /apart/, { "q.in_head_stride": 32, "q.out_head_stride": 32 }],
  ["q.weight", "over the output of q", /apart from what is written/, { "q.weight": at(0) }],
  ["q.weight", "over the output of k", /apart from what is written/, { "q.weight": at(256) }],
  ["k.weight", "over the output of k", /apart from what is written/, { "k.weight": at(760) }],
  ["positions", "over the output of q", /apart from what is written/, { positions: at(636) }],
  ["rope_table", "over the output of q", /apart from what is written/, { rope_table: at(144) }],
  ["q.out", "over the input of q", /apart from what else/, { "q.out": at(64) }],
  ["q.out", "over the input of k", /apart from what else/, { "k.in": at(0), "k.out": at(1024) }],
  // Lengths.
  one("q.in_length", -1, /^0, or a number of elements$/),
  ["q.in", "319 elements long", /^at least 320 long/, { "q.in_length": 319 }],
  ["q.out", "1 element long", /^at least 320/, { "q.out_length": 1 }],
  ["k.in", "255 elements long", /^at least 256 long/, { "k.in_length": 255 }],
  ["q.weight", "63 elements long", /^at least 64/, { "q.weight_length": 63 }],
  ["q.weight", "127 elements long", /^at least 128/, { "q.weight_length": 127, "q.weight_head_stride": 64 }],
  ["positions", "1 element long", /^at least 2 /, { positions_length: 1 }],
  ["rope_table", "31 elements long", /^32 long/, { rope_table_length: 31 }],
  ["rope_table", "33 elements long", /^32 long/, { rope_table_length: 33 }],
  [
    ...(["q.in_token_stride", "-192", /not negative where lengths are given/] as const),
    { "q.in_token_stride": -192, "q.out_token_stride": -192, "q.in_length": 1000 },
  ],
  one("position_axis_stride", 2, /^0: a token of this kernel has one position$/),
  // What this kernel does not take.
  ...[...argsLayout().fields].flatMap(([path, { input }]): BadArgs[] => {
    const isOther = /^(?:[qk]\.(?:bias|cache|out_scale)|pair_axes|cos_sin|slot|block_size)/.test(path);
    if (input.rule.kind !== "absent" && !path.startsWith("v.") && !isOther) return [];
    const isPointer = input.type.endsWith("*");
    return [
      [path, isPointer ? /^0x/ : "1", RegExp(`^${isPointer ? "NULL" : "0"}: this kernel`), { [path]: 1n }],
    ];
  }),
];
