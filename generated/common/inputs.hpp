// The fields of the structs and their checks. Emitted from dsl/inputs.ts by `normrope emit`: change that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace normrope {

enum class Rule { absent, tensor, stride, length, count, positive, size, flags, bits, finite, eps };
enum class Type { pointer, int64, uint32, float32 };

// The size of a dimension.
enum class Size { none, num_tokens, num_heads, head_dim, rotary_dim, rotary_pairs, position_axes, rows, blocks, block_size };

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
  // For a tensor: up to three strided dimensions, the contiguous one, and the field of its length.
  Strided strided[3];
  Size contiguous;
  int alignment;
  int element_bytes;  // 0: the kernel's dtype or another of its own, or an index
  size_t bits_offset;  // of the field with an index's bits; 0: no index
  size_t length_offset;
  bool is_exact;
  int bit;  // its input's bit in a KernelEntry; negative: every kernel takes it
};

constexpr std::array<Input, 19> HEADS_NUMBERS = { {
    { "in_length", 8, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 0 },
    { "out_length", 24, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 1 },
    { "in_token_stride", 32, 8, Type::int64, Rule::stride, Size::num_tokens,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 0 },
    { "in_head_stride", 40, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 0 },
    { "out_token_stride", 48, 8, Type::int64, Rule::stride, Size::num_tokens,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 1 },
    { "out_head_stride", 56, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 1 },
    { "num_heads", 64, 8, Type::int64, Rule::count, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "weight_length", 104, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 2 },
    { "weight_head_stride", 112, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 2 },
    { "bias_length", 128, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 3 },
    { "bias_head_stride", 136, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 3 },
    { "cache_length", 152, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 4 },
    { "cache_block_stride", 160, 8, Type::int64, Rule::stride, Size::blocks,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 4 },
    { "cache_slot_stride", 168, 8, Type::int64, Rule::stride, Size::block_size,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 4 },
    { "cache_head_stride", 176, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, VECTOR, 0, 0, 0, false, 4 },
    { "cache_scale_length", 192, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 5 },
    { "cache_scale_head_stride", 200, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, ELEMENT, 0, 0, 0, false, 5 },
    { "out_scale_length", 216, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 6 },
    { "out_scale_head_stride", 256, 8, Type::int64, Rule::stride, Size::num_heads,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, ELEMENT, 0, 0, 0, false, 6 },
} };

constexpr std::array<Input, 7> HEADS_TENSORS = { {
    { "in", 0, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_tokens, "in_token_stride", 32 }, { Size::num_heads, "in_head_stride", 40 },
        { Size::none, "", 0 } },
      Size::head_dim, VECTOR, 0, 0, 8, false, 0 },
    { "out", 16, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_tokens, "out_token_stride", 48 }, { Size::num_heads, "out_head_stride", 56 },
        { Size::none, "", 0 } },
      Size::head_dim, VECTOR, 0, 0, 24, false, 1 },
    { "weight", 96, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_heads, "weight_head_stride", 112 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::head_dim, VECTOR, 0, 0, 104, false, 2 },
    { "bias", 120, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_heads, "bias_head_stride", 136 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::head_dim, VECTOR, 0, 0, 128, false, 3 },
    { "cache", 144, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::blocks, "cache_block_stride", 160 }, { Size::block_size, "cache_slot_stride", 168 },
        { Size::num_heads, "cache_head_stride", 176 } },
      Size::head_dim, VECTOR, 0, 0, 152, false, 4 },
    { "cache_scale", 184, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_heads, "cache_scale_head_stride", 200 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, ELEMENT, 4, 0, 192, false, 5 },
    { "out_scale", 208, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::num_heads, "out_scale_head_stride", 256 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, ELEMENT, 4, 0, 216, false, 6 },
} };

constexpr std::array<Input, 8> HEADS_ABSENT = { {
    { "heads_per_group", 72, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "in_group_stride", 80, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "out_group_stride", 88, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "row_sum", 224, 8, Type::pointer, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "row_sum_length", 232, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "row_sum_stride", 240, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "norm_width", 248, 8, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "reserved", 264, 56, Type::int64, Rule::absent, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
} };

constexpr std::array<Input, 15> ARGS_NUMBERS = { {
    { "struct_size", 0, 4, Type::uint32, Rule::size, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "flags", 4, 4, Type::uint32, Rule::flags, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "num_tokens", 968, 8, Type::int64, Rule::count, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, -1 },
    { "positions_length", 984, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 0 },
    { "position_bits", 992, 8, Type::int64, Rule::bits, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 0 },
    { "position_axis_stride", 1000, 8, Type::int64, Rule::stride, Size::position_axes,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, ELEMENT, 0, 0, 0, false, 0 },
    { "pair_axes_length", 1016, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 1 },
    { "rope_table_length", 1032, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 2 },
    { "attention_factor", 1040, 4, Type::float32, Rule::finite, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 3 },
    { "eps", 1044, 4, Type::float32, Rule::eps, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 4 },
    { "cos_sin_length", 1056, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 5 },
    { "cos_sin_row_stride", 1064, 8, Type::int64, Rule::stride, Size::rows,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, PAIRS, 0, 0, 0, false, 5 },
    { "slots_length", 1080, 8, Type::int64, Rule::length, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 6 },
    { "slot_bits", 1088, 8, Type::int64, Rule::bits, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 6 },
    { "block_size", 1096, 8, Type::int64, Rule::positive, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::none, 0, 0, 0, 0, false, 6 },
} };

constexpr std::array<Input, 5> ARGS_TENSORS = { {
    { "positions", 976, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::position_axes, "position_axis_stride", 1000 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::num_tokens, ELEMENT, 0, 992, 984, false, 0 },
    { "pair_axes", 1008, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::rotary_pairs, PAIRS, 1, 0, 1016, true, 1 },
    { "rope_table", 1024, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::rotary_pairs, 16, 8, 0, 1032, true, 2 },
    { "cos_sin", 1048, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::rows, "cos_sin_row_stride", 1064 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::rotary_dim, PAIRS, 0, 0, 1056, false, 5 },
    { "slots", 1072, 8, Type::pointer, Rule::tensor, Size::none,
      { { Size::none, "", 0 }, { Size::none, "", 0 },
        { Size::none, "", 0 } },
      Size::num_tokens, ELEMENT, 0, 1088, 1080, false, 6 },
} };

constexpr std::array<Input, 0> ARGS_ABSENT = { {
} };

// Adjacent absent fields.
struct Run {
  size_t offset, bytes;
};

constexpr std::array<Run, 3> HEADS_ABSENT_RUNS = { {
    { 72, 24 },
    { 224, 32 },
    { 264, 56 },
} };

constexpr std::array<Run, 0> ARGS_ABSENT_RUNS = { {
} };

// A bit for each input that only some kernels take.
constexpr uint32_t ALL_HEADS = 127, ALL_ARGS = 127;
constexpr int IN_BIT = 0, OUT_BIT = 1, CACHE_BIT = 4;

// The size of this version's first normrope_args.
constexpr size_t FIRST_ARGS_BYTES = 1104;

}  // namespace normrope
