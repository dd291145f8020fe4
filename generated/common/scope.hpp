// A struct under check, with its fields by the tables of inputs.hpp. Copied as it is into generated/common.
#pragma once

#include <cmath>
#include <cstring>

#include "inputs.hpp"
#include "validate.hpp"

namespace normrope {

constexpr long long printed(int64_t value) { return value; }

// A struct under check: all the arguments, or a side.
struct Scope {
  const KernelEntry &kernel;
  const normrope_args &args;
  const char *base;             // the struct
  const char *side;             // its name; NULL for the arguments themselves
  const normrope_heads *heads;  // the side; NULL for the arguments
  uint32_t taken, all;          // the inputs that the kernel takes, and all optional ones

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
      case Size::rotary_pairs: return kernel.rotary_pairs;
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
  return input.element_bytes != 0 ? input.element_bytes : scope.args.position_bits / 8;
}

}  // namespace normrope
