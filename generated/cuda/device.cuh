// Helpers of every CUDA kernel: places in strided rows, positions and slots, the rotation's angle, sums over a warp. Copied as it is into
// generated/cuda.
#pragma once

#include <cstdint>

#include "params.hpp"
#include "ptx.cuh"
#include "vectors.cuh"

namespace normrope {

__device__ __forceinline__ uint32_t divide(uint32_t n, Divisor by) {
  return (__umulhi(n, by.multiplier) + n) >> by.shift;
}

__device__ __forceinline__ uint64_t divide(uint64_t n, WideDivisor by) {
  return (__umul64hi(n, by.multiplier) + n) >> by.shift;
}

// The n-th item of a strided row. Strides have 64 bits and may be negative.
__device__ __forceinline__ const char *nth(const char *first, uint32_t n, int64_t stride) {
  return first + static_cast<uint64_t>(n) * stride;
}

__device__ __forceinline__ char *nth(char *first, uint32_t n, int64_t stride) {
  return first + static_cast<uint64_t>(n) * stride;
}

// A side, and the index of this block among the side's blocks.
struct SideBlock {
  uint32_t side, block;
};

// A slice has the blocks of the first side, then those of the next.
__device__ __forceinline__ SideBlock side_block(const Params<1> &params) {
  return {0, blockIdx.y * params.heads[0].blocks_per_slice + blockIdx.x};
}

__device__ __forceinline__ SideBlock side_block(const Params<2> &params) {
  const uint32_t first_of_second = params.heads[0].blocks_per_slice;
  const bool is_second = blockIdx.x >= first_of_second;
  const uint32_t first = is_second ? first_of_second : 0;
  return {is_second, blockIdx.y * params.heads[is_second].blocks_per_slice + blockIdx.x - first};
}

__device__ __forceinline__ SideBlock side_block(const Params<3> &params) {
  const uint32_t first_of_second = params.heads[0].blocks_per_slice;
  const uint32_t first_of_third = first_of_second + params.heads[1].blocks_per_slice;
  const bool is_behind_first = blockIdx.x >= first_of_second, is_third = blockIdx.x >= first_of_third;
  const uint32_t side = is_behind_first + is_third;
  const uint32_t first = is_third ? first_of_third : is_behind_first ? first_of_second : 0;
  return {side, blockIdx.y * params.heads[side].blocks_per_slice + blockIdx.x - first};
}

struct Position {
  uint32_t low, high;
};

// Loads two words for either width. With a branch, the compiler would wait for the position before it loads the data (H100,
// November 2026: one token takes 1.24 times the floor, and 1.36 with the branch).
template <uint32_t SIDES>
__device__ __forceinline__ Position load_position(const Params<SIDES> &params, uint32_t token, uint32_t axis = 0) {
  const char *const at = nth(params.positions, axis, params.position_axis_stride) + static_cast<uint64_t>(token) * params.position_bytes;
  const auto low = *reinterpret_cast<const uint32_t *>(at);
  const auto word = *reinterpret_cast<const int32_t *>(at + params.position_high_byte);
  return {low, static_cast<uint32_t>(word >> params.position_shift)};
}

__device__ __forceinline__ void load_turns_1(const uint64_t *table, uint64_t *turns) { turns[0] = table[0]; }

// Two neighbouring entries of the table, at a multiple of 16 bytes.
__device__ __forceinline__ void load_turns_2(const uint64_t *table, uint64_t *turns) {
  const ulonglong2 two = *reinterpret_cast<const ulonglong2 *>(table);
  turns[0] = two.x, turns[1] = two.y;
}

// The item of an index that is no constant. A lane's array has no address, so each item is compared.
template <class T, uint32_t N>
__device__ __forceinline__ T chosen(const T (&items)[N], uint32_t index) {
  T item = items[0];
#pragma unroll
  for (uint32_t n = 1; n < N; ++n) {
    if (index == n) item = items[n];
  }
  return item;
}

// The row of a position in cos_sin. The caller of the library answers for positions beyond its rows.
template <uint32_t SIDES>
__device__ __forceinline__ const char *cos_sin_row(const Params<SIDES> &params, Position position) {
  const auto row = static_cast<int64_t>(static_cast<uint64_t>(position.high) << 32 | position.low);
  return params.cos_sin + row * params.cos_sin_row_stride;
}

// As many neighbouring bytes, the first in the lowest bits.
__device__ __forceinline__ uint32_t load_bytes_1(const uint8_t *bytes) { return *bytes; }
__device__ __forceinline__ uint32_t load_bytes_2(const uint8_t *bytes) { return *reinterpret_cast<const uint16_t *>(bytes); }
__device__ __forceinline__ uint32_t load_bytes_4(const uint8_t *bytes) { return *reinterpret_cast<const uint32_t *>(bytes); }

// The slot of a token, loaded as a position is.
template <uint32_t SIDES>
__device__ __forceinline__ int64_t load_slot(const StoreParams<SIDES> &params, uint32_t token) {
  const char *const at = params.slots + static_cast<uint64_t>(token) * params.slot_bytes;
  const auto low = *reinterpret_cast<const uint32_t *>(at);
  const auto word = *reinterpret_cast<const int32_t *>(at + params.slot_high_byte);
  return static_cast<int64_t>(static_cast<uint64_t>(static_cast<uint32_t>(word >> params.slot_shift)) << 32 | low);
}

// A slot's place in a side's cache, anywhere for one below 0. The caller of the library answers for slots beyond it.
template <uint32_t SIDES>
__device__ __forceinline__ char *cache_at(const StoreParams<SIDES> &params, const Stores &stores, int64_t slot) {
  const uint64_t block = divide(static_cast<uint64_t>(slot), params.by_block_size);
  const uint64_t in_block = static_cast<uint64_t>(slot) - block * params.block_size;
  return stores.cache + (block * stores.cache_block_stride + in_block * stores.cache_slot_stride);
}

// Cosine and sine of position * turns * 2 pi. The product of two 64-bit numbers wraps at whole turns by itself, for
// negative positions too; its upper half, read as signed, is the angle in units of 2 pi / 2^32, in [-pi, pi), where
// the hardware's approximations are good to about 2^-21.
__device__ __forceinline__ void sincos_of_turns(uint64_t turns, Position position, float &sine, float &cosine) {
  const auto low = static_cast<uint32_t>(turns), high = static_cast<uint32_t>(turns >> 32);
  const uint32_t product = __umulhi(low, position.low) + high * position.low + low * position.high;
  const float angle = static_cast<float>(static_cast<int32_t>(product)) * 1.46291807926715968e-9f;
  sine = approximate_sine(angle), cosine = approximate_cosine(angle);
}

// N rounded up to a power of two.
template <int N>
constexpr int POWER_OF_TWO_FROM = 2 * POWER_OF_TWO_FROM<(N + 1) / 2>;
template <>
constexpr int POWER_OF_TWO_FROM<1> = 1;

// The sum over the lanes of a head, in each of them, as a balanced tree. Leaves beyond the last lane are `empty`. Every lane of
// the warp must call it.
template <uint32_t LANES>
__device__ __forceinline__ float sum_over_lanes(float value, uint32_t lane_of_head, float empty) {
  constexpr uint32_t LEAVES = POWER_OF_TWO_FROM<LANES>;
  const uint32_t first_lane = threadIdx.x % 32 - lane_of_head;
#pragma unroll
  for (uint32_t distance = LEAVES / 2; distance > 0; distance /= 2) {
    if (LANES == LEAVES) {
      value += __shfl_xor_sync(0xffffffffu, value, distance);
      continue;
    }
    // After the first step the lanes of the second half have the sums of those of the first.
    const uint32_t partner = (distance == LEAVES / 2 ? lane_of_head : lane_of_head % (LEAVES / 2)) ^ distance;
    const float other = __shfl_sync(0xffffffffu, value, first_lane + partner);
    value += partner < LANES ? other : empty;
  }
  return value;
}

// The sum over a lane's fragments, F and every DISTANCE-th after it, in pairs. It calls itself, since nvcc does not unroll every loop.
template <int FRAGMENTS, int F = 0, int DISTANCE = 1>
__device__ __forceinline__ float sum_over_fragments(const float (&sums)[FRAGMENTS]) {
  if constexpr (F + DISTANCE >= FRAGMENTS) {
    return sums[F];
  } else {
    return sum_over_fragments<FRAGMENTS, F, 2 * DISTANCE>(sums) + sum_over_fragments<FRAGMENTS, F + DISTANCE, 2 * DISTANCE>(sums);
  }
}

// x / N, rounded to nearest. A product with 1 / N is that if N is a power of two, and much faster.
template <uint32_t N>
__device__ __forceinline__ float divided_by(float x) {
  return (N & (N - 1)) == 0 ? x * (1.0f / N) : __fdiv_rn(x, N);
}

}  // namespace normrope
