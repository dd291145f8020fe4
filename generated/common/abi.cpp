// The part of the C interface that does not depend on the target. Copied as it is into generated/common.
#include "abi.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "inputs.hpp"
#include "overlap.hpp"
#include "turns.hpp"

namespace normrope {
namespace {

// A short text. A longer one is cut.
struct Text {
  Text() = default;
  __attribute__((format(printf, 2, 3))) explicit Text(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(chars, sizeof chars, format, arguments);
    va_end(arguments);
  }
  char chars[200] = "";
};

thread_local struct {
  char message[3 * sizeof(Text) + 20] = "";
  Text field, value, wanted;  // "" if the error has no field
} last_error;

// Reports an argument: the field, its value, and what it must be.
int refuse(const Text &field, const Text &value, const Text &wanted) {
  last_error.field = field, last_error.value = value, last_error.wanted = wanted;
  std::snprintf(last_error.message, sizeof last_error.message, "%s is %s: must be %s", field.chars, value.chars,
                wanted.chars);
  return NORMROPE_ERROR_INVALID_ARGUMENT;
}

// Larger than any later version's struct: such a size was never filled in.
constexpr size_t MAX_ARGS_BYTES = 4096;

// The most heads of a side in one call: a kernel counts them in 31 bits.
constexpr int64_t MAX_HEADS = int64_t{1} << 30;

constexpr const char *SIDE_NAMES[SIDES] = {"q", "k", "v"};

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

Text value_of(const Scope &scope, const Input &input, size_t offset) {
  switch (input.type) {
    case Type::pointer: return Text("%p", scope.read<const void *>(offset));
    case Type::int64: return Text("%lld", printed(scope.read<int64_t>(offset)));
    case Type::uint32: return Text("%#x", scope.read<uint32_t>(offset));
    default: break;
  }
  const float value = scope.read<float>(offset);
  return std::isnan(value) ? Text("nan") : Text("%g", value);
}

// Whether a field of 4- or 8-byte words, possibly an array, is 0.
int check_absent(const Scope &scope, const Input &input) {
  const size_t word = std::min(input.bytes, sizeof(int64_t));
  for (size_t offset = input.offset; offset < input.offset + input.bytes; offset += word) {
    if ((word == sizeof(int64_t) ? scope.read<int64_t>(offset) : scope.read<int32_t>(offset)) == 0) continue;
    const char *const zero = input.type == Type::pointer ? "NULL" : "0";
    return refuse(scope.name(input.name), value_of(scope, input, offset), Text("%s: this kernel does not take it", zero));
  }
  return NORMROPE_OK;
}

// Checks absent fields as a whole, and one by one only if any is set.
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

// The offset of the last element, in bytes, must fit an int64. A stride over one token or head is never used.
int check_stride(const Scope &scope, const Input &input) {
  const int64_t stride = scope.read<int64_t>(input.offset), count = scope.size(input.over);
  const int elements = scope.kernel.vector_elements;
  if (count == 1) return NORMROPE_OK;
  if (stride % elements != 0) {
    return refuse(scope.name(input.name), Text("%lld", printed(stride)),
                  Text("a multiple of this kernel's vector, %d elements", elements));
  }
  int64_t bytes;
  if (__builtin_mul_overflow(stride, count * ELEMENT_BYTES, &bytes) || bytes > INT64_MAX / 4 || bytes < INT64_MIN / 4) {
    return refuse(scope.name(input.name), Text("%lld", printed(stride)),
                  Text("small enough that the last of %lld lies in memory", printed(count)));
  }
  return NORMROPE_OK;
}

int64_t element_bytes(const Scope &scope, const Input &input) {
  return input.element_bytes != 0 ? input.element_bytes : scope.args.position_bits / 8;
}

// Checks a tensor whose strides were checked.
int check_tensor(const Scope &scope, const Input &input) {
  const auto name = [&] { return scope.name(input.name); };
  const auto address = scope.read<uintptr_t>(input.offset);
  if (address == 0) return refuse(name(), Text("NULL"), Text("given"));
  const int64_t alignment = input.alignment == VECTOR    ? scope.kernel.vector_elements * ELEMENT_BYTES
                            : input.alignment == ELEMENT ? element_bytes(scope, input)
                                                         : input.alignment;
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
      return refuse(scope.name(dimension.stride), Text("%lld", printed(stride)),
                    Text("not negative where lengths are given"));
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
  const Region read(address + first * bytes, 0, 0, 1, 1, (last - first + 1) * bytes / ELEMENT_BYTES);
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

int validate(const KernelEntry &kernel, const normrope_args &args) {
  const auto bytes_of = [](const auto &part) { return reinterpret_cast<const char *>(&part); };
  const Scope whole = {kernel, args, bytes_of(args), nullptr, nullptr, kernel.call_inputs, ALL_ARGS};
  if (int status = check_not_taken(whole, ARGS_TENSORS, ARGS_NUMBERS)) return status;
  if (int status = check_all(whole, ARGS_NUMBERS, check_number)) return status;
  if (!are_absent(whole, ARGS_ABSENT_RUNS)) return check_all(whole, ARGS_ABSENT, check_absent);
  const auto side_of = [&](int i) {
    const normrope_heads &heads = heads_of(args, i);
    return Scope{kernel, args, bytes_of(heads), SIDE_NAMES[i], &heads, kernel.side_inputs[i], ALL_HEADS};
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

}  // namespace

int fail(int status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(last_error.message, sizeof last_error.message, format, arguments);
  va_end(arguments);
  last_error.field = last_error.value = last_error.wanted = Text();
  return status;
}

int check_kernel(int kernel) {
  if (kernel >= 0 && kernel < KERNEL_COUNT) return NORMROPE_OK;
  return fail(NORMROPE_ERROR_NO_SUCH_KERNEL, "kernel is %d: the library holds %d, from 0", kernel, KERNEL_COUNT);
}

int read_args(int kernel, const normrope_args *&args, normrope_args &storage) {
  if (int status = check_kernel(kernel)) return status;
  if (args == nullptr) return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "args is NULL");
  const size_t size = args->struct_size;
  if (size < FIRST_ARGS_BYTES || size > MAX_ARGS_BYTES) {
    return refuse(Text("struct_size"), Text("%zu", size),
                  Text("sizeof(normrope_args), from %zu to %zu", FIRST_ARGS_BYTES, MAX_ARGS_BYTES));
  }
  const auto *const bytes = reinterpret_cast<const char *>(args);
  for (size_t i = sizeof(normrope_args); i < size; ++i) {
    if (bytes[i] == 0) continue;
    return refuse(Text("struct_size"), Text("%zu, with fields that this library does not know", size),
                  Text("0 in all behind the first %zu bytes", sizeof(normrope_args)));
  }
  if (size < sizeof(normrope_args)) {
    storage = {};
    std::memcpy(&storage, args, size);
    args = &storage;
  }
  return validate(KERNELS[kernel], *args);
}

}  // namespace normrope

using namespace normrope;

int normrope_abi(void) { return NORMROPE_ABI; }

const char *normrope_manifest(void) { return MANIFEST; }

int normrope_kernel_count(void) { return KERNEL_COUNT; }

const char *normrope_kernel_id(int kernel) { return check_kernel(kernel) == NORMROPE_OK ? KERNELS[kernel].id : nullptr; }

int normrope_find(const char *kernel_id) {
  if (kernel_id == nullptr) return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "kernel_id is NULL");
  for (int i = 0; i < KERNEL_COUNT; ++i) {
    if (std::strcmp(KERNELS[i].id, kernel_id) == 0) return i;
  }
  return fail(NORMROPE_ERROR_NO_SUCH_KERNEL, "the library holds no kernel %.200s", kernel_id);
}

int normrope_check(int kernel, const normrope_args *args) {
  normrope_args storage;
  return read_args(kernel, args, storage);
}

const char *normrope_status_text(int status) {
  switch (status) {
    case NORMROPE_OK: return "success";
    case NORMROPE_ERROR_INVALID_ARGUMENT: return "invalid argument";
    case NORMROPE_ERROR_NO_SUCH_KERNEL: return "no such kernel";
    case NORMROPE_ERROR_NO_DEVICE: return "no device";
    case NORMROPE_ERROR_OUT_OF_MEMORY: return "out of memory";
    case NORMROPE_ERROR_DEVICE: return "device error";
    default: return "unknown status";
  }
}

const char *normrope_last_error(void) { return last_error.message; }
const char *normrope_last_error_field(void) { return last_error.field.chars; }
const char *normrope_last_error_value(void) { return last_error.value.chars; }
const char *normrope_last_error_wanted(void) { return last_error.wanted.chars; }

int normrope_rope_table(const double *inv_freq, int32_t n, uint64_t *table) {
  constexpr double LIMIT = 18446744073709551616.0;  // 2^64
  if (n < 0) return refuse(Text("n"), Text("%d", n), Text("0 or more"));
  if (n > 0 && inv_freq == nullptr) return refuse(Text("inv_freq"), Text("NULL"), Text("[n] float64"));
  if (n > 0 && table == nullptr) return refuse(Text("table"), Text("NULL"), Text("[n] uint64"));
  for (int32_t i = 0; i < n; ++i) {
    if (inv_freq[i] >= 0 && inv_freq[i] < LIMIT) continue;
    return refuse(Text("inv_freq[%d]", i), Text("%g", inv_freq[i]), Text("a number from 0 up to below 2^64"));
  }
  for (int32_t i = 0; i < n; ++i) table[i] = turns_of(inv_freq[i]);
  return NORMROPE_OK;
}
