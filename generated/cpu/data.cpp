// The check of data, which the CPU target can read: positions and axes that index other inputs. Copied as it is into generated/cpu.
#include "validate.hpp"

namespace normrope {
namespace {

int64_t position_of(const normrope_args &args, int64_t axis, int64_t token) {
  const int64_t at = axis * args.position_axis_stride + token;
  return args.position_bits == 64 ? static_cast<const int64_t *>(args.positions)[at]
                                  : static_cast<const int32_t *>(args.positions)[at];
}

// Positions are rows of cos_sin, if it is given with positions.
int check_positions(const KernelEntry &kernel, const normrope_args &args) {
  if (args.cos_sin == nullptr || args.positions == nullptr) return NORMROPE_OK;
  const int64_t rest = args.cos_sin_length - 2 * kernel.rotary_pairs;
  const bool is_known = args.cos_sin_length > 0 && args.cos_sin_row_stride > 0;
  const int64_t last = is_known ? rest / args.cos_sin_row_stride : INT64_MAX;
  for (int64_t axis = 0; axis < kernel.position_axes; ++axis) {
    for (int64_t token = 0; token < args.num_tokens; ++token) {
      const int64_t position = position_of(args, axis, token);
      if (position >= 0 && position <= last) continue;
      const Text value("%lld for token %lld", static_cast<long long>(position), static_cast<long long>(token));
      if (!is_known) return refuse(Text("positions"), value, Text("0 or more: it is a row of cos_sin"));
      return refuse(Text("positions"), value, Text("from 0 to %lld: it is a row of cos_sin", static_cast<long long>(last)));
    }
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
  return check_positions(kernel, args);
}

}  // namespace normrope
