// Radians for each step of position → turns, as 0.64 fixed point. Copied as it is into generated/common.
#pragma once

#include <cmath>
#include <cstdint>

namespace normrope {

// 1 / (2 pi) as a 256-bit fraction, the least significant word first.
constexpr uint64_t INVERSE_TWO_PI[4] = {0x7f9458eaf7aef158u, 0x36d8a5664f10e410u, 0x7f09d5f47d4d3770u,
                                        0x28be60db9391054au};

// round(frac(x / 2 pi) * 2^64), exact: the product of x's 53-bit integer and the fraction, and 64 bits cut out of it.
inline uint64_t turns_of(double x) {
  int exponent;
  const double fraction = std::frexp(x, &exponent);
  const auto integer = static_cast<uint64_t>(std::ldexp(fraction, 53));  // x = integer * 2^(exponent - 53)
  uint64_t product[6] = {};
  uint64_t carry = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned __int128 sum = static_cast<unsigned __int128>(integer) * INVERSE_TWO_PI[i] + carry;
    product[i] = static_cast<uint64_t>(sum);
    carry = static_cast<uint64_t>(sum >> 64);
  }
  product[4] = carry;
  // Bit `unit` of the product weighs 2^-64 turns.
  const int unit = 256 - (exponent - 53) - 64;
  if (unit > 320) return 0;
  const auto bit = [&](int n) { return (product[n / 64] >> (n % 64)) & 1; };
  uint64_t turns = product[unit / 64] >> (unit % 64);
  if (unit % 64 != 0 && unit / 64 < 5) turns |= product[unit / 64 + 1] << (64 - unit % 64);
  return turns + bit(unit - 1);
}

}  // namespace normrope
