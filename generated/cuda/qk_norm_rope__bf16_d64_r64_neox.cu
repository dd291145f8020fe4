// qk_norm_rope__bf16_d64_r64_neox
//
// Norm and RoPE of every q and k head of a batch of tokens: head_dim 64, rotary_dim 64, neox, bf16.
// Emitted from dsl/qk_norm_rope.op.ts and templates/cuda/kernel.cu.hbs by `normrope emit`: change those, not this file.
#include "device.cuh"

namespace {

constexpr uint32_t HEAD_DIM = 64;
constexpr uint32_t LANES_PER_HEAD = 8;
constexpr uint32_t VECTOR_ELEMENTS = 4;
constexpr uint32_t PAIRS_PER_LANE = 4;
constexpr uint32_t HEADS_PER_WARP = 4;
constexpr uint32_t BLOCK_THREADS = 128;

using Vector = uint2;  // VECTOR_ELEMENTS x bf16

// Slot j of a head is two vectors; element i of the first rotates with element i of the second, as pair 4 j + i.
__device__ __forceinline__ uint32_t first_vector(uint32_t j) { return 4 * j; }
__device__ __forceinline__ uint32_t second_vector(uint32_t j) { return 32 + 4 * j; }
__device__ __forceinline__ uint32_t pair_of(uint32_t j, uint32_t i) { return 4 * j + i; }

// From element `at` on of a head.
__device__ __forceinline__ Vector load_vector(const char *head, uint32_t at) {
  return *reinterpret_cast<const Vector *>(head + 2 * at);
}
__device__ __forceinline__ void store_vector(char *head, uint32_t at, Vector v) {
  *reinterpret_cast<Vector *>(head + 2 * at) = v;
}

// With programmatic dependent launch or without: `is_dependent` is known at compile time.
__device__ __forceinline__ void norm_and_rotate(const normrope::Params &params, bool is_dependent) {
  using namespace normrope;

  // Which heads of which token: the same in all lanes of a warp, and q or k in all warps of a block.
  const uint32_t first_of_k = params.heads[0].blocks_per_slice;
  const bool is_k = blockIdx.x >= first_of_k;
  const Heads &heads = params.heads[is_k];
  const uint32_t block = blockIdx.y * heads.blocks_per_slice + blockIdx.x - (is_k ? first_of_k : 0);
  const uint32_t warp = block * (BLOCK_THREADS / 32) + threadIdx.x / 32;
  if (warp >= heads.num_spans) return;
  const uint32_t token = divide(warp, heads.by_spans_per_token);
  const uint32_t first_head = (warp - token * heads.spans_per_token) * params.heads_per_span;
  const uint32_t end_head = min(first_head + params.heads_per_span, heads.num_heads);
  const uint32_t lane = threadIdx.x % 32;
  const uint32_t slot = lane % LANES_PER_HEAD;
  uint32_t head = first_head + lane / LANES_PER_HEAD;

  // The table and the weights do not depend on the kernel before this one. Every load is issued before the first use,
  // and none is skipped: a lane without a head, or without a slot, loads a neighbour's, so that no branch is between.
  if (is_dependent) allow_next_kernel();
  uint64_t turns[PAIRS_PER_LANE];
  Vector first_weight, second_weight;
  const char *const weight = nth(heads.weight, min(head, end_head - 1), heads.weight_head_stride);
  #pragma unroll
  for (int i = 0; i < VECTOR_ELEMENTS; i += 2) {
    load_two_turns(params.rope_table + pair_of(slot, i), turns + i);
  }
  first_weight = load_vector(weight, first_vector(slot));
  second_weight = load_vector(weight, second_vector(slot));

  if (is_dependent) wait_for_previous_kernel();
  const char *const token_in = nth(heads.in, token, heads.in_token_stride);
  char *const token_out = nth(heads.out, token, heads.out_token_stride);
  Vector first, second;
  char *out;  // made with the loads, so that the stores need not wait for it
  const auto load_head = [&] {
    const char *const in = nth(token_in, min(head, end_head - 1), heads.in_head_stride);
    out = nth(token_out, min(head, end_head - 1), heads.out_head_stride);
    first = load_vector(in, first_vector(slot));
    second = load_vector(in, second_vector(slot));
  };
  load_head();
  const Position position = load_position(params, token);

  float weight_a[PAIRS_PER_LANE], weight_b[PAIRS_PER_LANE];
  float sine[PAIRS_PER_LANE], cosine[PAIRS_PER_LANE];
  widen_bf16(first_weight, weight_a);
  widen_bf16(second_weight, weight_b);
  #pragma unroll
  for (int i = 0; i < VECTOR_ELEMENTS; ++i) {
    sincos_of_turns(turns[i], position, sine[i], cosine[i]);
    sine[i] *= params.attention_factor, cosine[i] *= params.attention_factor;
  }

  for (;;) {
    // Pair i of the lane is (a[i], b[i]).
    float a[PAIRS_PER_LANE], b[PAIRS_PER_LANE];
    widen_bf16(first, a);
    widen_bf16(second, b);

    // y = x * rsqrt(mean(x^2) + eps) * weight
    float sum = params.eps * (1.0f * HEAD_DIM / LANES_PER_HEAD);  // each lane's part of the eps, which so costs nothing later
    #pragma unroll
    for (int i = 0; i < PAIRS_PER_LANE; ++i) sum = fmaf(a[i], a[i], fmaf(b[i], b[i], sum));
    #pragma unroll
    for (int i = 0; i < PAIRS_PER_LANE; ++i) a[i] *= weight_a[i], b[i] *= weight_b[i];
    sum = sum_over_lanes(sum, LANES_PER_HEAD);
    const float scale = reciprocal_sqrt(sum * (1.0f / HEAD_DIM));
    #pragma unroll
    for (int i = 0; i < PAIRS_PER_LANE; ++i) a[i] *= scale, b[i] *= scale;

    // (a, b) -> (a cos - b sin, b cos + a sin); the attention factor is in both. What is fused is said, so that every entry rounds alike.
    #pragma unroll
    for (int i = 0; i < PAIRS_PER_LANE; ++i) {
      const float rotated_a = fmaf(a[i], cosine[i], -(b[i] * sine[i]));
      b[i] = fmaf(b[i], cosine[i], a[i] * sine[i]);
      a[i] = rotated_a;
    }

    narrow_bf16(a, first);
    narrow_bf16(b, second);
    if (head < end_head) {
      store_vector(out, first_vector(slot), first);
      store_vector(out, second_vector(slot), second);
    }
    head += HEADS_PER_WARP;
    const uint32_t first_of_warp = head - lane / LANES_PER_HEAD;
    if (first_of_warp >= end_head) return;
    load_head();
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS)
    qk_norm_rope__bf16_d64_r64_neox(const __grid_constant__ normrope::Params params) {
  norm_and_rotate(params, false);
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS)
    qk_norm_rope__bf16_d64_r64_neox__dependent(const __grid_constant__ normrope::Params params) {
  norm_and_rotate(params, true);
}
