// What every emitted kernel is written with: its parameters, 16-bit vectors, the rotation's angle, and the warp.
// All inline assembly of the CUDA target is here. Copied as it is into generated/cuda.
#pragma once

#include <cstdint>

namespace normrope {

// n / d for n < 2^31 by a multiplication: Granlund and Montgomery 1994, figure 4.1. Made in dispatch.
struct Divisor {
  uint32_t multiplier;
  uint32_t shift;
};

// All the query heads, or all the key heads. Strides are in elements; a head is contiguous.
struct Heads {
  const uint16_t *in;
  uint16_t *out;
  const uint16_t *weight;
  int64_t in_token_stride, in_head_stride;
  int64_t out_token_stride, out_head_stride;
  int64_t weight_head_stride;
  int32_t num_heads;
  uint32_t spans_per_token;  // a span: the heads of one token that one warp takes
  Divisor by_spans_per_token;
  uint32_t num_spans;
};

struct Params {
  Heads heads[2];  // q, then k
  const void *positions;
  const uint64_t *rope_table;  // turns per position as 0.64 fixed point, one for each rotated pair
  uint32_t q_blocks;           // blocks before this one work on q, the others on k
  int32_t heads_per_span;
  int32_t position_bits;
  uint32_t is_dependent;  // launched with programmatic dependent launch
  float eps;
  float attention_factor;
};

// The heads that a warp works on. The same in all lanes of the warp.
struct Span {
  int64_t token;
  int first_head, end_head;
};

__device__ __forceinline__ uint32_t divide(uint32_t n, Divisor by) {
  return (__umulhi(n, by.multiplier) + n) >> by.shift;
}

__device__ __forceinline__ Span nth_span(const Heads &heads, uint32_t n, int heads_per_span) {
  const uint32_t token = divide(n, heads.by_spans_per_token);
  const int first_head = static_cast<int>(n - token * heads.spans_per_token) * heads_per_span;
  return {token, first_head, min(first_head + heads_per_span, heads.num_heads)};
}

// Both words are loaded whatever the width, so that no branch stands between this load and the others.
__device__ __forceinline__ int64_t load_position(const void *positions, int bits, int64_t token) {
  const auto *const words = static_cast<const int32_t *>(positions);
  const bool is_wide = bits == 64;
  const int32_t low = words[is_wide ? 2 * token : token];
  const int32_t high = words[is_wide ? 2 * token + 1 : token];
  return static_cast<int64_t>(is_wide ? high : low >> 31) << 32 | static_cast<uint32_t>(low);
}

// With programmatic dependent launch: lets the next kernel start its prologue, and waits until the kernel before
// has finished and its writes are visible. They cost 0.1 us where they do nothing (H100, November 2026).
__device__ __forceinline__ void allow_next_kernel(uint32_t is_dependent) {
#if __CUDA_ARCH__ >= 900
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %0, 0; @p griddepcontrol.launch_dependents; }" ::"r"(is_dependent) : "memory");
#endif
}

__device__ __forceinline__ void wait_for_previous_kernel(uint32_t is_dependent) {
#if __CUDA_ARCH__ >= 900
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %0, 0; @p griddepcontrol.wait; }" ::"r"(is_dependent) : "memory");
#endif
}

// Cosine and sine of position * turns * 2 pi. The 64-bit product wraps at whole turns by itself, for negative
// positions too; its upper half, read as signed, is the angle in units of 2 pi / 2^32, in [-pi, pi), where the
// hardware's approximations are good to about 2^-21.
__device__ __forceinline__ void sincos_of_turns(uint64_t turns, int64_t position, float &sine, float &cosine) {
  const uint64_t product = turns * static_cast<uint64_t>(position);
  const float angle = static_cast<float>(static_cast<int32_t>(product >> 32)) * 1.46291807926715968e-9f;
  asm("sin.approx.ftz.f32 %0, %1;" : "=f"(sine) : "f"(angle));
  asm("cos.approx.ftz.f32 %0, %1;" : "=f"(cosine) : "f"(angle));
}

// The sum over `lanes` neighbouring lanes, a power of two, in all of them. Every lane of the warp must take part.
__device__ __forceinline__ float sum_over_lanes(float value, int lanes) {
#pragma unroll
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  }
  return value;
}

__device__ __forceinline__ float reciprocal_sqrt(float x) {
  float result;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// A vector of 1, 2 or 4 elements is a uint16_t, a uint32_t or a uint2. Rounding is to nearest even.

__device__ __forceinline__ void widen_bf16(uint16_t v, float *x) { x[0] = __uint_as_float(uint32_t(v) << 16); }

__device__ __forceinline__ void widen_bf16(uint32_t v, float *x) {
  x[0] = __uint_as_float(v << 16);
  x[1] = __uint_as_float(v & 0xffff0000u);
}

__device__ __forceinline__ void widen_f16(uint16_t v, float *x) {
  asm("cvt.f32.f16 %0, %1;" : "=f"(x[0]) : "h"(v));
}

__device__ __forceinline__ void widen_f16(uint32_t v, float *x) {
  widen_f16(static_cast<uint16_t>(v), x);
  widen_f16(static_cast<uint16_t>(v >> 16), x + 1);
}

__device__ __forceinline__ void narrow_bf16(const float *x, uint16_t &v) {
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(v) : "f"(x[0]));
}

__device__ __forceinline__ void narrow_bf16(const float *x, uint32_t &v) {
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(x[1]), "f"(x[0]));
}

__device__ __forceinline__ void narrow_f16(const float *x, uint16_t &v) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(v) : "f"(x[0]));
}

__device__ __forceinline__ void narrow_f16(const float *x, uint32_t &v) {
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(x[1]), "f"(x[0]));
}

__device__ __forceinline__ void widen_bf16(uint2 v, float *x) { widen_bf16(v.x, x), widen_bf16(v.y, x + 2); }
__device__ __forceinline__ void widen_f16(uint2 v, float *x) { widen_f16(v.x, x), widen_f16(v.y, x + 2); }
__device__ __forceinline__ void narrow_bf16(const float *x, uint2 &v) { narrow_bf16(x, v.x), narrow_bf16(x + 2, v.y); }
__device__ __forceinline__ void narrow_f16(const float *x, uint2 &v) { narrow_f16(x, v.x), narrow_f16(x + 2, v.y); }

// Four neighbouring elements as two interleaved pairs (a, b).

__device__ __forceinline__ void widen_pairs_bf16(uint2 v, float *a, float *b) {
  float x[4];
  widen_bf16(v, x);
  a[0] = x[0], b[0] = x[1], a[1] = x[2], b[1] = x[3];
}

__device__ __forceinline__ void widen_pairs_f16(uint2 v, float *a, float *b) {
  float x[4];
  widen_f16(v, x);
  a[0] = x[0], b[0] = x[1], a[1] = x[2], b[1] = x[3];
}

__device__ __forceinline__ void narrow_pairs_bf16(const float *a, const float *b, uint2 &v) {
  const float x[4] = {a[0], b[0], a[1], b[1]};
  narrow_bf16(x, v);
}

__device__ __forceinline__ void narrow_pairs_f16(const float *a, const float *b, uint2 &v) {
  const float x[4] = {a[0], b[0], a[1], b[1]};
  narrow_f16(x, v);
}

}  // namespace normrope
