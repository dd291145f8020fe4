// Checks that what a call writes lies apart from all else that it reads or writes. Copied as it is into generated/common.
#pragma once

#include "overlap.hpp"
#include "scope.hpp"

namespace normrope {

// The bytes of an element of a side's input, by its bit.
inline int64_t bytes_of(const Scope &side, int bit) { return element_bytes(side.kernel, side.inputs, bit); }

inline Region input_of(const Scope &side) {
  const normrope_heads &heads = *side.heads;
  const int64_t bytes = bytes_of(side, IN_BIT);
  return {heads.in, heads.in_token_stride * bytes, heads.in_head_stride * bytes,
          side.args.num_tokens, heads.num_heads, side.kernel.head_dim * bytes};
}

inline Region output_of(const Scope &side) {
  const normrope_heads &heads = *side.heads;
  const int64_t bytes = bytes_of(side, OUT_BIT);
  return {heads.out, heads.out_token_stride * bytes, heads.out_head_stride * bytes,
          side.args.num_tokens, heads.num_heads, side.kernel.head_dim * bytes};
}

inline CacheRegion cache_of(const Scope &side) {
  const normrope_heads &heads = *side.heads;
  const int64_t bytes = bytes_of(side, CACHE_BIT);
  const auto along = [bytes](int64_t stride, int64_t count) -> CacheRegion::Dimension {
    return {count > 1 ? stride * bytes : 0, count};  // over a single one a stride is never used, and may be anything
  };
  return {heads.cache,
          along(heads.cache_block_stride, blocks_of(side.args, heads, side.kernel)),
          along(heads.cache_slot_stride, side.args.block_size),
          along(heads.cache_head_stride, heads.num_heads),
          side.kernel.head_dim * bytes};
}

inline bool has_heads(const Scope &side) { return side.heads->num_heads > 0; }
inline bool has_output(const Scope &side) { return has_heads(side) && side.heads->out != nullptr; }
inline bool has_cache(const Scope &side) { return has_heads(side) && side.heads->cache != nullptr; }

constexpr char APART[] = "apart from what else is read or written";

// Written heads must not overlap other heads. In place, a side's input is its output.
inline int check_apart(const Scope (&sides)[SIDES]) {
  const auto refused = [&](int i, int over, const char *field) {
    return refuse(sides[i].name("out"), Text("over the %s of %s", field, SIDE_NAMES[over]), Text(APART));
  };
  for (int i = 0; i < SIDES; ++i) {
    if (!has_output(sides[i])) continue;
    const Region out = output_of(sides[i]);
    for (int j = 0; j < SIDES; ++j) {
      if (!has_heads(sides[j])) continue;
      const bool in_place = sides[j].heads->in == sides[j].heads->out;
      if (!(i == j && in_place) && !are_apart(out, input_of(sides[j]))) return refused(i, j, "input");
      if (i < j && !in_place && has_output(sides[j]) && !are_apart(out, output_of(sides[j]))) return refused(j, i, "output");
    }
  }
  return NORMROPE_OK;
}

// Caches must not overlap each other, nor heads. Without lengths only the first two blocks are known.
inline int check_caches(const Scope (&sides)[SIDES]) {
  for (int i = 0; i < SIDES; ++i) {
    if (!has_cache(sides[i])) continue;
    const CacheRegion cache = cache_of(sides[i]);
    const auto refused = [&](int over, const char *what) {
      return refuse(sides[i].name("cache"), Text("over the %s of %s", what, SIDE_NAMES[over]), Text(APART));
    };
    const auto lies_over = [&](const Region &heads) {
      return cache.first < heads.first + heads.reach && heads.first < cache.first + cache.reach;
    };
    for (int j = 0; j < SIDES; ++j) {
      if (!has_heads(sides[j])) continue;
      if (lies_over(input_of(sides[j]))) return refused(j, "input");
      if (has_output(sides[j]) && lies_over(output_of(sides[j]))) return refused(j, "output");
      if (j < i && has_cache(sides[j]) && !are_apart(cache_of(sides[j]), cache)) return refused(j, "cache");
    }
  }
  return NORMROPE_OK;
}

// A tensor that is only read must not overlap what is written. It may lie in a gap of rows of heads.
inline int check_read(const Scope &scope, const Input &input, const Scope (&sides)[SIDES]) {
  if (!scope.takes(input)) return NORMROPE_OK;
  const Size first_size = input.strided[0].size;
  if (first_size == Size::num_tokens || first_size == Size::blocks) return NORMROPE_OK;  // check_apart and check_caches check them
  int64_t first = 0, last = scope.size(input.contiguous) - 1;  // element offsets from its address
  for (const Strided &dimension : input.strided) {
    const int64_t count = scope.size(dimension.size);
    if (count == 1) continue;
    const int64_t reach = (count - 1) * scope.read<int64_t>(dimension.stride_offset);
    (reach < 0 ? first : last) += reach;
  }
  const int64_t bytes = element_bytes(scope, input);
  const auto *const address = scope.read<const char *>(input.offset);
  const Region read(address + first * bytes, 0, 0, 1, 1, (last - first + 1) * bytes);
  const auto refused = [&](const char *what, const Scope &side) {
    return refuse(scope.name(input.name), Text("over the %s of %s", what, side.side), Text("apart from what is written"));
  };
  for (const Scope &side : sides) {
    if (has_cache(side)) {
      const CacheRegion cache = cache_of(side);
      if (cache.first < read.first + read.reach && read.first < cache.first + cache.reach) return refused("cache", side);
    }
    if (!has_output(side)) continue;
    const Region out = output_of(side);
    const int64_t distance = read.first - out.first;
    if (distance >= out.reach || -distance >= read.reach) continue;
    if (interleave(distance, out.token_stride, out.heads_reach, read.reach)) continue;
    if (interleave(distance, out.head_stride, out.tokens_reach, read.reach)) continue;
    return refused("output", side);
  }
  return NORMROPE_OK;
}

}  // namespace normrope
