// Instructions that CUDA C++ does not name: all inline assembly of the CUDA target.
// Conversions round to nearest even. Copied as it is into generated/cuda.
#pragma once

#include <cstdint>

#include "e4m3.hpp"

namespace normrope {

// For programmatic dependent launch: let the next kernel start its prologue, and wait until the kernel before has finished and
// its writes are visible. In an ordinary launch they would cost 4 % at small sizes (H100, November 2026), so only the kernel's
// second entry has them.
__device__ __forceinline__ void allow_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Starts a copy of 16 bytes to shared memory if it is wanted. Both addresses are multiples of 16. The condition is part of the
// instruction: around a branch, addresses would be computed anew for each copy.
__device__ __forceinline__ void copy_16_bytes_if(bool is_wanted, char *to, const char *from) {
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  const uint32_t wanted = is_wanted;
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p cp.async.cg.shared.global [%0], [%1], 16; }" ::"r"(shared), "l"(from), "r"(wanted) : "memory");
}

// Ends a group of copies of this lane. A group may be empty.
__device__ __forceinline__ void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for this lane's groups of copies, except the last 0 to 3.
__device__ __forceinline__ void wait_for_copies(uint32_t groups_left) {
  if (groups_left == 3) asm volatile("cp.async.wait_group 3;" ::: "memory");
  if (groups_left == 2) asm volatile("cp.async.wait_group 2;" ::: "memory");
  if (groups_left == 1) asm volatile("cp.async.wait_group 1;" ::: "memory");
  if (groups_left == 0) asm volatile("cp.async.wait_group 0;" ::: "memory");
}

// Accurate to about 2^-21 in [-pi, pi].
__device__ __forceinline__ float approximate_sine(float angle) {
  float result;
  asm("sin.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(angle));
  return result;
}

__device__ __forceinline__ float approximate_cosine(float angle) {
  float result;
  asm("cos.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(angle));
  return result;
}

__device__ __forceinline__ float reciprocal_sqrt(float x) {
  float result;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

__device__ __forceinline__ float f32_of_f16(uint16_t x) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x));
  return result;
}

__device__ __forceinline__ uint16_t f16_of(float x) {
  uint16_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(x));
  return result;
}

__device__ __forceinline__ uint32_t f16x2_of(float low, float high) {
  uint32_t result;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}

__device__ __forceinline__ uint16_t bf16_of(float x) {
  uint16_t result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(x));
  return result;
}

__device__ __forceinline__ uint32_t bf16x2_of(float low, float high) {
  uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}

__device__ __forceinline__ float approximate_reciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// x, or what has its sign and the limit's magnitude if x is larger. A NaN stays one.
__device__ __forceinline__ float magnitude_at_most(float x, float limit) {
  float result;
#if __CUDA_ARCH__ >= 860
  asm("min.NaN.xorsign.abs.f32 %0, %1, %2;" : "=f"(result) : "f"(x), "f"(limit));
#else
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(x), "f"(limit));
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(result), "f"(-limit));
#endif
  return result;
}

// Two numbers as e4m3, the first in the low byte. What is too large becomes 448, and a NaN stays one.
__device__ __forceinline__ uint16_t e4m3x2_of(float low, float high) {
#if __CUDA_ARCH__ >= 890
  uint16_t result;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(result) : "f"(high), "f"(low));
  return result;
#else
  return static_cast<uint16_t>(e4m3_of(low) | e4m3_of(high) << 8);
#endif
}

// Two products or sums of 16-bit numbers, each rounded once. None is contracted with another.

__device__ __forceinline__ uint32_t multiply_bf16(uint32_t x, uint32_t y) {
  uint32_t result;  // x * y + -0: sm_80 has no product by itself
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(y), "r"(0x80008000u));
  return result;
}

__device__ __forceinline__ uint32_t add_bf16(uint32_t x, uint32_t y) {
  uint32_t result;  // x * 1 + y
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(0x3f803f80u), "r"(y));
  return result;
}

__device__ __forceinline__ uint32_t multiply_f16(uint32_t x, uint32_t y) {
  uint32_t result;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(result) : "r"(x), "r"(y));
  return result;
}

__device__ __forceinline__ uint32_t add_f16(uint32_t x, uint32_t y) {
  uint32_t result;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(result) : "r"(x), "r"(y));
  return result;
}

}  // namespace normrope
