// Checks the arguments of a call by the tables of inputs.hpp. Copied as it is into generated/common.
#include "validate.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "overlap.hpp"
#include "scope.hpp"

namespace normrope {
namespace {

// The most heads of a side in one call: a kernel counts them in 31 bits.
constexpr int64_t MAX_HEADS = int64_t{1} << 30;

constexpr const char *SIDE_NAMES[SIDES] = {"q", "k", "v"};
constexpr char NOT_NEGATIVE[] = "not negative where lengths are given";

// Refuses a field that is not 0. It may be an array of words of 4 or 8 bytes.
int check_absent(const Scope &scope, const Input &input) {
  const size_t word = std::min(input.bytes, sizeof(int64_t));
  for (size_t offset = input.offset; offset < input.offset + input.bytes; offset += word) {
    if ((word == sizeof(int64_t) ? scope.read<int64_t>(offset) : scope.read<int32_t>(offset)) == 0) continue;
    const char *const zero = input.type == Type::pointer ? "NULL" : "0";
    return refuse(scope.name(input.name), value_of(scope, input, offset), Text("%s: this kernel does not take it", zero));
  }
  return NORMROPE_OK;
}

// Whether absent fields are all 0. A call compares them in runs, and looks at single fields only to report one.
template <size_t N>
bool are_absent(const Scope &scope, const Run (&runs)[N]) {
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
  if (__builtin_mul_overflow(stride, count * MOST_BYTES, &bytes) || bytes > INT64_MAX / 4 || bytes < INT64_MIN / 4) {
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
int check_all(const Scope &scope, const Input (&inputs)[N], int (*check)(const Scope &, const Input &)) {
  const bool takes_all = scope.taken == scope.all;  // most kernels do, and then no input is looked up
  for (const Input &input : inputs) {
    if (!takes_all && !scope.takes(input)) continue;
    if (int status = check(scope, input)) return status;
  }
  return NORMROPE_OK;
}

// Refuses inputs that the kernel does not take. Tensors come first: lengths and strides belong to them.
template <size_t N, size_t M>
int check_not_taken(const Scope &scope, const Input (&tensors)[N], const Input (&numbers)[M]) {
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

Region input_of(const normrope_heads &heads, int64_t num_tokens, int64_t head_dim) {
  return {heads.in, heads.in_token_stride, heads.in_head_stride, num_tokens, heads.num_heads, head_dim};
}

Region output_of(const normrope_heads &heads, int64_t num_tokens, int64_t head_dim) {
  return {heads.out, heads.out_token_stride, heads.out_head_stride, num_tokens, heads.num_heads, head_dim};
}

// Written heads must not overlap other heads. In place, a side's input is its output.
int check_apart(const normrope_args &args, int64_t head_dim) {
  const auto refused = [&](int i, int over, const char *field) {
    return refuse(Text("%s.out", SIDE_NAMES[i]), Text("over the %s of %s", field, SIDE_NAMES[over]),
                  Text("apart from what else is read or written"));
  };
  for (int i = 0; i < SIDES; ++i) {
    if (heads_of(args, i).num_heads == 0) continue;
    const Region out = output_of(heads_of(args, i), args.num_tokens, head_dim);
    for (int j = 0; j < SIDES; ++j) {
      const normrope_heads &other = heads_of(args, j);
      if (other.num_heads == 0) continue;
      const bool in_place = other.in == other.out;
      if (!(i == j && in_place) && !are_apart(out, input_of(other, args.num_tokens, head_dim), head_dim)) {
        return refused(i, j, "input");
      }
      if (i < j && !in_place && !are_apart(out, output_of(other, args.num_tokens, head_dim), head_dim)) {
        return refused(j, i, "output");
      }
    }
  }
  return NORMROPE_OK;
}

// A tensor that is only read must not overlap written heads. It may lie in a gap of their rows.
int check_read(const Scope &scope, const Input &input) {
  if (!scope.takes(input)) return NORMROPE_OK;
  if (input.strided[0].size == Size::num_tokens) return NORMROPE_OK;  // heads: check_apart checks them
  int64_t first = 0, last = scope.size(input.contiguous) - 1;  // element offsets from its address
  for (const Strided &dimension : input.strided) {
    const int64_t count = scope.size(dimension.size);
    if (count == 1) continue;
    const int64_t reach = (count - 1) * scope.read<int64_t>(dimension.stride_offset);
    (reach < 0 ? first : last) += reach;
  }
  const int64_t bytes = element_bytes(scope, input);
  const auto *const address = scope.read<const char *>(input.offset);
  const int64_t read_bytes = (last - first + 1) * bytes;
  const Region read(address + first * bytes, 0, 0, 1, 1, (read_bytes + ELEMENT_BYTES - 1) / ELEMENT_BYTES);
  for (int i = 0; i < SIDES; ++i) {
    const normrope_heads &heads = heads_of(scope.args, i);
    if (heads.num_heads == 0) continue;
    const Region out = output_of(heads, scope.args.num_tokens, scope.kernel.head_dim);
    const int64_t distance = read.first - out.first;
    if (distance >= out.reach || -distance >= read.reach) continue;
    if (interleave(distance, out.token_stride, out.heads_reach, read.reach)) continue;
    if (interleave(distance, out.head_stride, out.tokens_reach, read.reach)) continue;
    return refuse(scope.name(input.name), Text("over the output of %s", SIDE_NAMES[i]), Text("apart from what is written"));
  }
  return NORMROPE_OK;
}

// Every field of a side that the kernel does not work on must be 0.
int check_no_heads(const Scope &scope) {
  constexpr Run ALL[] = {Run{0, sizeof(normrope_heads)}};
  if (are_absent(scope, ALL)) return NORMROPE_OK;
  if (int status = check_not_taken(scope, HEADS_TENSORS, HEADS_NUMBERS)) return status;
  if (int status = check_all(scope, HEADS_ABSENT, check_absent)) return status;
  return check_all(scope, HEADS_NUMBERS, check_absent);
}

template <size_t N>
int check_reads(const Scope &scope, const Input (&inputs)[N]) {
  for (const Input &input : inputs) {
    if (int status = check_read(scope, input)) return status;
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
  if (!are_apart(heads.out_token_stride, heads.out_head_stride, num_tokens, heads.num_heads, scope.kernel.head_dim)) {
    return refuse(scope.name("out"),
                  Text("in heads that lie over each other, with a token stride of %lld and a head stride of %lld",
                       printed(heads.out_token_stride), printed(heads.out_head_stride)),
                  Text("in heads that are apart"));
  }
  return NORMROPE_OK;
}

// The inputs that may be left out and are NULL. They are no inputs of this call.
uint32_t left_out(const Scope &scope) {
  uint32_t found = 0;
  for (const Input &input : ARGS_TENSORS) {
    if (scope.read<uintptr_t>(input.offset) == 0) found |= uint32_t{1} << input.bit;
  }
  return found & scope.inputs.optional;
}

}  // namespace

int validate(const KernelEntry &kernel, const normrope_args &args) {
  const auto bytes_of = [](const auto &part) { return reinterpret_cast<const char *>(&part); };
  Scope whole = {kernel, args, bytes_of(args), nullptr, nullptr, kernel.call, kernel.call.taken, ALL_ARGS};
  if (kernel.call.optional != 0) whole.taken &= ~left_out(whole);
  if (int status = check_not_taken(whole, ARGS_TENSORS, ARGS_NUMBERS)) return status;
  if (int status = check_all(whole, ARGS_NUMBERS, check_number)) return status;
  if (!are_absent(whole, ARGS_ABSENT_RUNS)) return check_all(whole, ARGS_ABSENT, check_absent);
  const auto side_of = [&](int i) {
    const normrope_heads &heads = heads_of(args, i);
    return Scope{kernel, args, bytes_of(heads), SIDE_NAMES[i], &heads, kernel.sides[i], kernel.sides[i].taken, ALL_HEADS};
  };
  const Scope sides[SIDES] = {side_of(0), side_of(1), side_of(2)};
  for (const Scope &side : sides) {
    if (int status = check_heads(side)) return status;
  }
  if (is_empty(args)) return NORMROPE_OK;
  if (int status = check_apart(args, kernel.head_dim)) return status;
  if (int status = check_all(whole, ARGS_TENSORS, check_tensor)) return status;
  for (const Scope &side : sides) {
    if (side.heads->num_heads == 0) continue;
    if (int status = check_reads(side, HEADS_TENSORS)) return status;
  }
  return check_reads(whole, ARGS_TENSORS);
}

}  // namespace normrope
