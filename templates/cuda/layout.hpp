// Which of a kernel's two layouts a call takes, from its sizes and the device's. Copied from templates/cuda/layout.hpp by
// `normrope emit`.
#pragma once

#include "abi.hpp"

namespace normrope {

struct Layout {
  const void *function;
  const void *dependent;  // the same, for programmatic dependent launch
  int heads_per_warp;
  int fragments_per_lane;
};

struct Launch {
  int sides[SIDES], side_count;  // the kernel's sides: 0 is q, 1 is k, 2 is v
  int block_threads;
  double min_load;
  bool is_staged;
  Layout latency, throughput;
};

inline uint32_t divide_up(int64_t a, int64_t b) { return static_cast<uint32_t>((a + b - 1) / b); }

// A round is the heads that a warp works on at once. A task is one round or more.
inline int64_t rounds_of(const normrope_args &args, const Layout &layout) {
  int64_t rounds = 0;
  for (int side = 0; side < SIDES; ++side) {
    rounds += args.num_tokens * divide_up(heads_of(args, side).num_heads, layout.heads_per_warp);
  }
  return rounds;
}

inline int64_t capacity_of(int multiprocessors) {
  constexpr int64_t WARPS_PER_MULTIPROCESSOR = 64;
  return WARPS_PER_MULTIPROCESSOR * multiprocessors;
}

// Whether the heads of a token are no whole warps.
inline bool leave_lanes_idle(const normrope_heads &heads, const Layout &layout) { return heads.num_heads % layout.heads_per_warp != 0; }

// Whether heads can be copied 16 bytes at a time. Flat sides are not copied; the stride of a single token or head is not used.
inline bool can_be_copied(const normrope_heads &heads, int64_t in_bytes, int64_t num_tokens, const Layout &throughput) {
  if (heads.num_heads == 0 || leave_lanes_idle(heads, throughput)) return true;
  const int64_t token_stride = num_tokens > 1 ? heads.in_token_stride : 0, head_stride = heads.num_heads > 1 ? heads.in_head_stride : 0;
  const auto strides = static_cast<uintptr_t>(token_stride | head_stride) * in_bytes;
  return (reinterpret_cast<uintptr_t>(heads.in) | strides) % 16 == 0;
}

// Chooses the throughput layout for what more than fills the device. Work is counted in rounds of 16 bytes a lane.
inline const Layout &layout_for(const Launch &launch, const KernelEntry &kernel, const normrope_args &args, int multiprocessors) {
  const int64_t work = rounds_of(args, launch.latency) * launch.latency.fragments_per_lane * kernel.vector_elements / 4;
  if (work < launch.min_load * capacity_of(multiprocessors)) return launch.latency;
  const auto is_copied = [&](const normrope_heads &heads) {
    return can_be_copied(heads, kernel.element_bytes, args.num_tokens, launch.throughput);
  };
  const bool is_possible = !launch.is_staged || (is_copied(args.q) && is_copied(args.k) && is_copied(args.v));
  return is_possible ? launch.throughput : launch.latency;
}

}  // namespace normrope
