// Which of a kernel's two layouts a call takes, from its sizes and the device's. Copied from templates/cuda/layout.hpp by
// `normrope emit`.
#pragma once

#include "abi.hpp"
#include "params.hpp"

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

// Whether the heads of a token leave a quarter or more of the places in their warps empty.
inline bool leave_lanes_idle(const normrope_heads &heads, const Layout &layout) {
  const int64_t places = divide_up(heads.num_heads, layout.heads_per_warp) * int64_t{layout.heads_per_warp};
  return heads.num_heads > 0 && 4 * (places - heads.num_heads) >= places;
}

// Whether heads can be copied 16 bytes at a time. Flat sides are not copied; the stride of a single token or head is not used.
inline bool can_be_copied(const normrope_heads &heads, int64_t in_bytes, int64_t num_tokens, const Layout &throughput) {
  if (heads.num_heads == 0 || leave_lanes_idle(heads, throughput)) return true;
  const int64_t token_stride = num_tokens > 1 ? heads.in_token_stride : 0, head_stride = heads.num_heads > 1 ? heads.in_head_stride : 0;
  const auto strides = static_cast<uintptr_t>(token_stride | head_stride) * in_bytes;
  return (reinterpret_cast<uintptr_t>(heads.in) | strides) % 16 == 0;
}

struct Choice {
  const Layout *layout;
  uint32_t rounds_per_task;  // in the throughput layout at least two
};

// Chooses the layout and the rounds of a task, which share sines, cosines and weights: the more rounds there are for each warp that
// the device can hold, the longer a task. H200, November 2026, head_dim 128, times over the floor:
//
//   load 0.45, a task of one round -> two                   1.43 -> 1.32
//   load 1.2, latency layout -> throughput layout           1.10 -> 1.03
//   load 2.4                                                1.05 -> 0.97; dependent launch 1.11 -> 0.94
//   load 0.6, dependent launch, throughput layout           1.08 -> 1.02 with two rounds, 1.65 with four
//
// Dependent launches overlap best where the blocks of two fit in the device, and badly where they are few and do not spread over it. So
// they take the throughput layout sooner, with shorter tasks, but not where a lane has several fragments and fewer blocks fit. If each
// head has its own weights, a task has one round, for which staging does not pay.
inline Choice choose(const Launch &launch, const KernelEntry &kernel, const normrope_args &args, bool heads_differ, int multiprocessors, bool is_dependent) {
  if (heads_differ) return {&launch.latency, 1};
  const double load = static_cast<double>(rounds_of(args, launch.latency)) / capacity_of(multiprocessors);
  const bool is_sooner = is_dependent && launch.throughput.fragments_per_lane == 1;
  const auto is_copied = [&](const normrope_heads &heads) {
    return can_be_copied(heads, kernel.element_bytes, args.num_tokens, launch.throughput);
  };
  if (load >= (is_sooner ? 0.5 : 0.9) && is_copied(args.q) && is_copied(args.k) && is_copied(args.v)) {
    return {&launch.throughput, is_dependent && load < 1.5 ? ROUNDS_MAX / 2 : ROUNDS_MAX};
  }
  return {&launch.latency, load < (is_dependent ? 0.5 : 0.4) ? 1 : load < 2 ? ROUNDS_MAX / 2 : ROUNDS_MAX};
}

}  // namespace normrope
