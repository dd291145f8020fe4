// The part of the C interface that does not depend on the target. Copied as it is into generated/common.
#include "abi.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "inputs.hpp"
#include "turns.hpp"
#include "validate.hpp"

namespace normrope {
namespace {

thread_local struct {
  char message[3 * sizeof(Text) + 20] = "";
  Text field, value, wanted;  // "" if the error has no field
} last_error;

// No version's struct is larger: a larger struct_size was not filled in.
constexpr size_t MAX_ARGS_BYTES = 4096;

}  // namespace

int refuse(const Text &field, const Text &value, const Text &wanted) {
  last_error.field = field, last_error.value = value, last_error.wanted = wanted;
  std::snprintf(last_error.message, sizeof last_error.message, "%s is %s: must be %s", field.chars, value.chars,
                wanted.chars);
  return NORMROPE_ERROR_INVALID_ARGUMENT;
}

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
  if (int status = read_args(kernel, args, storage)) return status;
  return check_data(KERNELS[kernel], *args);
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
