// The check of data, which the CPU target can read: positions, axes and slots that index other inputs, and scales. Copied as it is
// into generated/cpu.
#include <algorithm>

#include "simd.hpp"
#include "validate.hpp"

namespace normrope {
namespace {

// Positions are rows of cos_sin, if it is given with positions.
int check_positions(const KernelEntry &kernel, const normrope_args &args) {
  if (args.cos_sin == nullptr || args.positions == nullptr) return NORMROPE_OK;
  const int64_t rest = args.cos_sin_length - 2 * kernel.rotary_pairs;
  const bool is_known = args.cos_sin_length > 0 && args.cos_sin_row_stride > 0;
  const int64_t last = is_known ? rest / args.cos_sin_row_stride : INT64_MAX;
  for (int64_t axis = 0; axis < kernel.position_axes; ++axis) {
    for (int64_t token = 0; token < args.num_tokens; ++token) {
      const int64_t position = position_of(args, token, axis);
      if (position >= 0 && position <= last) continue;
      const Text value("%lld for token %lld", static_cast<long long>(position), static_cast<long long>(token));
      if (!is_known) return refuse(Text("positions"), value, Text("0 or more: it is a row of cos_sin"));
      return refuse(Text("positions"), value, Text("from 0 to %lld: it is a row of cos_sin", static_cast<long long>(last)));
    }
  }
  return NORMROPE_OK;
}

// Slots are in the cache of every side, if its length is known.
int check_slots(const normrope_args &args, const normrope_heads &heads, const char *side, int head_dim) {
  if (heads.num_heads == 0 || heads.cache == nullptr || heads.cache_length == 0) return NORMROPE_OK;
  const int64_t in_block = (heads.num_heads - 1) * heads.cache_head_stride + head_dim;
  for (int64_t token = 0; token < args.num_tokens; ++token) {
    const int64_t slot = slot_of(args, token);
    if (slot < 0) continue;
    int64_t before_block, end;
    const int64_t block = slot / args.block_size;
    // Blocks without a stride are one.
    const bool is_far = (heads.cache_block_stride == 0 && block > 0) ||
                        __builtin_mul_overflow(block, heads.cache_block_stride, &before_block) ||
                        __builtin_add_overflow(before_block, slot % args.block_size * heads.cache_slot_stride + in_block, &end);
    if (!is_far && end <= heads.cache_length) continue;
    return refuse(Text("slots"), Text("%lld for token %lld", static_cast<long long>(slot), static_cast<long long>(token)),
                  Text("in the %lld elements of %s.cache, or below 0", static_cast<long long>(heads.cache_length), side));
  }
  return NORMROPE_OK;
}

int check_scales(const char *side, const char *name, const float *scales, int64_t stride, int64_t num_heads) {
  if (scales == nullptr) return NORMROPE_OK;
  for (int64_t head = 0; head < (stride == 0 ? std::min<int64_t>(num_heads, 1) : num_heads); ++head) {
    const float scale = scales[head * stride];
    if (scale >= 0x1p-126f && scale <= 0x1p100f) continue;
    return refuse(Text("%s.%s", side, name), Text("%g for head %lld", scale, static_cast<long long>(head)), Text("from 2^-126 to 2^100"));
  }
  return NORMROPE_OK;
}

int check_axes(const KernelEntry &kernel, const normrope_args &args) {
  if (args.pair_axes == nullptr) return NORMROPE_OK;
  for (int pair = 0; pair < kernel.rotary_pairs; ++pair) {
    if (args.pair_axes[pair] < kernel.position_axes) continue;
    return refuse(Text("pair_axes"), Text("%d for pair %d", args.pair_axes[pair], pair),
                  Text("an axis from 0 to %d", kernel.position_axes - 1));
  }
  return NORMROPE_OK;
}

}  // namespace

int check_data(const KernelEntry &kernel, const normrope_args &args) {
  if (is_empty(args)) return NORMROPE_OK;
  if (int status = check_axes(kernel, args)) return status;
  if (int status = check_positions(kernel, args)) return status;
  for (int i = 0; i < SIDES; ++i) {
    const normrope_heads &heads = heads_of(args, i);
    const auto check = [&](const char *name, const float *scales, int64_t stride) {
      return check_scales(SIDE_NAMES[i], name, scales, stride, heads.num_heads);
    };
    if (int status = check("cache_scale", heads.cache_scale, heads.cache_scale_head_stride)) return status;
    if (int status = check("out_scale", heads.out_scale, heads.out_scale_head_stride)) return status;
    if (int status = check_slots(args, heads, SIDE_NAMES[i], kernel.head_dim)) return status;
  }
  return NORMROPE_OK;
}

}  // namespace normrope
