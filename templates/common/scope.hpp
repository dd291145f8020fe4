// A struct under check, with its fields by the tables of inputs.hpp. Copied as it is into generated/common.
#pragma once

#include <cmath>
#include <cstring>

#include "inputs.hpp"
#include "validate.hpp"

namespace normrope {

constexpr long long printed(int64_t value) { return value; }

// The rows of cos_sin: those of the tokens; or, by position, as many as are known to be there.
inline int64_t rows_of(const normrope_args &args, const KernelEntry &kernel) {
  if (args.positions == nullptr) return args.num_tokens;
  const int64_t rest = args.cos_sin_length - 2 * kernel.rotary_pairs;
  return rest <= 0 || args.cos_sin_row_stride <= 0 ? 1 : rest / args.cos_sin_row_stride + 1;
}

// The blocks of a side's cache that are known to be there; two if its length is not known.
inline int64_t blocks_of(const normrope_args &args, const normrope_heads &heads, const KernelEntry &kernel) {
  if (heads.cache_length == 0) return 2;
  int64_t slots, others, rest;  // strides may be anything here: they are checked with the blocks
  const bool is_far = __builtin_mul_overflow(args.block_size - 1, heads.cache_slot_stride, &slots) ||
                      __builtin_mul_overflow(heads.num_heads - 1, heads.cache_head_stride, &others) ||
                      __builtin_sub_overflow(heads.cache_length - kernel.head_dim, slots, &rest) ||
                      __builtin_sub_overflow(rest, others, &rest);
  return is_far || rest <= 0 || heads.cache_block_stride <= 0 ? 1 : rest / heads.cache_block_stride + 1;
}

// A struct under check: all the arguments, or a side.
struct Scope {
  const KernelEntry &kernel;
  const normrope_args &args;
  const char *base;             // the struct
  const char *side;             // its name; NULL for the arguments themselves
  const normrope_heads *heads;  // the side; NULL for the arguments
  const Inputs &inputs;
  uint32_t taken, all;          // the inputs that the kernel takes in this call, and all that some kernel takes

  bool takes(const Input &input) const { return input.bit < 0 || (taken >> input.bit & 1) != 0; }
  Text name(const char *field) const { return side == nullptr ? Text("%s", field) : Text("%s.%s", side, field); }

  template <class T>
  T read(size_t offset) const {
    T value;
    std::memcpy(&value, base + offset, sizeof value);
    return value;
  }

  int64_t size(Size size) const {
    switch (size) {
      case Size::num_tokens: return args.num_tokens;
      case Size::num_heads: return heads->num_heads;
      case Size::head_dim: return kernel.head_dim;
      case Size::rotary_dim: return 2 * kernel.rotary_pairs;
      case Size::rotary_pairs: return kernel.rotary_pairs;
      case Size::position_axes: return kernel.position_axes;
      case Size::rows: return rows_of(args, kernel);
      case Size::blocks: return blocks_of(args, *heads, kernel);
      case Size::block_size: return args.block_size;
      default: return 1;
    }
  }

  int64_t alignment(int alignment) const {
    switch (alignment) {
      case VECTOR: return kernel.vector_elements;
      case PAIRS: return kernel.pairs_at_once;
      default: return 1;
    }
  }
};

inline Text value_of(const Scope &scope, const Input &input, size_t offset) {
  switch (input.type) {
    case Type::pointer: return Text("%p", scope.read<const void *>(offset));
    case Type::int64: return Text("%lld", printed(scope.read<int64_t>(offset)));
    case Type::uint32: return Text("%#x", scope.read<uint32_t>(offset));
    default: break;
  }
  const float value = scope.read<float>(offset);
  return std::isnan(value) ? Text("nan") : Text("%g", value);
}

inline int64_t element_bytes(const Scope &scope, const Input &input) {
  if (input.bits_offset != 0) return scope.read<int64_t>(input.bits_offset) / 8;
  return input.element_bytes != 0 ? input.element_bytes : element_bytes(scope.kernel, scope.inputs, input.bit);
}

// Whether a stride is never used: over one token or head. Positions may reach more rows of cos_sin than are known to be there.
inline bool is_never_used(const Scope &scope, const Input &input, int64_t count) {
  if (count > 1) return false;
  if (input.over != Size::rows || scope.args.positions == nullptr) return true;
  const int64_t length = scope.args.cos_sin_length;
  return length > 0 && length <= scope.size(Size::rotary_dim);
}

}  // namespace normrope
