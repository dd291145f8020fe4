// The parameters of a kernel. Emitted from templates/cuda/params.hpp.hbs and dsl/inputs.ts by `normrope emit`.
#pragma once

#include <cstdint>

namespace normrope {

// Division of n < 2^31 by a multiplication: Granlund and Montgomery 1994, figure 4.1. Dispatch makes it.
struct Divisor {
  uint32_t multiplier;
  uint32_t shift;
};

// The same of n < 2^63.
struct WideDivisor {
  uint64_t multiplier;
  uint32_t shift;
};

// The most rounds of a task.
constexpr uint32_t ROUNDS_MAX = 4;

// All the heads of a side. Strides are in bytes; a head is contiguous.
struct Heads {
  uint32_t blocks_per_slice;  // of this side
  uint32_t num_tasks;         // a task: heads of one token; one head if the side is flat
  uint32_t tasks_per_token;
  Divisor by_tasks_per_token;
  uint32_t num_heads;
  const char *weight;
  int64_t weight_head_stride;
  const char *in;
  int64_t in_token_stride, in_head_stride;
  char *out;
  int64_t out_token_stride, out_head_stride;
};

// Inputs of a side that few kernels take. They lie at the end, so that other kernels are as without them.
struct SideInputs {
  const char *bias;
  int64_t bias_head_stride;
};

// The parameters of a kernel with this many sides. Unused ones are 0.
template <uint32_t SIDES>
struct Params {
  Heads heads[SIDES];           // in the kernel's order
  const uint64_t *rope_table;
  const char *positions;
  uint32_t position_bytes;      // 4 or 8
  uint32_t position_high_byte;  // offset of a position's upper half: 4, or 0 if it has none
  uint32_t position_shift;      // turns that word into the upper half: 0, or 31 for the sign of the lower half
  uint32_t heads_per_task;
  float eps;
  float attention_factor;
  int64_t position_axis_stride;
  const uint8_t *pair_axes;
  const char *cos_sin;
  int64_t cos_sin_row_stride;
  SideInputs inputs[3];
};

// Where a side is stored besides `out`, and the scales of e4m3.
struct Stores {
  char *cache;
  int64_t cache_block_stride;
  int64_t cache_slot_stride;
  int64_t cache_head_stride;
  const float *cache_scale;
  int64_t cache_scale_head_stride;
  const float *out_scale;
  int64_t out_scale_head_stride;
};

// The parameters of a kernel that writes a cache or e4m3.
template <uint32_t SIDES>
struct StoreParams : Params<SIDES> {
  Stores stores[3];
  const char *slots;
  uint32_t slot_bytes;      // as of positions
  uint32_t slot_high_byte;
  uint32_t slot_shift;
  WideDivisor by_block_size;
  int64_t block_size;
};

}  // namespace normrope
