// The part of the C interface that does not depend on the target: kernel table, validation, the last error.
// Copied as it is into generated/common.
#pragma once

#include <cstdint>

#include "normrope.h"

namespace normrope {

// The inputs of a side, or of the whole call: a bit for each, numbered by inputs.hpp.
struct Inputs {
  uint32_t taken;      // 0: the kernel does not work on the side
  uint32_t optional;   // a call may leave them out
  uint32_t float32;    // they are float32, not the kernel's dtype
  uint32_t e4m3;       // they are e4m3
};

// A kernel's entry, for validation. The dispatch file of the target defines the table.
struct KernelEntry {
  const char *id;
  int head_dim;
  int element_bytes;    // of the kernel's dtype
  int rotary_pairs;
  int vector_elements, pairs_at_once;
  int position_axes;
  uint32_t copied_sides;  // a bit for each side without stages
  Inputs sides[3], call;
};

// The bytes of an element of an input that the table gives the kernel's dtype.
inline int64_t element_bytes(const KernelEntry &kernel, const Inputs &inputs, int bit) {
  if ((inputs.float32 >> bit & 1) != 0) return sizeof(float);
  return (inputs.e4m3 >> bit & 1) != 0 ? 1 : kernel.element_bytes;
}

extern const KernelEntry KERNELS[];
extern const int KERNEL_COUNT;
extern const char *const MANIFEST;

// Stores the formatted text as this thread's last error, without a field, and returns the status.
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Checks a kernel's index.
int check_kernel(int kernel);

// Checks the arguments of a call. A caller's shorter struct is completed with zeros, in `storage`. Reads no data.
int read_args(int kernel, const normrope_args *&args, normrope_args &storage);

// Checks the data of valid arguments, where the target can read it: indices into other inputs.
int check_data(const KernelEntry &kernel, const normrope_args &args);

constexpr int SIDES = 3;

inline const normrope_heads &heads_of(const normrope_args &args, int side) {
  return side == 0 ? args.q : side == 1 ? args.k : args.v;
}

// Whether valid arguments have no tokens or no heads.
inline bool is_empty(const normrope_args &args) {
  return args.num_tokens == 0 || (args.q.num_heads == 0 && args.k.num_heads == 0 && args.v.num_heads == 0);
}

}  // namespace normrope
