// The yardsticks of the CPU target. They use threads as its kernels do.
#include "yardstick.h"

#include <cstring>

#include "threads.hpp"

namespace {

// The elements of one head: `empty` hands out heads.
constexpr int64_t HEAD_ELEMENTS = 128;

struct alignas(16) Vector {
  uint32_t words[4];
};

}  // namespace

const char *normrope_yardstick_error() { return ""; }

int normrope_yardstick_floor(void *data, int64_t row_vectors, int64_t row_stride, int64_t rows, int, void *) {
  struct Rows {
    Vector *first;
    int64_t vectors, stride;
  };
  const Rows all = {static_cast<Vector *>(data), row_vectors, row_stride};
  const auto run = [](const void *context, int64_t first, int64_t end) {
    const Rows all = *static_cast<const Rows *>(context);
    for (int64_t row = first; row < end; ++row) {
      Vector *const vectors = all.first + row * all.stride;
      for (int64_t i = 0; i < all.vectors; ++i) {
        for (uint32_t &word : vectors[i].words) word ^= 0x80008000u;  // all four, or the loop loads single words
      }
    }
  };
  normrope::for_ranges(rows, row_vectors * int64_t{sizeof(Vector) / 2}, run, &all);
  return 0;
}

int normrope_yardstick_store_floor(void *data, int64_t row_stride, int64_t rows, const normrope_yardstick_part *parts, const int32_t *slots,
                                   int64_t, int, int, void *) {
  struct Rows {
    Vector *first;
    int64_t stride;
    const normrope_yardstick_part *parts;
    const int32_t *slots;
  };
  const Rows all = {static_cast<Vector *>(data), row_stride, parts, slots};
  const auto run = [](const void *context, int64_t first, int64_t end) {
    const Rows all = *static_cast<const Rows *>(context);
    for (int64_t row = first; row < end; ++row) {
      for (const normrope_yardstick_part *part = all.parts; part < all.parts + 3; ++part) {
        Vector *const from = all.first + row * all.stride + part->first;
        char *const to = static_cast<char *>(part->to) + (part->by_slot ? all.slots[row] : row) * part->to_stride;
        for (int64_t i = 0; i < part->vectors; ++i) {
          Vector vector = from[i];
          for (uint32_t &word : vector.words) word ^= 0x80008000u;
          if (part->to == nullptr) from[i] = vector;
          else std::memcpy(to + i * part->stored_bytes, &vector, part->stored_bytes);
        }
      }
    }
  };
  int64_t vectors = 0;
  for (int i = 0; i < 3; ++i) vectors += parts[i].vectors;
  normrope::for_ranges(rows, vectors * int64_t{sizeof(Vector) / 2}, run, &all);
  return 0;
}

int normrope_yardstick_empty(int64_t heads, int, void *) {
  normrope::for_ranges(heads, HEAD_ELEMENTS, [](const void *, int64_t, int64_t) {}, nullptr);
  return 0;
}
