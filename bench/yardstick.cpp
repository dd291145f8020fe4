// The yardsticks of the CPU target: over as many threads as its kernels take, given out in the same way.
#include "yardstick.h"

#include "threads.hpp"

namespace {

// Of the heads that `empty` gives out.
constexpr int64_t HEAD_ELEMENTS = 128;

struct alignas(16) Vector {
  uint32_t words[4];
};

}  // namespace

const char *normrope_yardstick_error() { return ""; }

int normrope_yardstick_floor(void *data, int64_t row_vectors, int64_t row_stride, int64_t rows, int, void *) {
  const int64_t row_elements = row_vectors * int64_t{sizeof(Vector) / 2};
  normrope::for_ranges(rows, row_elements, [=](int64_t first, int64_t end) {
    for (int64_t row = first; row < end; ++row) {
      Vector *const vectors = static_cast<Vector *>(data) + row * row_stride;
      for (int64_t i = 0; i < row_vectors; ++i) {
        for (uint32_t &word : vectors[i].words) word ^= 0x80008000u;  // all four, or the loop loads single words
      }
    }
  });
  return 0;
}

int normrope_yardstick_empty(int64_t heads, int, void *) {
  volatile int64_t started = 0;
  normrope::for_ranges(heads, HEAD_ELEMENTS, [&](int64_t, int64_t) { static_cast<void>(started); });
  return 0;
}
