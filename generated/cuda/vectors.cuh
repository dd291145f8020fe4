// Vectors of a kernel's dtype, and what turns them into float32 numbers and back: of NeoX's halves and of interleaved pairs, and of
// FP8. Copied as it is into generated/cuda.
#pragma once

#include <cfloat>
#include <cstdint>

#include "ptx.cuh"

namespace normrope {

// A vector of 1, 2 or 4 elements is a uint16_t, a uint32_t or a uint2.

__device__ __forceinline__ void widen_bf16(uint16_t v, float *x) { x[0] = __uint_as_float(uint32_t(v) << 16); }

__device__ __forceinline__ void widen_bf16(uint32_t v, float *x) {
  x[0] = __uint_as_float(v << 16);
  x[1] = __uint_as_float(v & 0xffff0000u);
}

__device__ __forceinline__ void widen_f16(uint16_t v, float *x) { x[0] = f32_of_f16(v); }

__device__ __forceinline__ void widen_f16(uint32_t v, float *x) {
  x[0] = f32_of_f16(static_cast<uint16_t>(v));
  x[1] = f32_of_f16(static_cast<uint16_t>(v >> 16));
}

__device__ __forceinline__ void narrow_bf16(const float *x, uint16_t &v) { v = bf16_of(x[0]); }
__device__ __forceinline__ void narrow_bf16(const float *x, uint32_t &v) { v = bf16x2_of(x[0], x[1]); }
__device__ __forceinline__ void narrow_f16(const float *x, uint16_t &v) { v = f16_of(x[0]); }
__device__ __forceinline__ void narrow_f16(const float *x, uint32_t &v) { v = f16x2_of(x[0], x[1]); }

// Rounds two float32 to 16-bit numbers.
__device__ __forceinline__ void round_bf16(float &a, float &b) {
  float x[2];
  widen_bf16(bf16x2_of(a, b), x);
  a = x[0], b = x[1];
}
__device__ __forceinline__ void round_f16(float &a, float &b) {
  float x[2];
  widen_f16(f16x2_of(a, b), x);
  a = x[0], b = x[1];
}

__device__ __forceinline__ void widen_bf16(uint2 v, float *x) { widen_bf16(v.x, x), widen_bf16(v.y, x + 2); }
__device__ __forceinline__ void widen_f16(uint2 v, float *x) { widen_f16(v.x, x), widen_f16(v.y, x + 2); }
__device__ __forceinline__ void narrow_bf16(const float *x, uint2 &v) { narrow_bf16(x, v.x), narrow_bf16(x + 2, v.y); }
__device__ __forceinline__ void narrow_f16(const float *x, uint2 &v) { narrow_f16(x, v.x), narrow_f16(x + 2, v.y); }

// Vectors of 1, 2 or 4 elements of float32.
__device__ __forceinline__ void widen_f32(float v, float *x) { x[0] = v; }
__device__ __forceinline__ void widen_f32(float2 v, float *x) { x[0] = v.x, x[1] = v.y; }
__device__ __forceinline__ void widen_f32(float4 v, float *x) { x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w; }

// One element at an address.
__device__ __forceinline__ float widen_one_bf16(const char *at) {
  return __uint_as_float(uint32_t{*reinterpret_cast<const uint16_t *>(at)} << 16);
}
__device__ __forceinline__ float widen_one_f16(const char *at) { return f32_of_f16(*reinterpret_cast<const uint16_t *>(at)); }
__device__ __forceinline__ float widen_one_f32(const char *at) { return *reinterpret_cast<const float *>(at); }

// What divides numbers before they become e4m3: 1 / scale as the sum of two numbers, and what is as large as e4m3 can hold and a bit
// more. The exact reciprocal of one number would branch, and loads wait behind a branch. The second number is not negative, so that
// a zero keeps its sign.
struct Scale {
  float reciprocal, rest, limit;
};

// The scale of a head; 1 without scales.
__device__ __forceinline__ Scale load_scale(const float *scales, uint32_t head, int64_t stride) {
  const float scale = scales == nullptr ? 1.0f : scales[head * stride];
  const float near = approximate_reciprocal(scale);
  const float nearest = fmaf(near, fmaf(-near, scale, 1.0f), near);
  const bool is_above = fmaf(-nearest, scale, 1.0f) < 0;
  const float reciprocal = __uint_as_float(__float_as_uint(nearest) - is_above);
  return {reciprocal, reciprocal * fmaf(-reciprocal, scale, 1.0f), fminf(512.0f * scale, FLT_MAX)};
}

// x / scale, rounded to nearest: 47 bits of the quotient are right before they are rounded. What is larger than e4m3 can hold
// saturates, and infinite numbers with it.
__device__ __forceinline__ float quotient(float x, Scale by) {
  const float within = magnitude_at_most(x, by.limit);
  return fmaf(within, by.reciprocal, within * by.rest);
}

// A vector of 1, 2 or 4 elements of e4m3 is a uint8_t, a uint16_t or a uint32_t.
__device__ __forceinline__ void narrow_e4m3(const float *x, Scale by, uint8_t &v) {
  v = static_cast<uint8_t>(e4m3x2_of(quotient(x[0], by), 0.0f));
}
__device__ __forceinline__ void narrow_e4m3(const float *x, Scale by, uint16_t &v) {
  v = e4m3x2_of(quotient(x[0], by), quotient(x[1], by));
}
__device__ __forceinline__ void narrow_e4m3(const float *x, Scale by, uint32_t &v) {
  uint16_t low, high;
  narrow_e4m3(x, by, low), narrow_e4m3(x + 2, by, high);
  v = low | uint32_t{high} << 16;
}

// Neighbouring elements as interleaved pairs (a, b): four are two pairs, two are one.

__device__ __forceinline__ void widen_pairs_bf16(uint2 v, float *a, float *b) {
  float x[4];
  widen_bf16(v, x);
  a[0] = x[0], b[0] = x[1], a[1] = x[2], b[1] = x[3];
}

__device__ __forceinline__ void widen_pairs_bf16(uint32_t v, float *a, float *b) {
  float x[2];
  widen_bf16(v, x);
  a[0] = x[0], b[0] = x[1];
}

__device__ __forceinline__ void widen_pairs_f16(uint2 v, float *a, float *b) {
  float x[4];
  widen_f16(v, x);
  a[0] = x[0], b[0] = x[1], a[1] = x[2], b[1] = x[3];
}

__device__ __forceinline__ void widen_pairs_f16(uint32_t v, float *a, float *b) {
  float x[2];
  widen_f16(v, x);
  a[0] = x[0], b[0] = x[1];
}

__device__ __forceinline__ void widen_pairs_f32(float4 v, float *a, float *b) { a[0] = v.x, b[0] = v.y, a[1] = v.z, b[1] = v.w; }
__device__ __forceinline__ void widen_pairs_f32(float2 v, float *a, float *b) { a[0] = v.x, b[0] = v.y; }

__device__ __forceinline__ void narrow_pairs_bf16(const float *a, const float *b, uint2 &v) {
  const float x[4] = {a[0], b[0], a[1], b[1]};
  narrow_bf16(x, v);
}

__device__ __forceinline__ void narrow_pairs_bf16(const float *a, const float *b, uint32_t &v) { v = bf16x2_of(a[0], b[0]); }

__device__ __forceinline__ void narrow_pairs_f16(const float *a, const float *b, uint2 &v) {
  const float x[4] = {a[0], b[0], a[1], b[1]};
  narrow_f16(x, v);
}

__device__ __forceinline__ void narrow_pairs_f16(const float *a, const float *b, uint32_t &v) { v = f16x2_of(a[0], b[0]); }

__device__ __forceinline__ void narrow_pairs_e4m3(const float *a, const float *b, Scale by, uint32_t &v) {
  const float x[4] = {a[0], b[0], a[1], b[1]};
  narrow_e4m3(x, by, v);
}

__device__ __forceinline__ void narrow_pairs_e4m3(const float *a, const float *b, Scale by, uint16_t &v) {
  const float x[2] = {a[0], b[0]};
  narrow_e4m3(x, by, v);
}

}  // namespace normrope
