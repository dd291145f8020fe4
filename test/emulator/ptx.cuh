// Stands in for the inline assembly of templates/cuda/ptx.cuh. Sine, cosine and square root are exact here, where the
// hardware's are good: how good is judged on a GPU.
#pragma once

#include <cstdint>

#include "e4m3.hpp"
#include "emulator.hpp"

namespace normrope {

__device__ __forceinline__ void allow_next_kernel() {}
__device__ __forceinline__ void wait_for_previous_kernel() { emulator::wait_for_previous_kernel(); }

__device__ __forceinline__ void copy_16_bytes_if(bool is_wanted, char *to, const char *from) {
  if (is_wanted) emulator::copy_16_bytes(to, from);
}
__device__ __forceinline__ void end_copies() { emulator::end_copies(); }
__device__ __forceinline__ void wait_for_copies(uint32_t groups_left) { emulator::wait_for_copies(groups_left); }

__device__ __forceinline__ float approximate_sine(float angle) { return std::sin(emulator::reduced(angle)); }
__device__ __forceinline__ float approximate_cosine(float angle) { return std::cos(emulator::reduced(angle)); }

// What is subnormal counts as 0.
__device__ __forceinline__ float reciprocal_sqrt(float x) {
  const float flushed = std::fabs(x) < 0x1p-126f ? 0.0f : x;
  return static_cast<float>(1 / std::sqrt(double{flushed}));
}

__device__ __forceinline__ float approximate_reciprocal(float x) { return std::fabs(x) < 0x1p-126f ? HUGE_VALF : 1 / x; }

__device__ __forceinline__ float magnitude_at_most(float x, float limit) {
  return std::fabs(x) > limit ? std::copysign(limit, x) : x;
}

__device__ __forceinline__ uint16_t e4m3x2_of(float low, float high) {
  return static_cast<uint16_t>(e4m3_of(emulator::stored(low)) | e4m3_of(emulator::stored(high)) << 8);
}

__device__ __forceinline__ float f32_of_f16(uint16_t x) {
  _Float16 half;
  std::memcpy(&half, &x, sizeof half);
  return half;
}

__device__ __forceinline__ uint16_t f16_of(float x) {
  const auto half = static_cast<_Float16>(emulator::stored(x));
  uint16_t bits;
  std::memcpy(&bits, &half, sizeof bits);
  return bits;
}

__device__ __forceinline__ uint16_t bf16_of(float x) {
  const float finite = emulator::stored(x);
  uint32_t bits;
  std::memcpy(&bits, &finite, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

__device__ __forceinline__ uint32_t f16x2_of(float low, float high) { return f16_of(low) | uint32_t{f16_of(high)} << 16; }
__device__ __forceinline__ uint32_t bf16x2_of(float low, float high) { return bf16_of(low) | uint32_t{bf16_of(high)} << 16; }

// Float32 has more than twice the bits, so rounding twice is rounding once.
__device__ __forceinline__ float f32_of_bf16(uint32_t x) { return __uint_as_float(x << 16); }
__device__ __forceinline__ uint32_t multiply_bf16(uint32_t x, uint32_t y) {
  return bf16x2_of(f32_of_bf16(x) * f32_of_bf16(y), f32_of_bf16(x >> 16) * f32_of_bf16(y >> 16));
}
__device__ __forceinline__ uint32_t add_bf16(uint32_t x, uint32_t y) {
  return bf16x2_of(f32_of_bf16(x) + f32_of_bf16(y), f32_of_bf16(x >> 16) + f32_of_bf16(y >> 16));
}
__device__ __forceinline__ uint32_t multiply_f16(uint32_t x, uint32_t y) {
  return f16x2_of(f32_of_f16(x) * f32_of_f16(y), f32_of_f16(x >> 16) * f32_of_f16(y >> 16));
}
__device__ __forceinline__ uint32_t add_f16(uint32_t x, uint32_t y) {
  return f16x2_of(f32_of_f16(x) + f32_of_f16(y), f32_of_f16(x >> 16) + f32_of_f16(y >> 16));
}

}  // namespace normrope
