// Devices, memory, streams and events of the CUDA target. Copied as it is into generated/cuda.
#include <cuda_runtime_api.h>

#include <cstdio>

#include "abi.hpp"

namespace {

int check(cudaError_t error, const char *call) {
  if (error == cudaSuccess) return NORMROPE_OK;
  cudaGetLastError();  // it is reported here: the caller's next check must not find it again
  int status = NORMROPE_ERROR_DEVICE;
  if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver) status = NORMROPE_ERROR_NO_DEVICE;
  if (error == cudaErrorMemoryAllocation) status = NORMROPE_ERROR_OUT_OF_MEMORY;
  if (error == cudaErrorInvalidDevice) status = NORMROPE_ERROR_INVALID_ARGUMENT;
  return normrope::fail(status, "%s: %s", call, cudaGetErrorString(error));
}

int check_output(const void *pointer, const char *name) {
  if (pointer != nullptr) return NORMROPE_OK;
  return normrope::fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s is NULL", name);
}

int copy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, void *stream) {
  return check(cudaMemcpyAsync(to, from, bytes, kind, static_cast<cudaStream_t>(stream)), "cudaMemcpyAsync");
}

}  // namespace

int normrope_device_count(int *count) {
  if (int status = check_output(count, "count")) return status;
  *count = 0;
  const cudaError_t error = cudaGetDeviceCount(count);
  if (error == cudaSuccess) return NORMROPE_OK;
  *count = 0;
  const int status = check(error, "cudaGetDeviceCount");
  return status == NORMROPE_ERROR_NO_DEVICE ? NORMROPE_OK : status;
}

int normrope_device_get(int *device) {
  if (int status = check_output(device, "device")) return status;
  return check(cudaGetDevice(device), "cudaGetDevice");
}

int normrope_device_set(int device) { return check(cudaSetDevice(device), "cudaSetDevice"); }

int normrope_device_get_info(int device, normrope_device_info *info) {
  if (int status = check_output(info, "info")) return status;
  *info = {};
  cudaDeviceProp properties;
  if (int status = check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties")) return status;
  if (int status = check(cudaDriverGetVersion(&info->driver_version), "cudaDriverGetVersion")) return status;
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->major = properties.major;
  info->minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  info->l2_bytes = properties.l2CacheSize;
  info->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  return NORMROPE_OK;
}

int normrope_memory_allocate(size_t bytes, void **memory) {
  if (int status = check_output(memory, "memory")) return status;
  *memory = nullptr;
  return check(cudaMalloc(memory, bytes > 0 ? bytes : 1), "cudaMalloc");
}

int normrope_memory_free(void *memory) { return check(cudaFree(memory), "cudaFree"); }

int normrope_memory_fill(void *memory, int byte, size_t bytes, void *stream) {
  return check(cudaMemsetAsync(memory, byte, bytes, static_cast<cudaStream_t>(stream)), "cudaMemsetAsync");
}

int normrope_copy_to_device(void *device, const void *host, size_t bytes, void *stream) {
  if (int status = copy(device, host, bytes, cudaMemcpyHostToDevice, stream)) return status;
  return normrope_stream_synchronize(stream);
}

int normrope_copy_to_host(void *host, const void *device, size_t bytes, void *stream) {
  if (int status = copy(host, device, bytes, cudaMemcpyDeviceToHost, stream)) return status;
  return normrope_stream_synchronize(stream);
}

int normrope_copy_on_device(void *to, const void *from, size_t bytes, void *stream) {
  return copy(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

int normrope_stream_create(void **stream) {
  if (int status = check_output(stream, "stream")) return status;
  return check(cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t *>(stream), cudaStreamNonBlocking),
               "cudaStreamCreateWithFlags");
}

int normrope_stream_destroy(void *stream) {
  return check(cudaStreamDestroy(static_cast<cudaStream_t>(stream)), "cudaStreamDestroy");
}

int normrope_stream_synchronize(void *stream) {
  return check(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "cudaStreamSynchronize");
}

int normrope_event_create(void **event) {
  if (int status = check_output(event, "event")) return status;
  return check(cudaEventCreate(reinterpret_cast<cudaEvent_t *>(event)), "cudaEventCreate");
}

int normrope_event_destroy(void *event) {
  return check(cudaEventDestroy(static_cast<cudaEvent_t>(event)), "cudaEventDestroy");
}

int normrope_event_record(void *event, void *stream) {
  return check(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)), "cudaEventRecord");
}

int normrope_event_elapsed(float *milliseconds, void *start, void *end) {
  if (int status = check_output(milliseconds, "milliseconds")) return status;
  if (int status = check(cudaEventSynchronize(static_cast<cudaEvent_t>(end)), "cudaEventSynchronize")) return status;
  return check(cudaEventElapsedTime(milliseconds, static_cast<cudaEvent_t>(start), static_cast<cudaEvent_t>(end)),
               "cudaEventElapsedTime");
}
