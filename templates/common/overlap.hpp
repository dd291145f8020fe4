// Whether strided regions overlap. Copied as it is into generated/common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace normrope {

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

// The bytes of a side's heads, with positive strides: their start, and the extent of a head, of a token's heads, of a head's tokens,
// and of all.
struct Region {
  Region(const void *pointer, int64_t in_tokens, int64_t in_heads, int64_t tokens, int64_t heads, int64_t head)
      : token_stride(tokens > 1 ? std::abs(in_tokens) : 0),
        head_stride(heads > 1 ? std::abs(in_heads) : 0),
        head(head),
        heads_reach((heads - 1) * head_stride + head),
        tokens_reach((tokens - 1) * token_stride + head),
        reach(heads_reach + tokens_reach - head),
        first(static_cast<int64_t>(reinterpret_cast<intptr_t>(pointer))) {
    if (in_tokens < 0) first -= (tokens - 1) * token_stride;
    if (in_heads < 0) first -= (heads - 1) * head_stride;
  }
  int64_t token_stride, head_stride, head, heads_reach, tokens_reach, reach, first;
};

// Whether two parts that repeat with one stride, `distance` apart, are disjoint.
inline bool interleave(int64_t distance, int64_t stride, int64_t size, int64_t other_size) {
  if (stride == 0) return false;
  const int64_t offset = (distance % stride + stride) % stride;
  return offset >= size && offset + other_size <= stride;
}

// Whether two regions are known to be disjoint: as a whole, as parts of the same rows (a row for each token or each head), or
// as alternating heads in shared rows.
inline bool are_apart(const Region &a, const Region &b) {
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
  return (in_token_rows && interleave(distance, head_stride, a.head, b.head)) ||
         (in_head_rows && interleave(distance, a.token_stride, a.head, b.head));
}

// The bytes of a cache, with positive strides: heads along blocks, slots and heads of a token. The strides were checked.
struct CacheRegion {
  struct Dimension {
    int64_t stride, count;
  };

  CacheRegion(const void *pointer, Dimension blocks, Dimension slots, Dimension heads, int64_t head)
      : first(static_cast<int64_t>(reinterpret_cast<intptr_t>(pointer))), head(head), reach(head), dimensions{blocks, slots, heads} {
    for (Dimension &each : dimensions) {
      if (each.stride < 0) first += (each.count - 1) * each.stride;
      each.stride = std::abs(each.stride);
      reach += (each.count - 1) * each.stride;
    }
  }

  int64_t first, head, reach;
  Dimension dimensions[3];
};

// Whether no two heads of a cache share a byte: each stride reaches over all that the smaller ones span.
inline bool are_apart(CacheRegion cache) {
  const auto is_smaller = [](const auto &a, const auto &b) { return a.stride < b.stride; };
  std::sort(cache.dimensions, cache.dimensions + 3, is_smaller);
  int64_t span = cache.head;
  for (const auto &[stride, count] : cache.dimensions) {
    if (count == 1) continue;
    if (stride < span) return false;
    span += (count - 1) * stride;
  }
  return true;
}

// Whether two caches are known to be disjoint: as a whole, or as alternating heads of one memory. Then their strides are the same, and
// together nested as above: of each dimension only the differences next to what is left count, since the smaller strides span less than
// one of it.
inline bool are_apart(const CacheRegion &a, const CacheRegion &b) {
  struct Step {
    int64_t stride, least, most;  // differences of an index
    bool is_none() const { return least == 0 && most == 0; }
  };
  const int64_t distance = b.first - a.first;
  if (distance >= a.reach || -distance >= b.reach) return true;
  Step steps[3];
  for (int i = 0; i < 3; ++i) {
    const auto &one = a.dimensions[i], &other = b.dimensions[i];
    if (one.count > 1 && other.count > 1 && one.stride != other.stride) return false;
    steps[i] = {one.count > 1 ? one.stride : other.stride, 1 - one.count, other.count - 1};
  }
  std::sort(steps, steps + 3, [](const Step &x, const Step &y) { return x.stride < y.stride; });
  int64_t span = std::max(a.head, b.head);
  for (const Step &step : steps) {
    if (step.is_none()) continue;
    if (step.stride < span) return false;
    span += std::max(-step.least, step.most) * step.stride;
  }
  const auto meet = [&](const auto &self, int64_t left, int i) -> bool {
    if (i < 0) return left > -b.head && left < a.head;
    if (steps[i].is_none()) return self(self, left, i - 1);
    const auto &[stride, least, most] = steps[i];
    const int64_t near = -left / stride;
    for (int64_t step = std::max(least, near - 1); step <= std::min(most, near + 1); ++step) {
      if (self(self, left + step * stride, i - 1)) return true;
    }
    return false;
  };
  return !meet(meet, distance, 2);
}

}  // namespace normrope
