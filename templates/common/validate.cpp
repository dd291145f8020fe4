// Checks the arguments of a call by the tables of inputs.hpp. Copied as it is into generated/common.
#include "validate.hpp"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>

#include "apart.hpp"

namespace normrope {
namespace {

// The most heads of a side in one call: a kernel counts them in 31 bits.
constexpr int64_t MAX_HEADS = int64_t{1} << 30;

constexpr char NOT_NEGATIVE[] = "not negative where lengths are given";

// Refuses a field that is not 0. It may be an array of words of 4 or 8 bytes.
int check_absent(const Scope &scope, const Input &input) {
  const size_t word = std::min(input.bytes, sizeof(int64_t));
  for (size_t offset = input.offset; offset < input.offset + input.bytes; offset += word) {
    if ((word == sizeof(int64_t) ? scope.read<int64_t>(offset) : scope.read<int32_t>(offset)) == 0) continue;
    const char *const zero = input.type == Type::pointer ? "NULL" : "0";
    const bool is_left_out = input.bit >= 0 && (scope.inputs.taken >> input.bit & 1) != 0;
    return refuse(scope.name(input.name), value_of(scope, input, offset),
                  Text("%s: %s", zero, is_left_out ? "the tensor that it belongs to is NULL" : "this kernel does not take it"));
  }
  return NORMROPE_OK;
}

// Whether absent fields are all 0. A call compares them in runs, and looks at single fields only to report one.
template <size_t N>
bool are_absent(const Scope &scope, const std::array<Run, N> &runs) {
  int64_t found = 0;
  for (const Run &run : runs) {
    for (size_t offset = run.offset; offset < run.offset + run.bytes; offset += sizeof(int64_t)) {
      found |= scope.read<int64_t>(offset);
    }
  }
  return found == 0;
}

// The offset of the last element, in bytes, must fit an int64.
int check_stride(const Scope &scope, const Input &input) {
  const int64_t stride = scope.read<int64_t>(input.offset), count = scope.size(input.over);
  const int64_t elements = scope.alignment(input.alignment);
  if (input.over == Size::position_axes && count == 1 && stride != 0) {
    return refuse(scope.name(input.name), Text("%lld", printed(stride)), Text("0: a token of this kernel has one position"));
  }
  if (input.over == Size::blocks && stride < 0 && scope.heads->cache_length > 0) {
    return refuse(scope.name(input.name), Text("%lld", printed(stride)), Text("%s", NOT_NEGATIVE));
  }
  if (is_never_used(scope, input, count)) return NORMROPE_OK;
  if (stride % elements != 0) {
    return refuse(scope.name(input.name), Text("%lld", printed(stride)),
                  Text("a multiple of this kernel's vector, %lld elements", printed(elements)));
  }
  if (input.over == Size::rows && stride < 0 && scope.args.cos_sin_length > 0) {
    return refuse(scope.name(input.name), Text("%lld", printed(stride)), Text("%s", NOT_NEGATIVE));
  }
  int64_t bytes;
  constexpr int64_t MOST_BYTES = 8;  // of an element
  if (__builtin_mul_overflow(count, MOST_BYTES, &bytes) || __builtin_mul_overflow(stride, bytes, &bytes) || bytes > INT64_MAX / 4 || bytes < INT64_MIN / 4) {
    return refuse(scope.name(input.name), Text("%lld", printed(stride)),
                  Text("small enough that the last of %lld lies in memory", printed(count)));
  }
  return NORMROPE_OK;
}

// Checks a tensor whose strides were checked.
int check_tensor(const Scope &scope, const Input &input) {
  const auto name = [&] { return scope.name(input.name); };
  const auto address = scope.read<uintptr_t>(input.offset);
  if (address == 0) return refuse(name(), Text("NULL"), Text("given"));
  const bool is_bytes = input.alignment > 0;
  const int64_t alignment = is_bytes ? input.alignment : scope.alignment(input.alignment) * element_bytes(scope, input);
  if (address % alignment != 0) {
    return refuse(name(), Text("at 0x%llx", static_cast<unsigned long long>(address)),
                  Text("at a multiple of %lld bytes", printed(alignment)));
  }
  const auto length = scope.read<int64_t>(input.length_offset);
  if (length == 0) return NORMROPE_OK;  // unknown
  int64_t needed = scope.size(input.contiguous);
  for (const Strided &dimension : input.strided) {
    const int64_t count = scope.size(dimension.size);
    if (count == 1) continue;
    const auto stride = scope.read<int64_t>(dimension.stride_offset);
    if (stride < 0) {
      return refuse(scope.name(dimension.stride), Text("%lld", printed(stride)), Text("%s", NOT_NEGATIVE));
    }
    needed += (count - 1) * stride;
  }
  if (input.is_exact ? length == needed : length >= needed) return NORMROPE_OK;
  return refuse(name(), Text("%lld element%s long", printed(length), length == 1 ? "" : "s"),
                Text("%s%lld long for this call", input.is_exact ? "" : "at least ", printed(needed)));
}

constexpr char COUNT[] = "a whole number from 0 to 2147483647";
bool is_count(int64_t number) { return number >= 0 && number <= INT32_MAX; }

int check_number(const Scope &scope, const Input &input) {
  const auto refused = [&](const char *wanted) {
    return refuse(scope.name(input.name), value_of(scope, input, input.offset), Text("%s", wanted));
  };
  switch (input.rule) {
    case Rule::stride: return check_stride(scope, input);
    case Rule::length:
      return scope.read<int64_t>(input.offset) >= 0 ? NORMROPE_OK : refused("0, or a number of elements");
    case Rule::count:
      return is_count(scope.read<int64_t>(input.offset)) ? NORMROPE_OK : refused(COUNT);
    case Rule::positive: {
      const auto number = scope.read<int64_t>(input.offset);
      return is_count(number) && number > 0 ? NORMROPE_OK : refused("a whole number from 1 to 2147483647");
    }
    case Rule::flags:
      return (scope.read<uint32_t>(input.offset) & ~NORMROPE_PDL) == 0 ? NORMROPE_OK : refused("0 or NORMROPE_PDL, 0x1");
    case Rule::bits: {
      const auto bits = scope.read<int64_t>(input.offset);
      return bits == 32 || bits == 64 ? NORMROPE_OK : refused("32 or 64");
    }
    case Rule::finite:
      return std::isfinite(scope.read<float>(input.offset)) ? NORMROPE_OK : refused("a finite number");
    case Rule::eps: {
      const auto eps = scope.read<float>(input.offset);
      // Kernels treat subnormal numbers as 0.
      const bool is_usable = eps == 0 || (eps >= FLT_MIN && std::isfinite(eps));
      return is_usable ? NORMROPE_OK : refused("0, or a finite number from 2^-126 on");
    }
    default: return NORMROPE_OK;
  }
}

template <size_t N>
int check_all(const Scope &scope, const std::array<Input, N> &inputs, int (*check)(const Scope &, const Input &)) {
  const bool takes_all = scope.taken == scope.all;  // most kernels do, and then no input is looked up
  for (const Input &input : inputs) {
    if (!takes_all && !scope.takes(input)) continue;
    if (int status = check(scope, input)) return status;
  }
  return NORMROPE_OK;
}

// Refuses inputs that the kernel does not take. Tensors come first: lengths and strides belong to them.
template <size_t N, size_t M>
int check_not_taken(const Scope &scope, const std::array<Input, N> &tensors, const std::array<Input, M> &numbers) {
  if (scope.taken == scope.all) return NORMROPE_OK;
  const auto check = [&](const Input &input) { return scope.takes(input) ? NORMROPE_OK : check_absent(scope, input); };
  for (const Input &input : tensors) {
    if (int status = check(input)) return status;
  }
  for (const Input &input : numbers) {
    if (int status = check(input)) return status;
  }
  return NORMROPE_OK;
}

// Every field of a side that the kernel does not work on must be 0.
int check_no_heads(const Scope &scope) {
  constexpr std::array<Run, 1> ALL = { { { 0, sizeof(normrope_heads) } } };
  if (are_absent(scope, ALL)) return NORMROPE_OK;
  if (int status = check_not_taken(scope, HEADS_TENSORS, HEADS_NUMBERS)) return status;
  if (int status = check_all(scope, HEADS_ABSENT, check_absent)) return status;
  return check_all(scope, HEADS_NUMBERS, check_absent);
}

template <size_t N>
int check_reads(const Scope &scope, const std::array<Input, N> &inputs, const Scope (&sides)[SIDES]) {
  for (const Input &input : inputs) {
    if (int status = check_read(scope, input, sides)) return status;
  }
  return NORMROPE_OK;
}

int side_of(const Scope &scope) { return static_cast<int>(scope.heads - &scope.args.q); }

int check_heads(const Scope &scope) {
  if (scope.taken == 0) return check_no_heads(scope);
  const normrope_heads &heads = *scope.heads;
  const int64_t num_tokens = scope.args.num_tokens;
  if (!is_count(heads.num_heads)) return refuse(scope.name("num_heads"), Text("%lld", printed(heads.num_heads)), Text(COUNT));
  if (!are_absent(scope, HEADS_ABSENT_RUNS)) return check_all(scope, HEADS_ABSENT, check_absent);
  if (int status = check_not_taken(scope, HEADS_TENSORS, HEADS_NUMBERS)) return status;
  if (heads.num_heads == 0 || num_tokens == 0) return NORMROPE_OK;
  if (num_tokens > MAX_HEADS / heads.num_heads) {
    return refuse(Text("num_tokens"), Text("%lld", printed(num_tokens)),
                  Text("at most 2^30 in all with %lld %s heads: split the batch", printed(heads.num_heads), scope.side));
  }
  if (int status = check_all(scope, HEADS_NUMBERS, check_number)) return status;
  if (int status = check_all(scope, HEADS_TENSORS, check_tensor)) return status;
  const bool moves_tokens = num_tokens > 1 && heads.in_token_stride != heads.out_token_stride;
  const bool moves_heads = heads.num_heads > 1 && heads.in_head_stride != heads.out_head_stride;
  if (heads.in == heads.out && (scope.kernel.copied_sides >> side_of(scope) & 1) != 0) {
    return refuse(scope.name("out"), Text("its input"), Text("elsewhere: this kernel only copies %s", scope.side));
  }
  if (heads.in == heads.out && (moves_tokens || moves_heads)) {
    return refuse(scope.name("out"), Text("its input, with other strides"), Text("in place with the same strides, or elsewhere"));
  }
  if (heads.in == heads.out && bytes_of(scope, IN_BIT) != bytes_of(scope, OUT_BIT)) {
    return refuse(scope.name("out"), Text("its input"), Text("elsewhere: its elements are of another dtype"));
  }
  if (has_cache(scope) && !are_apart(cache_of(scope))) {
    return refuse(scope.name("cache"),
                  Text("of slots that lie over each other, with strides of %lld, %lld and %lld over blocks, slots and heads",
                       printed(heads.cache_block_stride), printed(heads.cache_slot_stride), printed(heads.cache_head_stride)),
                  Text("of slots that are apart"));
  }
  if (has_output(scope) && !are_apart(heads.out_token_stride, heads.out_head_stride, num_tokens, heads.num_heads, scope.kernel.head_dim)) {
    return refuse(scope.name("out"),
                  Text("in heads that lie over each other, with a token stride of %lld and a head stride of %lld",
                       printed(heads.out_token_stride), printed(heads.out_head_stride)),
                  Text("in heads that are apart"));
  }
  return NORMROPE_OK;
}

// The inputs that may be left out and are NULL. They are no inputs of this call.
template <size_t N>
uint32_t left_out(const Scope &scope, const std::array<Input, N> &tensors) {
  uint32_t found = 0;
  for (const Input &input : tensors) {
    if (scope.read<uintptr_t>(input.offset) == 0) found |= uint32_t{1} << input.bit;
  }
  return found & scope.inputs.optional;
}

}  // namespace

int validate(const KernelEntry &kernel, const normrope_args &args) {
  const auto base_of = [](const auto &part) { return reinterpret_cast<const char *>(&part); };
  Scope whole = {kernel, args, base_of(args), nullptr, nullptr, kernel.call, kernel.call.taken, ALL_ARGS};
  if (kernel.call.optional != 0) whole.taken &= ~left_out(whole, ARGS_TENSORS);
  if (int status = check_not_taken(whole, ARGS_TENSORS, ARGS_NUMBERS)) return status;
  if (int status = check_all(whole, ARGS_NUMBERS, check_number)) return status;
  if (!are_absent(whole, ARGS_ABSENT_RUNS)) return check_all(whole, ARGS_ABSENT, check_absent);
  const auto side_of = [&](int i) {
    const normrope_heads &heads = heads_of(args, i);
    Scope side{kernel, args, base_of(heads), SIDE_NAMES[i], &heads, kernel.sides[i], kernel.sides[i].taken, ALL_HEADS};
    if (side.inputs.optional != 0) side.taken &= ~left_out(side, HEADS_TENSORS);
    return side;
  };
  const Scope sides[SIDES] = {side_of(0), side_of(1), side_of(2)};
  for (const Scope &side : sides) {
    if (int status = check_heads(side)) return status;
  }
  if (is_empty(args)) return NORMROPE_OK;
  if (int status = check_apart(sides)) return status;
  if (int status = check_caches(sides)) return status;
  if (int status = check_all(whole, ARGS_TENSORS, check_tensor)) return status;
  for (const Scope &side : sides) {
    if (side.heads->num_heads == 0) continue;
    if (int status = check_reads(side, HEADS_TENSORS, sides)) return status;
  }
  return check_reads(whole, ARGS_TENSORS, sides);
}

}  // namespace normrope
