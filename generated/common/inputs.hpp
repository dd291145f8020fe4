// The fields of the structs and their checks. Emitted from dsl/inputs.ts by `normrope emit`: change that.
#pragma once

#include <cstddef>
#include <cstdint>

namespace normrope {

enum class Rule { absent, tensor, stride, length, count, size, flags, bits, finite, eps };
enum class Type { pointer, int64, uint32, float32 };

// The size of a dimension.
enum class Size { none, num_tokens, num_heads, head_dim, rotary_dim, rotary_pairs, position_axes, rows };

// A dimension with a stride.
struct Strided {
  Size size;
  const char *stride;
  size_t stride_offset;
};

// The alignment of a tensor's address and strides: bytes, or one of these.
constexpr int VECTOR = 0, PAIRS = -2, ELEMENT = -1;

struct Input {
  const char *name;
  size_t offset, bytes;  // in the struct
  Type type;
  Rule rule;
  Size over;  // for a stride: its dimension
  // For a tensor: up to two strided dimensions, the contiguous one, and the field of its length.
  Strided strided[2];
  Size contiguous;
  int alignment;
  int element_bytes;  // 2: the kernel's dtype, or float32; 0: position_bits gives it
  size_t length_offset;
  bool is_exact;
  int bit;  // its input's bit in a KernelEntry; negative: every kernel takes it
};

constexpr Input HEADS_NUMBERS[] = {
    { "in_length", 8, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 0 },
    { "out_length", 24, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 1 },
    { "in_token_stride", 32, 8, Type::int64, Rule::stride, Size::num_tokens,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, false, 0 },
    { "in_head_stride", 40, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, false, 0 },
    { "out_token_stride", 48, 8, Type::int64, Rule::stride, Size::num_tokens,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, false, 1 },
    { "out_head_stride", 56, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, false, 1 },
    { "num_heads", 64, 8, Type::int64, Rule::count, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "weight_length", 104, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 2 },
    { "weight_head_stride", 112, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, false, 2 },
    { "bias_length", 128, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 3 },
    { "bias_head_stride", 136, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, false, 3 },
};

constexpr Input HEADS_TENSORS[] = {
    { "in", 0, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_tokens, "in_token_stride", 32 }, { Size::num_heads, "in_head_stride", 40 } },
      Size::head_dim, VECTOR, 2, 8, false, 0 },
    { "out", 16, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_tokens, "out_token_stride", 48 }, { Size::num_heads, "out_head_stride", 56 } },
      Size::head_dim, VECTOR, 2, 24, false, 1 },
    { "weight", 96, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_heads, "weight_head_stride", 112 }, { Size::none, "", 0 } },
      Size::head_dim, VECTOR, 2, 104, false, 2 },
    { "bias", 120, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_heads, "bias_head_stride", 136 }, { Size::none, "", 0 } },
      Size::head_dim, VECTOR, 2, 128, false, 3 },
};

constexpr Input HEADS_ABSENT[] = {
    { "heads_per_group", 72, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "in_group_stride", 80, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "out_group_stride", 88, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache", 144, 8, Type::pointer, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache_length", 152, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache_block_stride", 160, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache_slot_stride", 168, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache_head_stride", 176, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache_scale", 184, 8, Type::pointer, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache_scale_length", 192, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "cache_scale_head_stride", 200, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "out_scale", 208, 8, Type::pointer, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "out_scale_length", 216, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "row_sum", 224, 8, Type::pointer, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "row_sum_length", 232, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "row_sum_stride", 240, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "norm_width", 248, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "reserved", 256, 64, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
};

constexpr Input ARGS_NUMBERS[] = {
    { "struct_size", 0, 4, Type::uint32, Rule::size, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "flags", 4, 4, Type::uint32, Rule::flags, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "num_tokens", 968, 8, Type::int64, Rule::count, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "positions_length", 984, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 0 },
    { "position_bits", 992, 8, Type::int64, Rule::bits, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 0 },
    { "position_axis_stride", 1000, 8, Type::int64, Rule::stride, Size::position_axes,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, ELEMENT, 0, 0, false, 0 },
    { "pair_axes_length", 1016, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 1 },
    { "rope_table_length", 1032, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 2 },
    { "attention_factor", 1040, 4, Type::float32, Rule::finite, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 3 },
    { "eps", 1044, 4, Type::float32, Rule::eps, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 4 },
    { "cos_sin_length", 1056, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, 5 },
    { "cos_sin_row_stride", 1064, 8, Type::int64, Rule::stride, Size::rows,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, PAIRS, 0, 0, false, 5 },
};

constexpr Input ARGS_TENSORS[] = {
    { "positions", 976, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::position_axes, "position_axis_stride", 1000 }, { Size::none, "", 0 } },
      Size::num_tokens, ELEMENT, 0, 984, false, 0 },
    { "pair_axes", 1008, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::rotary_pairs, PAIRS, 1, 1016, true, 1 },
    { "rope_table", 1024, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::rotary_pairs, 16, 8, 1032, true, 2 },
    { "cos_sin", 1048, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::rows, "cos_sin_row_stride", 1064 }, { Size::none, "", 0 } },
      Size::rotary_dim, PAIRS, 2, 1056, false, 5 },
};

constexpr Input ARGS_ABSENT[] = {
    { "slots", 1072, 8, Type::pointer, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "slots_length", 1080, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "slot_bits", 1088, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
    { "block_size", 1096, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 } },
      Size::none, 0, 0, 0, false, -1 },
};

// Adjacent absent fields.
struct Run {
  size_t offset, bytes;
};

constexpr Run HEADS_ABSENT_RUNS[] = {
    { 72, 24 },
    { 144, 176 },
};

constexpr Run ARGS_ABSENT_RUNS[] = {
    { 1072, 32 },
};

// A bit for each input that only some kernels take.
constexpr uint32_t ALL_HEADS = 15, ALL_ARGS = 63;

// The size of this version's first normrope_args.
constexpr size_t FIRST_ARGS_BYTES = 1104;

}  // namespace normrope
