// Can a kernel's first run of the process be captured in a CUDA graph, and does a replay read its inputs anew?
// For every kernel of the library: prepare, capture two runs (the second one dependent), replay with other data,
// positions, slots, weights and table, and compare with ordinary runs on the same inputs.
// Prints "N of M replays differ" and exits with 0 where N is 0.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "normrope.h"

constexpr int ROWS = 64, MOST_AXES = 4, TOKENS = 33, SIDE_HEADS[] = {5, 2, 3}, HEADS = 10, REPLAYS = 3;
constexpr int BLOCKS = 5, BLOCK_SLOTS = 16;

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

// A value of a kernel's part of the manifest, from its key on.
std::string value_of(int kernel, const std::string &key) {
  const std::string manifest = normrope_manifest(), id = normrope_kernel_id(kernel);
  const size_t from = manifest.find('"' + key + "\":", manifest.find("{\"id\":\"" + id + "\""));
  return manifest.substr(from + key.size() + 3);
}

// Whether a list there names a path.
bool lists(int kernel, const std::string &key, const std::string &path) {
  const std::string value = value_of(kernel, key);
  return value.substr(0, value.find(']')).find('"' + path + '"') != std::string::npos;
}
bool takes(int kernel, const std::string &path) { return lists(kernel, "inputs", path); }

bool has_dtype(int kernel, const std::string &path, const std::string &dtype) {
  const std::string value = value_of(kernel, "inputDtypes");
  return value.substr(0, value.find('}')).find('"' + path + "\":\"" + dtype + '"') != std::string::npos;
}

// As many numbers, of 16 bits or of float32.
std::vector<uint8_t> bytes_of(size_t length, uint32_t seed, bool is_f16, bool is_float32) {
  const std::vector<uint16_t> halves = numbers(length, seed, is_f16);
  std::vector<float> floats(length);
  for (size_t i = 0; i < length; ++i) floats[i] = 0.5f + halves[i] % 97 / 97.0f;
  const void *const from = is_float32 ? static_cast<const void *>(floats.data()) : halves.data();
  std::vector<uint8_t> bytes(length * (is_float32 ? 4 : 2));
  std::memcpy(bytes.data(), from, bytes.size());
  return bytes;
}

int main() {
  int differing = 0, total = 0;
  for (int kernel = 0; kernel < normrope_kernel_count(); ++kernel) {
    int head_dim, rotary_dim = 0;
    char dtype[8];
    const std::string id = normrope_kernel_id(kernel), point = id.substr(id.find("__"));
    if (std::sscanf(point.c_str(), "__%4[^_]_d%d_r%d", dtype, &head_dim, &rotary_dim) < 2) std::exit(3);
    const bool is_f16 = dtype[0] == 'f';
    const size_t elements = size_t{TOKENS} * HEADS * head_dim;
    const bool has_float_weights = has_dtype(kernel, "q.weight", "f32"), has_floats = has_dtype(kernel, "cos_sin", "f32");
    const int axes = std::atoi(value_of(kernel, "positionAxes").c_str());
    Buffer<uint16_t> x(elements), copy(elements);
    Buffer<uint8_t> weight(head_dim * (has_float_weights ? 4 : 2)), cos_sin((ROWS * rotary_dim + 1) * (has_floats ? 4 : 2));
    Buffer<uint8_t> pair_axes(rotary_dim / 2 + 1);
    Buffer<int64_t> positions(MOST_AXES * TOKENS);
    Buffer<uint64_t> table(rotary_dim / 2 + 1);
    Buffer<uint16_t> cache(size_t{BLOCKS} * BLOCK_SLOTS * HEADS * head_dim);  // of k and v, one behind the other
    Buffer<int64_t> slots(TOKENS);

    normrope_args args = {};
    args.struct_size = sizeof args;
    args.num_tokens = TOKENS;
    normrope_heads *const sides[] = {&args.q, &args.k, &args.v};
    const char *const names[] = {"q", "k", "v"};
    const auto set_heads = [&](bool has_any) {
      for (int i = 0, first = 0; i < 3; first += SIDE_HEADS[i++]) {
        if (!takes(kernel, names[i] + std::string(".in"))) continue;
        normrope_heads &heads = *sides[i];
        heads.in = heads.out = x.data + first * head_dim;
        const std::string side = names[i];
        if (lists(kernel, "copiedSides", side)) heads.out = copy.data + first * head_dim;
        if (has_dtype(kernel, side + ".out", "e4m3")) heads.out = reinterpret_cast<uint8_t *>(copy.data) + first * head_dim;
        if (!takes(kernel, side + ".out")) heads.out = nullptr;
        if (takes(kernel, side + ".cache")) {
          heads.cache = cache.data + BLOCKS * BLOCK_SLOTS * (i == 1 ? 0 : SIDE_HEADS[1]) * head_dim;
          heads.cache_head_stride = head_dim;
          heads.cache_slot_stride = SIDE_HEADS[i] * head_dim;
          heads.cache_block_stride = BLOCK_SLOTS * SIDE_HEADS[i] * head_dim;
        }
        if (takes(kernel, names[i] + std::string(".weight"))) heads.weight = weight.data;
        if (takes(kernel, names[i] + std::string(".bias"))) heads.bias = weight.data;
        heads.in_token_stride = HEADS * head_dim;
        heads.in_head_stride = head_dim;
        if (heads.out != nullptr) heads.out_token_stride = HEADS * head_dim, heads.out_head_stride = head_dim;
        heads.num_heads = has_any ? SIDE_HEADS[i] : 0;
      }
    };
    set_heads(true);
    if (rotary_dim > 0) {
      args.positions = positions.data;
      args.position_bits = 64;
      if (axes > 1) args.position_axis_stride = TOKENS, args.pair_axes = pair_axes.data;
      if (takes(kernel, "rope_table")) args.rope_table = table.data, args.attention_factor = 1;
      if (takes(kernel, "cos_sin")) args.cos_sin = cos_sin.data, args.cos_sin_row_stride = rotary_dim;
    }
    if (takes(kernel, "eps")) args.eps = 1e-6f;
    if (takes(kernel, "slots")) args.slots = slots.data, args.slot_bits = 64, args.block_size = BLOCK_SLOTS;
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
    set_heads(false);  // the graph keeps what args held

    for (int replay = 0; replay < REPLAYS; ++replay) {
      const auto fill = [&] {
        x.write(numbers(elements, replay, is_f16));
        copy.write(numbers(elements, 200 + replay, is_f16));
        weight.write(bytes_of(head_dim, 100 + replay, is_f16, has_float_weights));
        cos_sin.write(bytes_of(ROWS * rotary_dim + 1, 300 + replay, is_f16, has_floats));
        std::vector<int64_t> at(MOST_AXES * TOKENS);
        for (int t = 0; t < MOST_AXES * TOKENS; ++t) {
          at[t] = takes(kernel, "cos_sin") ? (t + 5 * replay) % ROWS : (int64_t{t % TOKENS} << (8 * replay)) - replay * (t / TOKENS + 1);
        }
        positions.write(at);
        cache.write(std::vector<uint16_t>(cache.length));
        std::vector<int64_t> places(TOKENS);
        for (int t = 0; t < TOKENS; ++t) places[t] = t % 7 == replay ? -1 : (11 * t + 3 * replay) % (BLOCKS * BLOCK_SLOTS);
        slots.write(places);
        std::vector<uint8_t> axes_of_pairs(rotary_dim / 2 + 1);
        for (int i = 0; i < rotary_dim / 2; ++i) axes_of_pairs[i] = (i + replay) % axes;
        pair_axes.write(axes_of_pairs);
        std::vector<double> frequencies(rotary_dim / 2);
        for (int i = 0; i < rotary_dim / 2; ++i) frequencies[i] = 1.0 / (1 + replay + i);
        std::vector<uint64_t> turns(rotary_dim / 2 + 1);
        CHECK(normrope_rope_table(frequencies.data(), rotary_dim / 2, turns.data()));
        table.write(turns);
      };
      fill();
      CHECK(cudaGraphLaunch(executable, stream));
      CHECK(cudaStreamSynchronize(stream));
      const auto replayed = x.read(), copied = copy.read(), cached = cache.read();
      fill();
      set_heads(true);
      run_twice(stream);
      CHECK(cudaStreamSynchronize(stream));
      const bool is_equal = replayed == x.read() && copied == copy.read() && cached == cache.read();
      const bool is_done = replayed != numbers(elements, replay, is_f16) || copied != numbers(elements, 200 + replay, is_f16) ||
                           cached != std::vector<uint16_t>(cache.length);
      differing += !is_equal || !is_done;
      ++total;
    }
    CHECK(cudaGraphExecDestroy(executable));
    CHECK(cudaGraphDestroy(graph));
    CHECK(normrope_stream_destroy(handle));
    const std::initializer_list<void *> all = {x.data, copy.data, weight.data, cos_sin.data, pair_axes.data, positions.data, table.data, cache.data, slots.data};
    for (void *memory : all) CHECK(normrope_memory_free(memory));
  }
  std::printf("%d of %d replays differ\n", differing, total);
  return differing != 0;
}
