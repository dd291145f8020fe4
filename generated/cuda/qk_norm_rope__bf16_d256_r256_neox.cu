// qk_norm_rope__bf16_d256_r256_neox
//
// q and k: rotate(norm(x)), for every token of a batch, at headDim 256, neox, bf16.
// Emitted from dsl/qk_norm_rope.op.ts and templates/cuda/kernel.cu.hbs by `normrope emit`: change those, not this file.
#include "device.cuh"

namespace {

constexpr uint32_t SIDES = 2;
constexpr uint32_t HEAD_DIM = 256;
constexpr uint32_t HEAD_BYTES = 2 * HEAD_DIM;
constexpr uint32_t ROTARY_PAIRS = 128;
constexpr uint32_t FRAGMENTS = 32;
constexpr uint32_t VECTOR_ELEMENTS = 4;
constexpr uint32_t BLOCK_THREADS = 128;

using Vector = uint2;  // VECTOR_ELEMENTS x bf16
using Params = normrope::Params<SIDES>;

// Fragment j of a head is two vectors; element i of the first and element i of the second are pair 4 j + i.
__device__ __forceinline__ uint32_t first_vector(uint32_t j) { return VECTOR_ELEMENTS * j; }
__device__ __forceinline__ uint32_t second_vector(uint32_t j) { return VECTOR_ELEMENTS * j + HEAD_DIM / 2; }
[[maybe_unused]] __device__ __forceinline__ uint32_t pair_of(uint32_t j, uint32_t i) { return VECTOR_ELEMENTS * j + i; }
__device__ __forceinline__ void widen(Vector first, Vector second, float *a, float *b) {
  normrope::widen_bf16(first, a), normrope::widen_bf16(second, b);
}
[[maybe_unused]] __device__ __forceinline__ void narrow(const float *a, const float *b, Vector &first, Vector &second) {
  normrope::narrow_bf16(a, first), normrope::narrow_bf16(b, second);
}

// Whether a pair rotates, and the place of neighbouring pairs among those that do, or a place that exists. Where all pairs rotate,
// nothing is asked.
[[maybe_unused]] __device__ __forceinline__ bool rotates(uint32_t pair) { return ROTARY_PAIRS == HEAD_DIM / 2 || pair < ROTARY_PAIRS; }
__device__ __forceinline__ uint32_t rotated(uint32_t pair, uint32_t neighbours) {
  return ROTARY_PAIRS == HEAD_DIM / 2 ? pair : min(pair, ROTARY_PAIRS - neighbours);
}
// Loads the turns of a fragment's pairs, 2 of the table at a time. A pair that passes through turns by 0.
__device__ __forceinline__ void load_turns(const uint64_t *table, uint32_t fragment, uint64_t *turns) {
#pragma unroll
  for (uint32_t i = 0; i < VECTOR_ELEMENTS; i += 2) {
    const uint32_t pair = pair_of(fragment, i);
    normrope::load_turns_2(table + rotated(pair, 2), turns + i);
#pragma unroll
    for (uint32_t n = i; n < i + 2; ++n) {
      if (!rotates(pair)) turns[n] = 0;
    }
  }
}

// A vector of a head, from element `at` on.
template <class V = Vector>
__device__ __forceinline__ V load_vector(const char *head, uint32_t at) {
  return *reinterpret_cast<const V *>(head + sizeof(V) / VECTOR_ELEMENTS * at);
}
template <class V>
__device__ __forceinline__ void store_vector(char *head, uint32_t at, V v) {
  *reinterpret_cast<V *>(head + sizeof(V) / VECTOR_ELEMENTS * at) = v;
}

// q and k: rotate(norm(x))
// A head lies over LANES_PER_HEAD lanes, each with FRAGMENTS_PER_LANE fragments. Every way to lay it out gives the same bits.
// IS_STAGED: all rounds of a task are copied to shared memory, `staged`, before anything is used. IS_FLAT: each head is a task.
// `is_dependent` is a constant: whether the launch is a programmatic dependent one.
template <uint32_t LANES_PER_HEAD, uint32_t FRAGMENTS_PER_LANE, bool IS_STAGED, bool IS_FLAT>
__device__ __forceinline__ void run_q_and_k(const Params &params, uint32_t side, uint32_t block, char *staged, bool is_dependent) {
  using namespace normrope;
  const Heads &heads = params.heads[side];
  constexpr uint32_t PAIRS_PER_LANE = FRAGMENTS_PER_LANE * VECTOR_ELEMENTS;
  constexpr uint32_t HEADS_PER_WARP = 32 / LANES_PER_HEAD;

  // The task of this warp, or of these lanes if the side is flat: heads of one token.
  const uint32_t warp = block * (BLOCK_THREADS / 32) + threadIdx.x / 32;
  const uint32_t first_task = IS_FLAT ? warp * HEADS_PER_WARP : warp;
  if (first_task >= heads.num_tasks) return;
  // A lane behind those of the last head does as the last of these, and stores nothing.
  const uint32_t lane = min(threadIdx.x % 32, HEADS_PER_WARP * LANES_PER_HEAD - 1);
  const bool is_spare = lane != threadIdx.x % 32;
  static_assert(FRAGMENTS_PER_LANE == 1 || HEADS_PER_WARP * LANES_PER_HEAD == 32, "lanes that do not fill a warp hold a fragment each");
  const uint32_t head_of_warp = lane / LANES_PER_HEAD, lane_of_head = lane - head_of_warp * LANES_PER_HEAD;
  const uint32_t task = IS_FLAT ? min(first_task + head_of_warp, heads.num_tasks - 1) : warp;
  const uint32_t token = divide(task, heads.by_tasks_per_token);
  const uint32_t heads_per_task = IS_FLAT ? 1 : params.heads_per_task;
  const uint32_t first_head = (task - token * heads.tasks_per_token) * heads_per_task;
  const uint32_t end_head = min(first_head + heads_per_task, heads.num_heads);
  uint32_t head = first_head + (IS_FLAT ? first_task + head_of_warp - task : head_of_warp);
  const auto has_head = [&] { return head < end_head && !is_spare; };
  // A lane without a fragment loads the last one, so that no branch separates the loads.
  constexpr bool IS_FULL = FRAGMENTS == FRAGMENTS_PER_LANE * LANES_PER_HEAD;
  const auto has_fragment = [&](int f) { return IS_FULL || lane_of_head + f * LANES_PER_HEAD < FRAGMENTS; };
  const auto fragment_of = [&](int f) { return has_fragment(f) ? lane_of_head + f * LANES_PER_HEAD : FRAGMENTS - 1; };

  // Loads of weights and tables, which the kernel before this one does not write. Every load is issued before the first use,
  // and none is skipped: a lane without a head loads a neighbour's.
  if (is_dependent) allow_next_kernel();
  // One weight serves all heads of a lane. If each head has its own weight, dispatch gives a lane one head.
  Vector first_weight[FRAGMENTS_PER_LANE], second_weight[FRAGMENTS_PER_LANE];
  const char *const weight = nth(heads.weight, min(head, end_head - 1), heads.weight_head_stride);
  uint64_t turns[PAIRS_PER_LANE];
#pragma unroll
  for (int f = 0; f < FRAGMENTS_PER_LANE; ++f) {
    load_turns(params.rope_table, fragment_of(f), turns + f * VECTOR_ELEMENTS);
    first_weight[f] = load_vector<Vector>(weight, first_vector(fragment_of(f)));
    second_weight[f] = load_vector<Vector>(weight, second_vector(fragment_of(f)));
  }

  if (is_dependent) wait_for_previous_kernel();
  const char *const token_in = nth(heads.in, token, heads.in_token_stride);
  const auto head_in = [&](uint32_t h) { return nth(token_in, min(h, end_head - 1), heads.in_head_stride); };
  const auto has_round = [&](uint32_t round) { return first_head + round * HEADS_PER_WARP < end_head; };
  char *const token_out = nth(heads.out, token, heads.out_token_stride);
  constexpr uint32_t ROUND_BYTES = HEADS_PER_WARP * HEAD_BYTES, CHUNKS = HEAD_BYTES / 16;
  char *out = nth(token_out, min(head, end_head - 1), heads.out_head_stride);  // with the loads, so that the stores need not wait
  if (IS_STAGED) {
    staged += threadIdx.x / 32 * ROUNDS_MAX * ROUND_BYTES + head_of_warp * HEAD_BYTES;
#pragma unroll
    for (uint32_t round = 0; round < ROUNDS_MAX; ++round) {
      const char *const in = head_in(head + round * HEADS_PER_WARP);
      for (uint32_t n = 0; n < CHUNKS; n += LANES_PER_HEAD) {
        const uint32_t chunk = lane_of_head + n;
        copy_16_bytes_if(has_round(round) && chunk < CHUNKS && !is_spare, staged + round * ROUND_BYTES + 16 * chunk, in + 16 * chunk);
      }
      end_copies();
    }
  }
  Vector first[FRAGMENTS_PER_LANE], second[FRAGMENTS_PER_LANE];
  const auto load_head = [&](uint32_t round) {
    const char *const from = IS_STAGED ? staged + round * ROUND_BYTES : head_in(head);
    if (!IS_STAGED) out = nth(token_out, min(head, end_head - 1), heads.out_head_stride);
    if (IS_STAGED) {
      wait_for_copies(ROUNDS_MAX - 1 - round);
      __syncwarp();
    }
#pragma unroll
    for (int f = 0; f < FRAGMENTS_PER_LANE; ++f) {
      first[f] = load_vector(from, first_vector(fragment_of(f)));
      second[f] = load_vector(from, second_vector(fragment_of(f)));
    }
  };
  if (!IS_STAGED) load_head(0);
  float weight_a[PAIRS_PER_LANE], weight_b[PAIRS_PER_LANE];
  const Position position = load_position(params, token);
  float sine[PAIRS_PER_LANE], cosine[PAIRS_PER_LANE];
#pragma unroll
  for (int f = 0; f < FRAGMENTS_PER_LANE; ++f) {
    widen(first_weight[f], second_weight[f], weight_a + f * VECTOR_ELEMENTS, weight_b + f * VECTOR_ELEMENTS);
    #pragma unroll
    for (int i = 0; i < VECTOR_ELEMENTS; ++i) {
      const int at = f * VECTOR_ELEMENTS + i;
      sincos_of_turns(turns[at], position, sine[at], cosine[at]);
      const float factor = rotates(pair_of(fragment_of(f), i)) ? params.attention_factor : 1.0f;
      sine[at] *= factor, cosine[at] *= factor;
    }
  }
  if (IS_STAGED) load_head(0);

  // Staged rounds are unrolled, so that each waits for its own copies without a branch.
#pragma unroll IS_STAGED ? ROUNDS_MAX : 1
  for (uint32_t round = 0; !IS_STAGED || round < ROUNDS_MAX; ++round) {
    // Pair i of the lane is (a[i], b[i]).
    float a[PAIRS_PER_LANE], b[PAIRS_PER_LANE];
#pragma unroll
    for (int f = 0; f < FRAGMENTS_PER_LANE; ++f) {
      if (!has_fragment(f)) first[f] = second[f] = {};  // adds 0 to the sum
      widen(first[f], second[f], a + f * VECTOR_ELEMENTS, b + f * VECTOR_ELEMENTS);
    }

    {
      // x * rsqrt(mean(x^2) + eps)
      constexpr uint32_t PARTIAL_SUMS = POWER_OF_TWO_FROM<LANES_PER_HEAD> * FRAGMENTS_PER_LANE;
      const float eps_part = params.eps * (1.0f * HEAD_DIM / PARTIAL_SUMS);  // the eps in equal parts, which costs nothing later
      float sums[FRAGMENTS_PER_LANE];
      #pragma unroll
      for (int f = 0; f < FRAGMENTS_PER_LANE; ++f) {
        sums[f] = eps_part;
      #pragma unroll
        for (int i = f * VECTOR_ELEMENTS; i < (f + 1) * VECTOR_ELEMENTS; ++i) sums[f] = fmaf(a[i], a[i], fmaf(b[i], b[i], sums[f]));
      }
      // times the weight, while the sum is on its way
      #pragma unroll
      for (int i = 0; i < PAIRS_PER_LANE; ++i) a[i] *= weight_a[i], b[i] *= weight_b[i];
      const float sum = sum_over_lanes<LANES_PER_HEAD>(sum_over_fragments(sums), lane_of_head, FRAGMENTS_PER_LANE * eps_part);
      const float scale = reciprocal_sqrt(sum * (1.0f / HEAD_DIM));
      #pragma unroll
      for (int i = 0; i < PAIRS_PER_LANE; ++i) a[i] *= scale, b[i] *= scale;
    }

    {
      // (a, b) -> (a cos - b sin, b cos + a sin); the attention factor is in both. Fused operations are explicit, so that every entry rounds alike.
      #pragma unroll
      for (int i = 0; i < PAIRS_PER_LANE; ++i) {
        const float rotated_a = fmaf(a[i], cosine[i], -(b[i] * sine[i]));
        b[i] = fmaf(b[i], cosine[i], a[i] * sine[i]);
        a[i] = rotated_a;
      }
    }

    const auto narrowed = [&](int f, Vector &x, Vector &y) { narrow(a + f * VECTOR_ELEMENTS, b + f * VECTOR_ELEMENTS, x, y); };
    Vector first_out[FRAGMENTS_PER_LANE], second_out[FRAGMENTS_PER_LANE];
    #pragma unroll
    for (int f = 0; f < FRAGMENTS_PER_LANE; ++f) narrowed(f, first_out[f], second_out[f]);
    const bool is_stored = has_head();
    if (is_stored) {
    #pragma unroll
      for (int f = 0; f < FRAGMENTS_PER_LANE; ++f) {
        if (has_fragment(f)) {
          store_vector(out, first_vector(fragment_of(f)), first_out[f]);
          store_vector(out, second_vector(fragment_of(f)), second_out[f]);
        }
      }
    }
    head += HEADS_PER_WARP;
    if (IS_STAGED) out += HEADS_PER_WARP * heads.out_head_stride;
    if (head - head_of_warp >= end_head || (IS_STAGED && round + 1 == ROUNDS_MAX)) return;
    load_head(round + 1);
  }
}

// Runs the body of this block's side. A side with a task for each head is flat: other tasks have two rounds at least, and a single
// head leaves half of a warp idle or more.
template <uint32_t LANES_PER_HEAD, uint32_t FRAGMENTS_PER_LANE, bool IS_THROUGHPUT>
__device__ __forceinline__ void run(const Params &params, char *staged, bool is_dependent) {
  const normrope::SideBlock at = normrope::side_block(params);
  const normrope::Heads &heads = params.heads[at.side];
  const bool is_flat = IS_THROUGHPUT && LANES_PER_HEAD < 32 && heads.tasks_per_token == heads.num_heads;
  if (at.side < 2) {
    if (is_flat) return run_q_and_k<LANES_PER_HEAD, FRAGMENTS_PER_LANE, false, true>(params, at.side, at.block, nullptr, is_dependent);
    return run_q_and_k<LANES_PER_HEAD, FRAGMENTS_PER_LANE, IS_THROUGHPUT, false>(params, at.side, at.block, staged, is_dependent);
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS)
    qk_norm_rope__bf16_d256_r256_neox(const __grid_constant__ Params params) {
  constexpr char *staged = nullptr;
  run<32, 1, false>(params, staged, false);
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS)
    qk_norm_rope__bf16_d256_r256_neox__dependent(const __grid_constant__ Params params) {
  constexpr char *staged = nullptr;
  run<32, 1, false>(params, staged, true);
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS)
    qk_norm_rope__bf16_d256_r256_neox__throughput(const __grid_constant__ Params params) {
  alignas(16) __shared__ char staged[BLOCK_THREADS / 32 * 1 * normrope::ROUNDS_MAX * HEAD_BYTES];
  run<32, 1, true>(params, staged, false);
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS)
    qk_norm_rope__bf16_d256_r256_neox__throughput__dependent(const __grid_constant__ Params params) {
  alignas(16) __shared__ char staged[BLOCK_THREADS / 32 * 1 * normrope::ROUNDS_MAX * HEAD_BYTES];
  run<32, 1, true>(params, staged, true);
}
