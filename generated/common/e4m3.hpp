// e4m3 (OCP FP8) by integer arithmetic, where no instruction converts to it. Copied as it is into generated/common.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define NORMROPE_BOTH __host__ __device__
#else
#define NORMROPE_BOTH
#endif

namespace normrope {

// Rounds to nearest even. What is too large becomes 448, and a NaN stays one.
NORMROPE_BOTH static inline uint32_t e4m3_of(float x) {
  uint32_t bits, sum;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t finite = magnitude < 0x43e00000u ? magnitude : 0x43e00000u;  // 448
  const uint32_t normal = (finite - 0x3c000000u + 0x7ffffu + (finite >> 20 & 1u)) >> 20;
  float shifted;
  std::memcpy(&shifted, &finite, sizeof shifted);
  shifted += 16384.0f;  // has the subnormals' unit, 2^-9
  std::memcpy(&sum, &shifted, sizeof sum);
  const uint32_t number = finite < 0x3c800000u ? sum - 0x46800000u : normal;
  return (magnitude > 0x7f800000u ? 0x7fu : number) | (bits >> 24 & 0x80u);
}

}  // namespace normrope
