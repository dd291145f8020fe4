// Can a kernel's first run of the process be captured in a CUDA graph, and does a replay read its inputs anew?
// For every kernel of the library: prepare, capture two runs (the second one dependent), replay with other data,
// positions, weights and table, and compare with ordinary runs on the same inputs.
// Prints "N of M replays differ" and exits with 0 where N is 0.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "normrope.h"

constexpr int TOKENS = 33, Q_HEADS = 5, K_HEADS = 2, HEADS = Q_HEADS + K_HEADS, REPLAYS = 3;

#define CHECK(call)                                                       \
  if (auto error = (call)) {                                              \
    std::printf("%s: %d %s\n", #call, int(error), normrope_last_error()); \
    std::exit(2);                                                         \
  }

template <typename T>
struct Buffer {
  explicit Buffer(size_t length) : length(length) {
    void *memory;
    CHECK(normrope_memory_allocate(length * sizeof(T), &memory));
    data = static_cast<T *>(memory);
  }
  void write(const std::vector<T> &values) { CHECK(normrope_copy_to_device(data, values.data(), bytes(), nullptr)); }
  std::vector<T> read() const {
    std::vector<T> values(length);
    CHECK(normrope_copy_to_host(values.data(), data, bytes(), nullptr));
    return values;
  }
  size_t bytes() const { return length * sizeof(T); }
  size_t length;
  T *data;
};

// Bit patterns of numbers from 0.5 up to below 2.
std::vector<uint16_t> numbers(size_t length, uint32_t seed, bool is_f16) {
  std::vector<uint16_t> values(length);
  const uint32_t first = is_f16 ? 0x3800 : 0x3f00, shift = is_f16 ? 21 : 24;
  for (size_t i = 0; i < length; ++i) {
    values[i] = static_cast<uint16_t>(first + ((static_cast<uint32_t>(i) * 2654435761u + seed * 40503u) >> shift));
  }
  return values;
}

int main() {
  int differing = 0, total = 0;
  for (int kernel = 0; kernel < normrope_kernel_count(); ++kernel) {
    int head_dim, rotary_dim;
    char dtype[8];
    if (std::sscanf(normrope_kernel_id(kernel), "qk_norm_rope__%4[^_]_d%d_r%d", dtype, &head_dim, &rotary_dim) != 3) {
      std::exit(3);
    }
    const bool is_f16 = dtype[0] == 'f';
    const size_t elements = size_t{TOKENS} * HEADS * head_dim;
    Buffer<uint16_t> x(elements), weight(head_dim);
    Buffer<int64_t> positions(TOKENS);
    Buffer<uint64_t> table(rotary_dim / 2);

    normrope_args args = {};
    args.struct_size = sizeof args;
    args.q.in = args.q.out = x.data;
    args.q.weight = weight.data;
    args.q.in_token_stride = args.q.out_token_stride = HEADS * head_dim;
    args.q.in_head_stride = args.q.out_head_stride = head_dim;
    args.q.num_heads = Q_HEADS;
    args.k = args.q;
    args.k.in = args.k.out = x.data + Q_HEADS * head_dim;
    args.k.num_heads = K_HEADS;
    args.positions = positions.data;
    args.rope_table = table.data;
    args.num_tokens = TOKENS;
    args.position_bits = 64;
    args.eps = 1e-6f;
    args.attention_factor = 1;
    const auto run_twice = [&](void *stream) {
      args.flags = 0;
      CHECK(normrope_run(kernel, &args, stream));
      args.flags = NORMROPE_PDL;
      CHECK(normrope_run(kernel, &args, stream));
    };

    void *handle;
    CHECK(normrope_stream_create(&handle));
    const auto stream = static_cast<cudaStream_t>(handle);
    CHECK(normrope_prepare(kernel));
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    run_twice(stream);
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&executable, graph, 0));
    args.q.num_heads = args.k.num_heads = 0;  // the graph keeps what args held

    for (int replay = 0; replay < REPLAYS; ++replay) {
      const auto fill = [&] {
        x.write(numbers(elements, replay, is_f16));
        weight.write(numbers(head_dim, 100 + replay, is_f16));
        std::vector<int64_t> at(TOKENS);
        for (int t = 0; t < TOKENS; ++t) at[t] = (int64_t{t} << (8 * replay)) - replay;
        positions.write(at);
        std::vector<double> frequencies(rotary_dim / 2);
        for (int i = 0; i < rotary_dim / 2; ++i) frequencies[i] = 1.0 / (1 + replay + i);
        std::vector<uint64_t> turns(rotary_dim / 2);
        CHECK(normrope_rope_table(frequencies.data(), rotary_dim / 2, turns.data()));
        table.write(turns);
      };
      fill();
      CHECK(cudaGraphLaunch(executable, stream));
      CHECK(cudaStreamSynchronize(stream));
      const auto replayed = x.read();
      fill();
      args.q.num_heads = Q_HEADS;
      args.k.num_heads = K_HEADS;
      run_twice(stream);
      CHECK(cudaStreamSynchronize(stream));
      differing += replayed != x.read() || replayed == numbers(elements, replay, is_f16);
      ++total;
    }
    CHECK(cudaGraphExecDestroy(executable));
    CHECK(cudaGraphDestroy(graph));
    CHECK(normrope_stream_destroy(handle));
    for (void *memory : {(void *)x.data, (void *)weight.data, (void *)positions.data, (void *)table.data}) {
      CHECK(normrope_memory_free(memory));
    }
  }
  std::printf("%d of %d replays differ\n", differing, total);
  return differing != 0;
}
