// The yardsticks of the CUDA target, and CUDA graphs that time launches without the host.
#include <cuda_runtime.h>

#include "yardstick.h"

namespace {

constexpr int BLOCK_THREADS = 256;
constexpr int HEADS_PER_BLOCK = 8;

thread_local const char *last_error = "";

int status_of(cudaError_t error) {
  if (error == cudaSuccess) return 0;
  cudaGetLastError();
  last_error = cudaGetErrorString(error);
  return 1;
}

// A dependent kernel lets the next one start and waits for the one before.
__device__ __forceinline__ void order(bool is_dependent) {
#if __CUDA_ARCH__ >= 900
  if (is_dependent) asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
}

template <bool is_dependent>
__global__ void floor_kernel(uint4 *data, int row_vectors, int row_stride, int64_t vectors) {
  order(is_dependent);
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= vectors) return;
  const int64_t row = i / row_vectors;
  const int64_t at = row * row_stride + (i - row * row_vectors);
  uint4 vector = data[at];
  vector.x ^= 0x80008000u;
  data[at] = vector;
}

constexpr int PARTS = 3;

struct Stored {
  const uint4 *data;
  int64_t row_stride, vectors;
  uint32_t row_vectors, multiplier, shift;  // division by row_vectors: Granlund and Montgomery 1994, figure 4.1
  uint32_t ends[PARTS];                     // of the parts, in the order of the row, in vectors of all parts
  normrope_yardstick_part parts[PARTS];
  const int32_t *slots;
  int block_size;
};

template <bool is_plain, bool is_dependent>
__global__ void store_floor_kernel(const __grid_constant__ Stored all) {
  order(is_dependent);
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= all.vectors) return;
  const auto n = static_cast<uint32_t>(i);
  const int64_t row = is_plain ? i / all.row_vectors : (__umulhi(n, all.multiplier) + n) >> all.shift;
  const auto at = static_cast<uint32_t>(i - row * all.row_vectors);
  const int index = (at >= all.ends[0]) + (at >= all.ends[1]);
  const auto store = [&](const normrope_yardstick_part &part, uint32_t start) {
    const uint4 *const from = all.data + row * all.row_stride + part.first + (at - start);
    int64_t to_row = part.by_slot ? all.slots[row] : row;
    if (is_plain && to_row < 0) return;  // so the slot comes before the data
    uint4 vector = *from;
    if (is_plain && part.by_slot) to_row = to_row / all.block_size * all.block_size + to_row % all.block_size;
    vector.x ^= 0x80008000u;
    char *const to = static_cast<char *>(part.to) + to_row * part.to_stride + int64_t{at - start} * part.stored_bytes;
    if (part.to == nullptr) *const_cast<uint4 *>(from) = vector;
    else if (part.stored_bytes == sizeof vector) *reinterpret_cast<uint4 *>(to) = vector;
    else *reinterpret_cast<uint2 *>(to) = {vector.x ^ vector.y, vector.z ^ vector.w};
  };
  if (index == 0) store(all.parts[0], 0);
  else if (index == 1) store(all.parts[1], all.ends[0]);
  else store(all.parts[2], all.ends[1]);
}

template <bool is_dependent>
__global__ void empty_kernel(int64_t heads, int *never) {
  order(is_dependent);
  if (heads < 0) *never = 1;
}

template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), int64_t blocks, int dependent, void *stream, Arguments... arguments) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(BLOCK_THREADS);
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = dependent ? 1 : 0;
  return status_of(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

}  // namespace

const char *normrope_yardstick_error() { return last_error; }

int normrope_yardstick_floor(void *data, int64_t row_vectors, int64_t row_stride, int64_t rows, int dependent,
                             void *stream) {
  const int64_t vectors = rows * row_vectors;
  const int64_t blocks = (vectors + BLOCK_THREADS - 1) / BLOCK_THREADS;
  return launch(dependent ? floor_kernel<true> : floor_kernel<false>, blocks, dependent, stream,
                static_cast<uint4 *>(data), row_vectors, row_stride, vectors);
}

int normrope_yardstick_store_floor(void *data, int64_t row_stride, int64_t rows, const normrope_yardstick_part *parts, const int32_t *slots,
                                   int64_t block_size, int plain, int dependent, void *stream) {
  Stored all = {};
  all.data = static_cast<const uint4 *>(data);
  all.row_stride = row_stride, all.slots = slots, all.block_size = static_cast<int>(block_size);
  for (int i = 0; i < PARTS; ++i) {
    all.parts[i] = parts[i];
    all.row_vectors += static_cast<uint32_t>(parts[i].vectors);
    all.ends[i] = all.row_vectors;
  }
  all.vectors = rows * all.row_vectors;
  while ((1u << all.shift) < all.row_vectors) ++all.shift;
  all.multiplier = static_cast<uint32_t>((((uint64_t{1} << all.shift) - all.row_vectors) << 32) / all.row_vectors + 1);
  const int64_t blocks = (all.vectors + BLOCK_THREADS - 1) / BLOCK_THREADS;
  const auto kernel = plain ? (dependent ? store_floor_kernel<true, true> : store_floor_kernel<true, false>)
                            : (dependent ? store_floor_kernel<false, true> : store_floor_kernel<false, false>);
  return launch(kernel, blocks, dependent, stream, all);
}

int normrope_yardstick_empty(int64_t heads, int dependent, void *stream) {
  const int64_t blocks = (heads + HEADS_PER_BLOCK - 1) / HEADS_PER_BLOCK;
  int *const never = nullptr;
  return launch(dependent ? empty_kernel<true> : empty_kernel<false>, blocks, dependent, stream, heads, never);
}

int normrope_yardstick_begin(void *stream) {
  return status_of(cudaStreamBeginCapture(static_cast<cudaStream_t>(stream), cudaStreamCaptureModeThreadLocal));
}

int normrope_yardstick_end(void *stream, void **graph) {
  cudaGraph_t recorded = nullptr;
  cudaGraphExec_t executable = nullptr;
  if (int status = status_of(cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &recorded))) return status;
  const int status = status_of(cudaGraphInstantiate(&executable, recorded, 0));
  cudaGraphDestroy(recorded);
  *graph = executable;
  return status;
}

int normrope_yardstick_replay(void *graph, void *stream, float *milliseconds) {
  const auto queue = static_cast<cudaStream_t>(stream);
  cudaEvent_t start = nullptr, end = nullptr;
  cudaError_t error = cudaEventCreate(&start);
  if (error == cudaSuccess) error = cudaEventCreate(&end);
  if (error == cudaSuccess) error = cudaEventRecord(start, queue);
  if (error == cudaSuccess) error = cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), queue);
  if (error == cudaSuccess) error = cudaEventRecord(end, queue);
  if (error == cudaSuccess) error = cudaEventSynchronize(end);
  if (error == cudaSuccess) error = cudaEventElapsedTime(milliseconds, start, end);
  if (start != nullptr) cudaEventDestroy(start);
  if (end != nullptr) cudaEventDestroy(end);
  return status_of(error);
}

int normrope_yardstick_destroy(void *graph) { return status_of(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph))); }
