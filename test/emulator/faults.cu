// Kernels that are wrong on purpose, one for each thing that the emulator reports; and one that is not. The program runs
// the one that it is given the name of and prints the account. Thread 37 of block 1 is at fault, in the line whose
// comment says `fault`.
#include <cstdio>

#include "device.cuh"

namespace {

constexpr uint32_t BLOCKS = 2, THREADS = 64, BYTES = 4 * BLOCKS * THREADS;
constexpr uint32_t ALL = 0xffffffffu;

bool is_at_fault() { return blockIdx.x == 1 && threadIdx.x == 37; }
uint32_t thread() { return blockIdx.x * THREADS + threadIdx.x; }

const float *input(const normrope::Params<2> &params) { return reinterpret_cast<const float *>(params.heads[0].in); }
float *output(const normrope::Params<2> &params) { return reinterpret_cast<float *>(params.heads[0].out); }

}  // namespace

#define KERNEL(name) extern "C" __global__ void name(const __grid_constant__ normrope::Params<2> params)

KERNEL(right) {
  normrope::wait_for_previous_kernel();
  float sum = input(params)[thread()];
  sum += __shfl_xor_sync(ALL, sum, 16);
  output(params)[thread()] = normrope::reciprocal_sqrt(sum);
}

KERNEL(ends_before_a_collective) {
  if (is_at_fault()) return;
  output(params)[thread()] = __shfl_xor_sync(ALL, 1.0f, 1);  // fault, of those that wait
}

KERNEL(takes_another_branch_to_a_collective) {
  float sum = 1;
  if (is_at_fault()) {
    sum += __shfl_xor_sync(ALL, sum, 1);  // not here, though they would meet
  } else {
    sum += __shfl_xor_sync(ALL, sum, 2);  // fault, of those that wait
  }
  output(params)[thread()] = sum;
}

KERNEL(names_other_lanes) {
  const uint32_t lanes = is_at_fault() ? 0xffffu : ALL;
  output(params)[thread()] = __shfl_xor_sync(lanes, 1.0f, 1);  // fault, of those that wait
}

KERNEL(is_in_another_round) {
  float sum = 1;
  for (int distance = is_at_fault() ? 1 : 2; distance < 4; distance *= 2) {
    sum += __shfl_xor_sync(ALL, sum, distance);  // fault, of those that wait
  }
  output(params)[thread()] = sum;
}

KERNEL(shuffles_another_way) {
  const float sum = is_at_fault() ? __shfl_sync(ALL, 1.0f, 4) : __shfl_xor_sync(ALL, 1.0f, 1);  // fault, of those that wait
  output(params)[thread()] = sum;
}

KERNEL(is_not_named) {
  if (is_at_fault()) output(params)[thread()] = __shfl_xor_sync(ALL ^ 1u << 5, 1.0f, 1);  // fault
}

KERNEL(reads_a_lane_that_is_not_named) {
  if (is_at_fault()) output(params)[thread()] = __shfl_xor_sync(1u << 5, 1.0f, 1);  // fault
}

KERNEL(takes_from_a_lane_that_is_not_named) {
  if (is_at_fault()) output(params)[thread()] = __shfl_sync(1u << 5, 1.0f, 7);  // fault
}

KERNEL(reads_past_the_end) {
  output(params)[thread()] = input(params)[thread() + (is_at_fault() ? 27 : 0)];  // fault
}

KERNEL(reads_half_past_the_end) {
  const char *last = params.heads[0].in + BYTES - (is_at_fault() ? 2 : 4);
  uint32_t word;
  std::memcpy(&word, last, sizeof word);  // fault
  output(params)[thread()] = static_cast<float>(word & 1);
}

KERNEL(writes_before_the_start) {
  const int64_t first = is_at_fault() ? -4 * static_cast<int64_t>(thread() + 1) : 0;
  *reinterpret_cast<float *>(params.heads[0].out + first + 4 * thread()) = 1;  // fault
}

KERNEL(truncates_an_offset) {
  const auto address = reinterpret_cast<uintptr_t>(input(params) + thread());
  const auto cut = is_at_fault() ? static_cast<uint32_t>(address) : address;
  output(params)[thread()] = *reinterpret_cast<const float *>(cut);  // fault
}

KERNEL(reads_what_is_not_aligned) {
  const auto *pair = reinterpret_cast<const uint2 *>(params.heads[0].in + (is_at_fault() ? 4 : 0));
  output(params)[thread()] = static_cast<float>(pair->x);  // fault
}

KERNEL(reads_what_nobody_wrote) {
  if (is_at_fault()) output(params)[thread()] += 1;  // fault
}

KERNEL(writes_the_element_of_another) {
  output(params)[thread() - (is_at_fault() ? 1 : 0)] = 1;  // fault
}

KERNEL(reads_what_another_wrote) {
  output(params)[thread()] = 1;
  if (is_at_fault()) output(params)[thread()] = output(params)[thread() - 1];  // fault
}

KERNEL(shifts_too_far) {
  output(params)[thread()] = static_cast<float>(1u << (is_at_fault() ? 32 : 0));  // fault
}

KERNEL(overflows_an_offset) {
  const int head = is_at_fault() ? 1 << 24 : 0;
  output(params)[thread()] = static_cast<float>(head * 128);  // fault
}

KERNEL(indexes_past_an_array) {
  float sums[4] = {};
  output(params)[thread()] = sums[is_at_fault() ? 4 : 3];  // fault
}

KERNEL(divides_by_zero) {
  output(params)[thread()] = static_cast<float>(8 / (is_at_fault() ? 0 : 1));  // fault
}

KERNEL(converts_what_does_not_fit) {
  const float turns = is_at_fault() ? 3e9f : 1.0f;
  output(params)[thread()] = static_cast<float>(static_cast<int32_t>(turns));  // fault
}

KERNEL(takes_the_sine_of_a_large_angle) {
  output(params)[thread()] = normrope::approximate_sine(is_at_fault() ? 131071.0f : 3.0f);  // fault
}

KERNEL(makes_a_nan) {
  const float scale = normrope::reciprocal_sqrt(is_at_fault() ? -1.0f : 1.0f);
  output(params)[thread()] = normrope::bf16_of(scale);  // fault
}

KERNEL(reads_before_the_previous_kernel_ended) {
  const float x = input(params)[thread()];
  if (!is_at_fault()) normrope::wait_for_previous_kernel();
  const float y = params.heads[1].in[4 * thread()];  // fault
  normrope::wait_for_previous_kernel();
  output(params)[thread()] = x + y;
}

KERNEL(writes_before_the_previous_kernel_ended) {
  if (!is_at_fault()) normrope::wait_for_previous_kernel();
  output(params)[thread()] = 1;  // fault
}

// Every lane copies 16 bytes and reads what the next lane copied.
alignas(16) __shared__ char staged[16 * THREADS];

__forceinline__ float first_of(uint32_t thread) { return reinterpret_cast<const float *>(staged)[4 * thread]; }

__forceinline__ void start_copy(const normrope::Params<2> &params, int beyond = 0) {
  const uint32_t at = 16 * threadIdx.x;
  normrope::copy_16_bytes_if(true, staged + at + beyond, params.heads[0].in + at % BYTES);
  normrope::end_copies();
}

KERNEL(stages_right) {
  start_copy(params);
  normrope::wait_for_copies(0);
  __syncwarp();
  output(params)[thread()] = first_of(threadIdx.x / 32 * 32 + (threadIdx.x + 1) % 32);
}

KERNEL(reads_before_the_wait) {
  start_copy(params);
  if (!is_at_fault()) normrope::wait_for_copies(0);
  __syncwarp();
  output(params)[thread()] = first_of(threadIdx.x);  // fault
}

KERNEL(waits_for_a_group_too_few) {
  start_copy(params);
  normrope::wait_for_copies(is_at_fault() ? 1 : 0);
  __syncwarp();
  output(params)[thread()] = first_of(threadIdx.x);  // fault
}

KERNEL(reads_what_another_lane_copied) {
  start_copy(params);
  normrope::wait_for_copies(0);
  output(params)[thread()] = first_of(threadIdx.x - (is_at_fault() ? 1 : 0));  // fault
}

KERNEL(copies_beyond_the_array) {
  start_copy(params, is_at_fault() ? 16 * THREADS : 0);  // fault
  output(params)[thread()] = 1;
}

KERNEL(copies_over_the_bytes_of_another_warp) {
  start_copy(params, is_at_fault() ? -16 * 32 : 0);  // fault
  output(params)[thread()] = 1;
}

KERNEL(copies_what_is_not_aligned) {
  start_copy(params, is_at_fault() ? 8 : 0);  // fault
  output(params)[thread()] = 1;
}

KERNEL(reads_shared_memory_that_nobody_wrote) {
  if (is_at_fault()) output(params)[thread()] = static_cast<float>(staged[3]);  // fault
}

int main(int, char **arguments) {
  using Kernel = void (*)(normrope::Params<2>);
#define NAMED(name) {#name, name}
  const struct {
    const char *name;
    Kernel kernel;
  } kernels[] = {
      NAMED(right), NAMED(ends_before_a_collective), NAMED(takes_another_branch_to_a_collective),
      NAMED(names_other_lanes), NAMED(is_in_another_round), NAMED(shuffles_another_way), NAMED(is_not_named), NAMED(reads_a_lane_that_is_not_named), NAMED(takes_from_a_lane_that_is_not_named), NAMED(reads_past_the_end),
      NAMED(reads_half_past_the_end), NAMED(writes_before_the_start), NAMED(truncates_an_offset),
      NAMED(reads_what_is_not_aligned), NAMED(reads_what_nobody_wrote), NAMED(writes_the_element_of_another),
      NAMED(reads_what_another_wrote), NAMED(shifts_too_far), NAMED(overflows_an_offset), NAMED(indexes_past_an_array),
      NAMED(divides_by_zero), NAMED(converts_what_does_not_fit), NAMED(takes_the_sine_of_a_large_angle), NAMED(makes_a_nan),
      NAMED(stages_right), NAMED(reads_before_the_wait), NAMED(waits_for_a_group_too_few), NAMED(reads_what_another_lane_copied),
      NAMED(copies_beyond_the_array), NAMED(copies_over_the_bytes_of_another_warp),
      NAMED(copies_what_is_not_aligned), NAMED(reads_shared_memory_that_nobody_wrote),
      NAMED(reads_before_the_previous_kernel_ended), NAMED(writes_before_the_previous_kernel_ended),
  };
  char ones[BYTES];
  std::memset(ones, 1, sizeof ones);
  void *in, *out, *earlier;
  cudaMalloc(&in, BYTES), cudaMalloc(&out, BYTES), cudaMalloc(&earlier, BYTES);
  cudaMemcpyAsync(in, ones, BYTES, cudaMemcpyHostToDevice, nullptr);

  normrope::Params<2> params = {};
  void *launch_arguments[] = {&params};
  cudaLaunchAttribute dependent = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(BLOCKS);
  config.blockDim = dim3(THREADS);
  config.attrs = &dependent;
  const auto launch = [&](Kernel kernel, void *to, bool is_dependent) {
    params.heads[0].in = static_cast<const char *>(in);
    params.heads[0].out = static_cast<char *>(to);
    params.heads[1].in = static_cast<const char *>(earlier);
    config.numAttrs = is_dependent ? 1 : 0;
    return cudaLaunchKernelExC(&config, reinterpret_cast<const void *>(kernel), launch_arguments);
  };
  launch(right, earlier, false);
  for (const auto &[name, kernel] : kernels) {
    if (std::strcmp(name, arguments[1]) != 0) continue;
    const bool is_dependent = std::strstr(name, "previous_kernel") != nullptr;
    std::puts(cudaGetErrorString(launch(kernel, out, is_dependent)));
    // A fault leaves nothing behind: what is right runs after it.
    std::puts(cudaGetErrorString(launch(right, earlier, true)));
    return 0;
  }
  std::puts("there is no such kernel");
  return 1;
}
