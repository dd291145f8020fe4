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
