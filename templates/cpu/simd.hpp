// Helpers of every CPU kernel: 16-bit elements and the rotation's angles. Plain loops without branches, which the compiler
// vectorises. Copied as it is into generated/cpu.
#pragma once

#include <cstdint>
#include <cstring>

#include "e4m3.hpp"
#include "normrope.h"

namespace normrope {

// Two neighbouring elements. g++ 13 makes no vector loads of a memcpy, so this is a type.
typedef uint32_t __attribute__((may_alias, aligned(2))) ElementPair;

static inline float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float widen_bf16(uint32_t element) { return float_of(element << 16); }

// Rounds to nearest even. A NaN stays one: NaNs from 16-bit data have no low bits that could carry.
static inline uint32_t narrow_bf16(float x) {
  const uint32_t bits = bits_of(x);
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

static inline float widen_f16(uint32_t element) {
  const uint32_t magnitude = (element & 0x7fffu) << 13;
  const uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);  // moves the exponent's bias, subnormals too
  const uint32_t bits = magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite;
  return float_of(bits | (element & 0x8000u) << 16);
}

// Rounds to nearest even. Numbers that are too large become infinite, and a NaN stays one.
static inline uint32_t narrow_f16(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;  // 0.5 has the subnormals' unit
  uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  return half | (bits >> 16 & 0x8000u);
}

// <cmath> and <algorithm> have these too, but take longer to parse than a kernel takes to compile.
static inline float square_root(float x) { return __builtin_sqrtf(x); }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Prefetches elements. An address outside the data does nothing.
static inline void prefetch(const uint16_t *elements, int count) {
  constexpr int LINE_ELEMENTS = 32;
  for (int i = 0; i < count; i += LINE_ELEMENTS) __builtin_prefetch(elements + i);
}

// A NaN of float32 gets the bits of one from 16-bit data: low bits would carry where it is rounded, and it would be 0.
static inline float widen_f32(float x) { return x == x ? x : float_of(0x7fc00000u); }

// Float32, rounded to a 16-bit number.
static inline float rounded_bf16(float x) { return widen_bf16(narrow_bf16(x)); }
static inline float rounded_f16(float x) { return widen_f16(narrow_f16(x)); }

static inline int64_t position_of(const normrope_args &args, int64_t token, int64_t axis = 0) {
  const int64_t at = axis * args.position_axis_stride + token;
  return args.position_bits == 64 ? static_cast<const int64_t *>(args.positions)[at]
                                  : static_cast<const int32_t *>(args.positions)[at];
}

static inline int64_t slot_of(const normrope_args &args, int64_t token) {
  return args.slot_bits == 64 ? static_cast<const int64_t *>(args.slots)[token] : static_cast<const int32_t *>(args.slots)[token];
}

// The first element of a head at a slot of a side's cache.
static inline int64_t in_cache(const normrope_args &args, const normrope_heads &heads, int64_t slot, int64_t head) {
  return slot / args.block_size * heads.cache_block_stride + slot % args.block_size * heads.cache_slot_stride +
         head * heads.cache_head_stride;
}

static inline float scale_of(const float *scales, int64_t at) { return scales == nullptr ? 1.0f : scales[at]; }

// Cosine and sine of position * turns * 2 pi, times the factor. The 64-bit product wraps at whole turns by itself.
// Its upper half is split into the nearest quarter turn and a rest of at most an eighth of a turn, for which the
// Taylor series to x^9 and x^10 are exact to 1e-9, less than float32 resolves.
template <class PositionOf>
static inline void angles(const uint64_t *turns, PositionOf position_of_pair, float factor, int pairs, float *cosine,
                          float *sine) {
#pragma omp simd
  for (int i = 0; i < pairs; ++i) {
    const auto angle = static_cast<uint32_t>((turns[i] * static_cast<uint64_t>(position_of_pair(i))) >> 32);
    const uint32_t quarter = (angle + 0x20000000u) >> 30;
    const float x = static_cast<float>(static_cast<int32_t>(angle - (quarter << 30))) * 1.46291807926715968e-9f;
    const float x2 = x * x;
    const float s = x * (1 + x2 * (-1.0f / 6 + x2 * (1.0f / 120 + x2 * (-1.0f / 5040 + x2 * (1.0f / 362880)))));
    const float c = 1 + x2 * (-0.5f + x2 * (1.0f / 24 + x2 * (-1.0f / 720 + x2 * (1.0f / 40320 + x2 * (-1.0f / 3628800)))));
    const float magnitude_of_sine = quarter & 1u ? c : s;
    const float magnitude_of_cosine = quarter & 1u ? s : c;
    sine[i] = factor * (quarter & 2u ? -magnitude_of_sine : magnitude_of_sine);
    cosine[i] = factor * ((quarter + 1) & 2u ? -magnitude_of_cosine : magnitude_of_cosine);
  }
}

}  // namespace normrope
