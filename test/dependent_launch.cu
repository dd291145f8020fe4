// Does a kernel with NORMROPE_PDL wait for the kernel before it? A slow producer lets its successor start at once and
// only then writes the data and the positions; the result must be that of an ordinary launch.
// Prints "N of 20 runs differ" and exits with 0 where N is 0.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "normrope.h"

constexpr int TOKENS = 64, HEADS = 8, HEAD_DIM = 128, RUNS = 20;
constexpr size_t ELEMENTS = size_t{TOKENS} * HEADS * HEAD_DIM;

#define CHECK(call)                                                        \
  if (auto error = (call)) {                                               \
    std::printf("%s: %d %s\n", #call, int(error), normrope_last_error());  \
    std::exit(2);                                                          \
  }

__global__ void produce(uint16_t *x, int32_t *positions, uint32_t seed) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
  for (const long long start = clock64(); clock64() - start < 2000000;) {
  }
  const size_t first = blockIdx.x * blockDim.x + threadIdx.x;
  for (size_t i = first; i < ELEMENTS; i += gridDim.x * blockDim.x) {
    x[i] = static_cast<uint16_t>(0x3f00 + ((i * 2654435761u + seed * 40503u) >> 25));
  }
  if (first < TOKENS) positions[first] = static_cast<int32_t>(7 * first + seed);
}

int main() {
  uint16_t *x, *weight;
  int32_t *positions;
  uint64_t *table;
  CHECK(cudaMalloc(&x, ELEMENTS * sizeof *x));
  CHECK(cudaMalloc(&weight, HEAD_DIM * sizeof *weight));
  CHECK(cudaMalloc(&positions, TOKENS * sizeof *positions));
  CHECK(cudaMalloc(&table, HEAD_DIM / 2 * sizeof *table));
  const std::vector<uint16_t> ones(HEAD_DIM, 0x3f80);
  std::vector<double> frequencies;
  for (int i = 0; i < HEAD_DIM / 2; ++i) frequencies.push_back(1.0 / (1 + i));
  std::vector<uint64_t> turns(HEAD_DIM / 2);
  CHECK(normrope_rope_table(frequencies.data(), HEAD_DIM / 2, turns.data()));
  CHECK(normrope_copy_to_device(weight, ones.data(), HEAD_DIM * sizeof *weight, nullptr));
  CHECK(normrope_copy_to_device(table, turns.data(), HEAD_DIM / 2 * sizeof *table, nullptr));

  const int kernel = normrope_find("qk_norm_rope__bf16_d128_r128_neox");
  CHECK(normrope_prepare(kernel));
  normrope_args args = {};
  args.struct_size = sizeof args;
  args.q.in = args.q.out = x;
  args.q.weight = weight;
  args.q.in_token_stride = args.q.out_token_stride = HEADS * HEAD_DIM;
  args.q.in_head_stride = args.q.out_head_stride = HEAD_DIM;
  args.q.num_heads = HEADS;
  args.positions = positions;
  args.rope_table = table;
  args.num_tokens = TOKENS;
  args.position_bits = 32;
  args.eps = 1e-6f;
  args.attention_factor = 1;

  void *stream;
  CHECK(normrope_stream_create(&stream));
  int differing = 0;
  for (int run = 0; run < RUNS; ++run) {
    std::vector<uint16_t> results[2];
    for (const bool is_dependent : {false, true}) {
      CHECK(cudaMemset(x, 0, ELEMENTS * sizeof *x));
      CHECK(cudaMemset(positions, 0, TOKENS * sizeof *positions));
      CHECK(cudaDeviceSynchronize());
      produce<<<16, 256, 0, static_cast<cudaStream_t>(stream)>>>(x, positions, run);
      args.flags = is_dependent ? NORMROPE_PDL : 0;
      CHECK(normrope_run(kernel, &args, stream));
      results[is_dependent].resize(ELEMENTS);
      CHECK(normrope_copy_to_host(results[is_dependent].data(), x, ELEMENTS * sizeof *x, stream));
    }
    differing += results[0] != results[1];
  }
  std::printf("%d of %d runs differ\n", differing, RUNS);
  return differing != 0;
}
