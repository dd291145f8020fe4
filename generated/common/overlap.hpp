// Whether strided regions overlap. Copied as it is into generated/common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace normrope {

constexpr int64_t ELEMENT_BYTES = 2;

// Whether no two heads of a side share an element. Either the heads of a token are adjacent or the tokens of a head are.
// The strides were checked, so products fit an int64.
inline bool are_apart(int64_t token_stride, int64_t head_stride, int64_t num_tokens, int64_t num_heads, int64_t head_dim) {
  // A stride over one token or head is never used, and may be anything.
  const int64_t token = num_tokens > 1 ? std::abs(token_stride) : 0, head = num_heads > 1 ? std::abs(head_stride) : 0;
  if (num_tokens == 1) return num_heads == 1 || head >= head_dim;
  if (num_heads == 1) return token >= head_dim;
  if (token < head_dim || head < head_dim) return false;
  return token >= (num_heads - 1) * head + head_dim || head >= (num_tokens - 1) * token + head_dim;
}

// The elements of a side's heads, with positive strides: their start, and the extent of a token's heads, of a head's tokens,
// and of all.
struct Region {
  Region(const void *pointer, int64_t in_tokens, int64_t in_heads, int64_t tokens, int64_t heads, int64_t head_dim)
      : token_stride(tokens > 1 ? std::abs(in_tokens) : 0),
        head_stride(heads > 1 ? std::abs(in_heads) : 0),
        heads_reach((heads - 1) * head_stride + head_dim),
        tokens_reach((tokens - 1) * token_stride + head_dim),
        reach(heads_reach + tokens_reach - head_dim),
        first(static_cast<int64_t>(reinterpret_cast<intptr_t>(pointer)) / ELEMENT_BYTES) {
    if (in_tokens < 0) first -= (tokens - 1) * token_stride;
    if (in_heads < 0) first -= (heads - 1) * head_stride;
  }
  int64_t token_stride, head_stride, heads_reach, tokens_reach, reach, first;
};

// Whether two parts that repeat with one stride, `distance` apart, are disjoint.
inline bool interleave(int64_t distance, int64_t stride, int64_t size, int64_t other_size) {
  if (stride == 0) return false;
  const int64_t offset = (distance % stride + stride) % stride;
  return offset >= size && offset + other_size <= stride;
}

// Whether two regions are known to be disjoint: as a whole, as parts of the same rows (a row for each token or each head), or
// as alternating heads in shared rows.
inline bool are_apart(const Region &a, const Region &b, int64_t head_dim) {
  const int64_t distance = b.first - a.first;
  if (distance >= a.reach || -distance >= b.reach) return true;
  const bool same_tokens = a.token_stride == b.token_stride;
  const bool same_heads = a.head_stride == b.head_stride || a.head_stride == 0 || b.head_stride == 0;
  const int64_t head_stride = std::max(a.head_stride, b.head_stride);
  if (same_tokens && interleave(distance, a.token_stride, a.heads_reach, b.heads_reach)) return true;
  if (same_heads && interleave(distance, head_stride, a.tokens_reach, b.tokens_reach)) return true;
  if (!same_tokens || !same_heads) return false;
  const auto joint = [&](int64_t a_reach, int64_t b_reach) {
    return std::max(a_reach, distance + b_reach) - std::min<int64_t>(0, distance);
  };
  const bool in_token_rows = a.token_stride == 0 || joint(a.heads_reach, b.heads_reach) <= a.token_stride;
  const bool in_head_rows = head_stride == 0 || joint(a.tokens_reach, b.tokens_reach) <= head_stride;
  return (in_token_rows && interleave(distance, head_stride, head_dim, head_dim)) ||
         (in_head_rows && interleave(distance, a.token_stride, head_dim, head_dim));
}

}  // namespace normrope
