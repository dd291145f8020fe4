// qk_norm_rope__bf16_d64_r64_neox
//
// q and k: rotate(norm(x)), for every token of a batch, at headDim 64, neox, bf16.
// Emitted from dsl/qk_norm_rope.op.ts and templates/cpu/kernel.cpp.hbs by `normrope emit`: change those, not this file.
#include "simd.hpp"

namespace {

using namespace normrope;

constexpr int HEAD_DIM = 64;
constexpr int ROTARY_PAIRS = 32;
constexpr int PAIRS = HEAD_DIM / 2;
constexpr int BLOCK_HEADS = 8;

// Pair i is elements i and i + ROTARY_PAIRS. After the rotated pairs, a pair is one element of each half of the rest.
constexpr int FIRST_ROTATED = 0, FIRST_REST = ROTARY_PAIRS, SECOND_REST = PAIRS;
inline void load_pairs(const uint16_t *from, float *a, float *b) {
#pragma omp simd
  for (int i = 0; i < ROTARY_PAIRS; ++i) {
    a[i] = widen_bf16(from[i + FIRST_ROTATED]);
    b[i] = widen_bf16(from[i + FIRST_ROTATED + ROTARY_PAIRS]);
  }
#pragma omp simd
  for (int i = ROTARY_PAIRS; i < PAIRS; ++i) {
    a[i] = widen_bf16(from[i + FIRST_REST]);
    b[i] = widen_bf16(from[i + SECOND_REST]);
  }
}

[[maybe_unused]] inline void store_pairs(const float *a, const float *b, uint16_t *to) {
#pragma omp simd
  for (int i = 0; i < ROTARY_PAIRS; ++i) {
    to[i + FIRST_ROTATED] = narrow_bf16(a[i]);
    to[i + FIRST_ROTATED + ROTARY_PAIRS] = narrow_bf16(b[i]);
  }
#pragma omp simd
  for (int i = ROTARY_PAIRS; i < PAIRS; ++i) {
    to[i + FIRST_REST] = narrow_bf16(a[i]);
    to[i + SECOND_REST] = narrow_bf16(b[i]);
  }
}

}  // namespace

// Works on tokens [first_token, end_token). Dispatch distributes ranges over threads.
extern "C" void qk_norm_rope__bf16_d64_r64_neox(const normrope_args &args, int64_t first_token, int64_t end_token) {
  for (int64_t token = first_token; token < end_token; ++token) {
    float cosine[ROTARY_PAIRS], sine[ROTARY_PAIRS];
    const int64_t position = position_of(args, token);
    angles(args.rope_table, [&](int) { return position; }, args.attention_factor, ROTARY_PAIRS, cosine, sine);
    // q and k: rotate(norm(x))
    // Works on blocks of heads. It first measures every head of a block, so that no head waits for the square root of the one
    // before.
    const auto run_q_and_k = [&](const normrope_heads &heads) {
      if (heads.num_heads == 0) return;
      const auto *const in = static_cast<const uint16_t *>(heads.in) + token * heads.in_token_stride;
      auto *const out = static_cast<uint16_t *>(heads.out) + token * heads.out_token_stride;
      float weight_a[PAIRS], weight_b[PAIRS];
      float a[PAIRS], b[PAIRS];
      for (int64_t first = 0; first < heads.num_heads; first += BLOCK_HEADS) {
        const int64_t end = least(first + BLOCK_HEADS, heads.num_heads);
        float measured[1][BLOCK_HEADS];
        for (int64_t head = first; head < end; ++head) {
          prefetch(in + (head + BLOCK_HEADS) * heads.in_head_stride, HEAD_DIM);
          load_pairs(in + head * heads.in_head_stride, a, b);
          {
            float sum = 0.0f;
            #pragma omp simd reduction(+ : sum)
            for (int i = 0; i < PAIRS; ++i) sum += a[i] * a[i] + b[i] * b[i];
            measured[0][head - first] = 1.0f / square_root(sum / HEAD_DIM + args.eps);
          }
        }
        for (int64_t head = first; head < end; ++head) {
          if (head == 0 || heads.weight_head_stride != 0) {
            load_pairs(static_cast<const uint16_t *>(heads.weight) + head * heads.weight_head_stride, weight_a, weight_b);
          }
          load_pairs(in + head * heads.in_head_stride, a, b);

          {
            // times rsqrt(mean of squares + eps) and the weight
            const float scale = measured[0][head - first];
            #pragma omp simd
            for (int i = 0; i < PAIRS; ++i) {
              a[i] *= scale * weight_a[i];
              b[i] *= scale * weight_b[i];
            }
          }

          {
            // (a, b) -> (a cos - b sin, b cos + a sin); the attention factor is in both
            #pragma omp simd
            for (int i = 0; i < ROTARY_PAIRS; ++i) {
              const float rotated_a = a[i] * cosine[i] - b[i] * sine[i];
              b[i] = b[i] * cosine[i] + a[i] * sine[i];
              a[i] = rotated_a;
            }
          }

          store_pairs(a, b, out + head * heads.out_head_stride);
        }
      }
    };
    run_q_and_k(args.q);
    run_q_and_k(args.k);
  }
}
