// The half of the C interface that does not depend on the target. Copied as it is into generated/common.
#include "abi.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace normrope {
namespace {

thread_local char last_error[512] = "";

constexpr int64_t ELEMENT_BYTES = 2;

// Of q, or of k, in one call: they are counted in 31 bits.
constexpr int64_t MAX_HEADS = int64_t{1} << 30;

bool is_multiple(const void *pointer, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

int check_pointer(const char *side, const char *field, const void *pointer, uintptr_t alignment) {
  if (pointer == nullptr) return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.%s is NULL", side, field);
  if (is_multiple(pointer, alignment)) return NORMROPE_OK;
  return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.%s is %p: this kernel needs a multiple of %d bytes", side, field,
              pointer, static_cast<int>(alignment));
}

// `count` strides from the first element, in bytes, must fit an int64.
int check_stride(const char *side, const char *field, int64_t stride, int64_t count, int vector_elements) {
  if (stride % vector_elements != 0) {
    return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.%s is %lld: this kernel needs a multiple of %d elements", side,
                field, static_cast<long long>(stride), vector_elements);
  }
  int64_t bytes;
  if (__builtin_mul_overflow(stride, count * ELEMENT_BYTES, &bytes) || bytes > INT64_MAX / 4 || bytes < INT64_MIN / 4) {
    return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.%s is %lld: the last of %lld would lie outside memory", side,
                field, static_cast<long long>(stride), static_cast<long long>(count));
  }
  return NORMROPE_OK;
}

// Whether no two heads of one side share an element: heads of a token side by side and tokens behind them, or the
// other way round. Strides were checked: what is formed here fits an int64.
bool are_apart(int64_t token_stride, int64_t head_stride, int64_t num_tokens, int64_t num_heads, int64_t head_dim) {
  const int64_t token = std::abs(token_stride), head = std::abs(head_stride);
  if (num_tokens == 1) return num_heads == 1 || head >= head_dim;
  if (num_heads == 1) return token >= head_dim;
  if (token < head_dim || head < head_dim) return false;
  return token >= (num_heads - 1) * head + head_dim || head >= (num_tokens - 1) * token + head_dim;
}

// The elements of one side's heads, with strides made positive: where they begin, and the reach of a token's heads, of
// a head's tokens, and of all.
struct Region {
  Region(const void *pointer, int64_t in_tokens, int64_t in_heads, int64_t tokens, int64_t heads, int64_t head_dim)
      : token_stride(tokens > 1 ? std::abs(in_tokens) : 0),
        head_stride(heads > 1 ? std::abs(in_heads) : 0),
        heads_reach((heads - 1) * head_stride + head_dim),
        tokens_reach((tokens - 1) * token_stride + head_dim),
        reach(heads_reach + tokens_reach - head_dim),
        first(static_cast<int64_t>(reinterpret_cast<intptr_t>(pointer)) / ELEMENT_BYTES) {
    if (in_tokens < 0) first -= (tokens - 1) * token_stride;
    if (in_heads < 0) first -= (heads - 1) * head_stride;
  }
  int64_t token_stride, head_stride, heads_reach, tokens_reach, reach, first;
};

Region input_of(const normrope_heads &heads, int64_t num_tokens, int64_t head_dim) {
  return {heads.in, heads.in_token_stride, heads.in_head_stride, num_tokens, heads.num_heads, head_dim};
}

Region output_of(const normrope_heads &heads, int64_t num_tokens, int64_t head_dim) {
  return {heads.out, heads.out_token_stride, heads.out_head_stride, num_tokens, heads.num_heads, head_dim};
}

// Whether things of one size, `distance` apart and both repeated with a stride, lie between each other.
bool interleave(int64_t distance, int64_t stride, int64_t size, int64_t other_size) {
  if (stride == 0) return false;
  const int64_t offset = (distance % stride + stride) % stride;
  return offset >= size && offset + other_size <= stride;
}

// Whether two regions have no element in common, as far as can be told: apart as a whole; in rows of which each takes a
// part, one row for a token or for a head; or head between head, in rows that hold both.
bool are_apart(const Region &a, const Region &b, int64_t head_dim) {
  const int64_t distance = b.first - a.first;
  if (distance >= a.reach || -distance >= b.reach) return true;
  const bool same_tokens = a.token_stride == b.token_stride;
  const bool same_heads = a.head_stride == b.head_stride || a.head_stride == 0 || b.head_stride == 0;
  const int64_t head_stride = std::max(a.head_stride, b.head_stride);
  if (same_tokens && interleave(distance, a.token_stride, a.heads_reach, b.heads_reach)) return true;
  if (same_heads && interleave(distance, head_stride, a.tokens_reach, b.tokens_reach)) return true;
  if (!same_tokens || !same_heads) return false;
  const auto joint = [&](int64_t a_reach, int64_t b_reach) {
    return std::max(a_reach, distance + b_reach) - std::min<int64_t>(0, distance);
  };
  const bool in_token_rows = a.token_stride == 0 || joint(a.heads_reach, b.heads_reach) <= a.token_stride;
  const bool in_head_rows = head_stride == 0 || joint(a.tokens_reach, b.tokens_reach) <= head_stride;
  return (in_token_rows && interleave(distance, head_stride, head_dim, head_dim)) ||
         (in_head_rows && interleave(distance, a.token_stride, head_dim, head_dim));
}

// What is written must be apart from what else is read or written; in place, a side's input is its output.
int check_apart(const normrope_args &args, int64_t head_dim) {
  const normrope_heads *const sides[] = {&args.q, &args.k};
  const char *const names[] = {"q", "k"};
  for (int i = 0; i < 2; ++i) {
    if (sides[i]->num_heads == 0) continue;
    const Region out = output_of(*sides[i], args.num_tokens, head_dim);
    for (int j = 0; j < 2; ++j) {
      if (sides[j]->num_heads == 0) continue;
      const bool in_place = sides[j]->in == sides[j]->out;
      if (!(i == j && in_place) && !are_apart(out, input_of(*sides[j], args.num_tokens, head_dim), head_dim)) {
        return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.out is %p: it would be written over %s.in", names[i],
                    sides[i]->out, names[j]);
      }
      if (i < j && !in_place && !are_apart(out, output_of(*sides[j], args.num_tokens, head_dim), head_dim)) {
        return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.out is %p: it would be written over %s.out", names[j],
                    sides[j]->out, names[i]);
      }
    }
  }
  return NORMROPE_OK;
}

int check_heads(const KernelFacts &kernel, const char *side, const normrope_heads &heads, int64_t num_tokens) {
  if (heads.num_heads < 0) {
    return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.num_heads is %d: must not be negative", side, heads.num_heads);
  }
  if (heads.num_heads == 0 || num_tokens == 0) return NORMROPE_OK;
  if (num_tokens > MAX_HEADS / heads.num_heads) {
    return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "num_tokens is %lld: with %d %s heads these are more than 2^30, split the batch",
                static_cast<long long>(num_tokens), heads.num_heads, side);
  }
  if (heads.bias != nullptr) return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.bias is not NULL", side);
  if (heads.reserved[0] != 0 || heads.reserved[1] != 0 || heads.reserved32 != 0) {
    return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.reserved is not 0", side);
  }
  const int elements = kernel.vector_elements;
  const uintptr_t bytes = elements * ELEMENT_BYTES;
  if (int status = check_pointer(side, "in", heads.in, bytes)) return status;
  if (int status = check_pointer(side, "out", heads.out, bytes)) return status;
  if (int status = check_pointer(side, "weight", heads.weight, bytes)) return status;
  const struct {
    const char *field;
    int64_t stride, count;
  } strides[] = {
      {"in_token_stride", heads.in_token_stride, num_tokens},
      {"in_head_stride", heads.in_head_stride, heads.num_heads},
      {"out_token_stride", heads.out_token_stride, num_tokens},
      {"out_head_stride", heads.out_head_stride, heads.num_heads},
      {"weight_head_stride", heads.weight_head_stride, heads.num_heads},
  };
  for (const auto &[field, stride, count] : strides) {
    if (count == 1) continue;  // it is never used
    if (int status = check_stride(side, field, stride, count, elements)) return status;
  }
  const bool moves_tokens = num_tokens > 1 && heads.in_token_stride != heads.out_token_stride;
  const bool moves_heads = heads.num_heads > 1 && heads.in_head_stride != heads.out_head_stride;
  if (heads.in == heads.out && (moves_tokens || moves_heads)) {
    return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s.out equals %s.in: the strides must be equal too", side, side);
  }
  if (!are_apart(heads.out_token_stride, heads.out_head_stride, num_tokens, heads.num_heads, kernel.head_dim)) {
    return fail(NORMROPE_ERROR_INVALID_ARGUMENT,
                "%s.out has a token stride of %lld and a head stride of %lld: heads would lie over each other", side,
                static_cast<long long>(heads.out_token_stride), static_cast<long long>(heads.out_head_stride));
  }
  return NORMROPE_OK;
}

// 1 / (2 pi) as a 256-bit fraction, the least significant word first.
constexpr uint64_t INVERSE_TWO_PI[4] = {0x7f9458eaf7aef158u, 0x36d8a5664f10e410u, 0x7f09d5f47d4d3770u,
                                        0x28be60db9391054au};

// round(frac(x / 2 pi) * 2^64), exact: the product of x's 53-bit integer and the fraction, and 64 bits cut out of it.
uint64_t turns_of(double x) {
  int exponent;
  const double fraction = std::frexp(x, &exponent);
  const auto integer = static_cast<uint64_t>(std::ldexp(fraction, 53));  // x = integer * 2^(exponent - 53)
  uint64_t product[6] = {};
  uint64_t carry = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned __int128 sum = static_cast<unsigned __int128>(integer) * INVERSE_TWO_PI[i] + carry;
    product[i] = static_cast<uint64_t>(sum);
    carry = static_cast<uint64_t>(sum >> 64);
  }
  product[4] = carry;
  // Bit `unit` of the product weighs 2^-64 turns.
  const int unit = 256 - (exponent - 53) - 64;
  if (unit > 320) return 0;
  const auto bit = [&](int n) { return (product[n / 64] >> (n % 64)) & 1; };
  uint64_t turns = product[unit / 64] >> (unit % 64);
  if (unit % 64 != 0 && unit / 64 < 5) turns |= product[unit / 64 + 1] << (64 - unit % 64);
  return turns + bit(unit - 1);
}

}  // namespace

int fail(int status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

int check_kernel(int kernel) {
  if (kernel >= 0 && kernel < KERNEL_COUNT) return NORMROPE_OK;
  return fail(NORMROPE_ERROR_NO_SUCH_KERNEL, "kernel is %d: the library holds %d, from 0", kernel, KERNEL_COUNT);
}

int validate(const KernelFacts &kernel, const normrope_args *args) {
  constexpr int INVALID = NORMROPE_ERROR_INVALID_ARGUMENT;
  if (args == nullptr) return fail(INVALID, "args is NULL");
  if (args->struct_size != sizeof(normrope_args)) {
    return fail(INVALID, "struct_size is %u: this library's normrope_args has %zu", args->struct_size,
                sizeof(normrope_args));
  }
  if ((args->flags & ~NORMROPE_PDL) != 0) return fail(INVALID, "flags is %#x: only NORMROPE_PDL is known", args->flags);
  if (args->reserved32 != 0) return fail(INVALID, "reserved32 is %d: must be 0", args->reserved32);
  if (args->num_tokens < 0 || args->num_tokens > INT32_MAX) {
    return fail(INVALID, "num_tokens is %lld: must be from 0 to 2147483647", static_cast<long long>(args->num_tokens));
  }
  if (args->position_bits != 32 && args->position_bits != 64) {
    return fail(INVALID, "position_bits is %d: must be 32 or 64", args->position_bits);
  }
  if (!(args->eps >= 0) || std::isinf(args->eps)) {
    return fail(INVALID, "eps is %g: must be finite and not negative", args->eps);
  }
  if (args->eps > 0 && args->eps < FLT_MIN) {
    return fail(INVALID, "eps is %g: must be 0 or at least %g, which is the least that kernels tell from 0", args->eps,
                FLT_MIN);
  }
  if (!std::isfinite(args->attention_factor)) {
    return fail(INVALID, "attention_factor is %g: must be finite", args->attention_factor);
  }
  if (int status = check_heads(kernel, "q", args->q, args->num_tokens)) return status;
  if (int status = check_heads(kernel, "k", args->k, args->num_tokens)) return status;
  if (is_empty(*args)) return NORMROPE_OK;
  if (int status = check_apart(*args, kernel.head_dim)) return status;
  if (args->positions == nullptr) return fail(INVALID, "positions is NULL");
  if (args->rope_table == nullptr) return fail(INVALID, "rope_table is NULL");
  if (!is_multiple(args->positions, args->position_bits / 8)) {
    return fail(INVALID, "positions is %p: must be a multiple of %d bytes", args->positions, args->position_bits / 8);
  }
  if (!is_multiple(args->rope_table, 2 * sizeof(uint64_t))) {
    return fail(INVALID, "rope_table is %p: must be a multiple of 16 bytes", static_cast<const void *>(args->rope_table));
  }
  return NORMROPE_OK;
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
  if (int status = check_kernel(kernel)) return status;
  return validate(KERNELS[kernel], args);
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

const char *normrope_last_error(void) { return last_error; }

int normrope_rope_table(const double *inv_freq, int32_t n, uint64_t *table) {
  constexpr int INVALID = NORMROPE_ERROR_INVALID_ARGUMENT;
  constexpr double LIMIT = 18446744073709551616.0;  // 2^64
  if (n < 0) return fail(INVALID, "n is %d: must not be negative", n);
  if (n > 0 && inv_freq == nullptr) return fail(INVALID, "inv_freq is NULL");
  if (n > 0 && table == nullptr) return fail(INVALID, "table is NULL");
  for (int32_t i = 0; i < n; ++i) {
    if (!(inv_freq[i] >= 0) || !(inv_freq[i] < LIMIT)) {
      return fail(INVALID, "inv_freq[%d] is %g: must be from 0 up to below 2^64", i, inv_freq[i]);
    }
  }
  for (int32_t i = 0; i < n; ++i) table[i] = turns_of(inv_freq[i]);
  return NORMROPE_OK;
}
