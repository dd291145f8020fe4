// Devices, memory, streams and events of the CPU target: one device, and all work is done when a call returns.
// Copied as it is into generated/cpu.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "abi.hpp"

namespace {

constexpr size_t ALIGNMENT_BYTES = 256;

using Clock = std::chrono::steady_clock;
constexpr Clock::time_point NEVER = Clock::time_point::min();

int check_pointer(const void *pointer, const char *name) {
  if (pointer != nullptr) return NORMROPE_OK;
  return normrope::fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s is NULL", name);
}

int check_device(int device) {
  if (device == 0) return NORMROPE_OK;
  return normrope::fail(NORMROPE_ERROR_INVALID_ARGUMENT, "device is %d: the CPU target has one, 0", device);
}

int copy(void *to, const void *from, size_t bytes) {
  if (bytes == 0) return NORMROPE_OK;
  if (int status = check_pointer(to, "destination")) return status;
  if (int status = check_pointer(from, "source")) return status;
  std::memcpy(to, from, bytes);
  return NORMROPE_OK;
}

}  // namespace

int normrope_device_count(int *count) {
  if (int status = check_pointer(count, "count")) return status;
  *count = 1;
  return NORMROPE_OK;
}

int normrope_device_get(int *device) {
  if (int status = check_pointer(device, "device")) return status;
  *device = 0;
  return NORMROPE_OK;
}

int normrope_device_set(int device) { return check_device(device); }

int normrope_device_get_info(int device, normrope_device_info *info) {
  if (int status = check_pointer(info, "info")) return status;
  if (int status = check_device(device)) return status;
  *info = {};
  std::snprintf(info->name, sizeof info->name, "CPU");
  info->multiprocessors = static_cast<int32_t>(std::thread::hardware_concurrency());
  info->memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return NORMROPE_OK;
}

int normrope_memory_allocate(size_t bytes, void **memory) {
  if (int status = check_pointer(memory, "memory")) return status;
  *memory = nullptr;
  if (bytes <= SIZE_MAX - ALIGNMENT_BYTES) {
    const size_t whole = (bytes / ALIGNMENT_BYTES + 1) * ALIGNMENT_BYTES;
    *memory = std::aligned_alloc(ALIGNMENT_BYTES, whole);
  }
  if (*memory != nullptr) return NORMROPE_OK;
  return normrope::fail(NORMROPE_ERROR_OUT_OF_MEMORY, "%zu bytes could not be allocated", bytes);
}

int normrope_memory_free(void *memory) {
  std::free(memory);
  return NORMROPE_OK;
}

int normrope_memory_fill(void *memory, int byte, size_t bytes, void *) {
  if (bytes == 0) return NORMROPE_OK;
  if (int status = check_pointer(memory, "memory")) return status;
  std::memset(memory, byte, bytes);
  return NORMROPE_OK;
}

int normrope_copy_to_device(void *device, const void *host, size_t bytes, void *) { return copy(device, host, bytes); }

int normrope_copy_to_host(void *host, const void *device, size_t bytes, void *) { return copy(host, device, bytes); }

int normrope_copy_on_device(void *to, const void *from, size_t bytes, void *) { return copy(to, from, bytes); }

int normrope_stream_create(void **stream) {
  if (int status = check_pointer(stream, "stream")) return status;
  *stream = nullptr;
  return NORMROPE_OK;
}

int normrope_stream_destroy(void *) { return NORMROPE_OK; }

int normrope_stream_synchronize(void *) { return NORMROPE_OK; }

int normrope_event_create(void **event) {
  if (int status = check_pointer(event, "event")) return status;
  *event = new (std::nothrow) Clock::time_point(NEVER);
  if (*event != nullptr) return NORMROPE_OK;
  return normrope::fail(NORMROPE_ERROR_OUT_OF_MEMORY, "an event could not be allocated");
}

int normrope_event_destroy(void *event) {
  delete static_cast<Clock::time_point *>(event);
  return NORMROPE_OK;
}

int normrope_event_record(void *event, void *) {
  if (int status = check_pointer(event, "event")) return status;
  *static_cast<Clock::time_point *>(event) = Clock::now();
  return NORMROPE_OK;
}

int normrope_event_elapsed(float *milliseconds, void *start, void *end) {
  if (int status = check_pointer(milliseconds, "milliseconds")) return status;
  if (int status = check_pointer(start, "start")) return status;
  if (int status = check_pointer(end, "end")) return status;
  const auto from = *static_cast<Clock::time_point *>(start), to = *static_cast<Clock::time_point *>(end);
  if (from == NEVER || to == NEVER) {
    return normrope::fail(NORMROPE_ERROR_INVALID_ARGUMENT, "%s was not recorded", from == NEVER ? "start" : "end");
  }
  *milliseconds = std::chrono::duration<float, std::milli>(to - from).count();
  return NORMROPE_OK;
}
