// qk_norm_rope__bf16_d128_r128_interleaved
//
// Norm and RoPE of every q and k head of a batch of tokens: head_dim 128, rotary_dim 128, interleaved, bf16.
// Emitted from dsl/qk_norm_rope.op.ts and templates/cuda/kernel.cu.hbs by `normrope emit`: change those, not this file.
#include "device.cuh"

namespace {

constexpr int HEAD_DIM = 128;
constexpr int LANES_PER_HEAD = 16;
constexpr int VECTOR_ELEMENTS = 4;
constexpr int PAIRS_PER_LANE = 4;
constexpr int HEADS_PER_WARP = 2;
constexpr int BLOCK_THREADS = 128;

using Vector = uint2;  // VECTOR_ELEMENTS x bf16

// Slot j of a head is a vector of two pairs in either half of the head.
__device__ __forceinline__ int first_vector(int j) { return 4 * j; }
__device__ __forceinline__ int second_vector(int j) { return 64 + 4 * j; }
__device__ __forceinline__ int pair_of(int j, int i) { return (i < 2 ? first_vector(j) : second_vector(j) - 4) / 2 + i; }

}  // namespace

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS)
    qk_norm_rope__bf16_d128_r128_interleaved(const __grid_constant__ normrope::Params params) {
  using namespace normrope;

  // Which heads of which token: the same in all lanes of a warp, and q or k in all warps of a block.
  const bool is_k = blockIdx.x >= params.q_blocks;
  const Heads &heads = params.heads[is_k];
  const uint32_t block = is_k ? blockIdx.x - params.q_blocks : blockIdx.x;
  const uint32_t warp = block * (BLOCK_THREADS / 32) + threadIdx.x / 32;
  if (warp >= heads.num_spans) return;
  const Span span = nth_span(heads, warp, params.heads_per_span);
  const int lane = threadIdx.x % 32;
  const int slot = lane % LANES_PER_HEAD;
  int head = span.first_head + lane / LANES_PER_HEAD;

  // The table and the weights do not depend on the kernel before this one. Every load is issued before the first use,
  // and none is skipped: a lane without a head, or without a slot, loads a neighbour's, so that no branch is between.
  allow_next_kernel(params.is_dependent);
  uint64_t turns[PAIRS_PER_LANE];
  Vector first_weight, second_weight;
  const uint16_t *const weight = heads.weight + min(head, span.end_head - 1) * heads.weight_head_stride;
  #pragma unroll
  for (int i = 0; i < VECTOR_ELEMENTS; ++i) {
    turns[i] = params.rope_table[pair_of(slot, i)];
  }
  first_weight = *reinterpret_cast<const Vector *>(weight + first_vector(slot));
  second_weight = *reinterpret_cast<const Vector *>(weight + second_vector(slot));

  wait_for_previous_kernel(params.is_dependent);
  const uint16_t *const token_in = heads.in + span.token * heads.in_token_stride;
  uint16_t *const token_out = heads.out + span.token * heads.out_token_stride;
  Vector first, second;
  const auto load_head = [&] {
    const uint16_t *const in = token_in + min(head, span.end_head - 1) * heads.in_head_stride;
    first = *reinterpret_cast<const Vector *>(in + first_vector(slot));
    second = *reinterpret_cast<const Vector *>(in + second_vector(slot));
  };
  load_head();
  const int64_t position = load_position(params.positions, params.position_bits, span.token);

  float weight_a[PAIRS_PER_LANE], weight_b[PAIRS_PER_LANE];
  float sine[PAIRS_PER_LANE], cosine[PAIRS_PER_LANE];
  widen_pairs_bf16(first_weight, weight_a, weight_b);
  widen_pairs_bf16(second_weight, weight_a + 2, weight_b + 2);
  #pragma unroll
  for (int i = 0; i < VECTOR_ELEMENTS; ++i) {
    sincos_of_turns(turns[i], position, sine[i], cosine[i]);
    sine[i] *= params.attention_factor, cosine[i] *= params.attention_factor;
  }

  int left = span.end_head - span.first_head;
  do {
    // Pair i of the lane is (a[i], b[i]).
    float a[PAIRS_PER_LANE], b[PAIRS_PER_LANE];
    widen_pairs_bf16(first, a, b);
    widen_pairs_bf16(second, a + 2, b + 2);

    // y = x * rsqrt(mean(x^2) + eps) * weight
    float sum = 0.0f;
    #pragma unroll
    for (int i = 0; i < PAIRS_PER_LANE; ++i) sum += a[i] * a[i] + b[i] * b[i];
    sum = sum_over_lanes(sum, LANES_PER_HEAD);
    const float scale = reciprocal_sqrt(sum * (1.0f / HEAD_DIM) + params.eps);
    #pragma unroll
    for (int i = 0; i < PAIRS_PER_LANE; ++i) {
      a[i] *= scale * weight_a[i];
      b[i] *= scale * weight_b[i];
    }

    // (a, b) -> (a cos - b sin, b cos + a sin); the attention factor is in both
    #pragma unroll
    for (int i = 0; i < PAIRS_PER_LANE; ++i) {
      const float rotated_a = a[i] * cosine[i] - b[i] * sine[i];
      b[i] = b[i] * cosine[i] + a[i] * sine[i];
      a[i] = rotated_a;
    }

    if (head < span.end_head) {
      uint16_t *const out = token_out + head * heads.out_head_stride;
      Vector first_out, second_out;
      narrow_pairs_bf16(a, b, first_out);
      narrow_pairs_bf16(a + 2, b + 2, second_out);
      *reinterpret_cast<Vector *>(out + first_vector(slot)) = first_out;
      *reinterpret_cast<Vector *>(out + second_vector(slot)) = second_out;
    }
    left -= HEADS_PER_WARP;
    head += HEADS_PER_WARP;
    if (left > 0) load_head();
  } while (left > 0);
}
