// The half of the C interface that does not depend on the target: kernel table, validation, the last error.
// Copied as it is into generated/common.
#pragma once

#include <cstdint>

#include "normrope.h"

namespace normrope {

// What validation must know of a kernel. The dispatch file of the target defines the table.
struct KernelEntry {
  const char *id;
  int head_dim;
  int rotary_pairs;
  int vector_elements;
  // Which inputs of each side, and of the whole call, it takes: bits, as inputs.hpp numbers them. None: not that side.
  uint32_t side_inputs[3], call_inputs;
};

extern const KernelEntry KERNELS[];
extern const int KERNEL_COUNT;
extern const char *const MANIFEST;

// Keeps the formatted text as this thread's last error, of no field, and returns the status.
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The status of an index that is no kernel's, or NORMROPE_OK.
int check_kernel(int kernel);

// NORMROPE_OK where a kernel may run on the arguments, which are whole then: what a caller's shorter struct lacks is NULL or
// 0, in `storage`. Reads no data.
int read_args(int kernel, const normrope_args *&args, normrope_args &storage);

constexpr int SIDES = 3;

inline const normrope_heads &heads_of(const normrope_args &args, int side) {
  return side == 0 ? args.q : side == 1 ? args.k : args.v;
}

// Whether valid arguments ask for nothing.
inline bool is_empty(const normrope_args &args) {
  return args.num_tokens == 0 || (args.q.num_heads == 0 && args.k.num_heads == 0 && args.v.num_heads == 0);
}

}  // namespace normrope
