// Device memory: each buffer lies alone in 64 GiB of address space, of exactly the bytes that were asked for, and has a
// record for every byte of who wrote it last. Pages that nothing touches take no memory, so that a buffer may have more
// than 2^31 elements. In: accesses of lanes, copies of the host. Out: faults.
#include "memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "launch.hpp"
#include "shared.hpp"

namespace emulator {
namespace {

// Who wrote a byte: nobody, the host, or a thread of a launch. Launches count from 1, and so do threads.
using Writer = uint64_t;
constexpr Writer NOBODY = 0, HOST = 1;
Writer writer_of(uint32_t launch, uint32_t thread) { return uint64_t{launch} << 32 | thread; }
uint32_t launch_of(Writer writer) { return static_cast<uint32_t>(writer >> 32); }
uint32_t thread_of(Writer writer) { return static_cast<uint32_t>(writer); }

struct Buffer {
  size_t bytes = 0;
  bool is_live = false;
  Writer *writers = nullptr;
};

// Far from all else, so that a wrong stride or a truncated offset does not land in another buffer by chance.
constexpr uintptr_t FIRST = uintptr_t{1} << 45;
constexpr int SLOT_BITS = 36;
constexpr size_t SLOTS = 1024;
Buffer slots[SLOTS];
size_t next_slot = 0;

uint32_t synchronized_launch = 0;

uintptr_t start_of(const Buffer &buffer) {
  return FIRST + (static_cast<uintptr_t>(&buffer - slots) << SLOT_BITS) + (uintptr_t{1} << (SLOT_BITS - 1));
}

// The buffer in whose part of the address space an address lies.
Buffer *buffer_at(uintptr_t address) {
  const uintptr_t slot = (address - FIRST) >> SLOT_BITS;
  return slot < SLOTS && slots[slot].is_live ? &slots[slot] : nullptr;
}

bool is_inside(const Buffer &buffer, uintptr_t address, size_t bytes) {
  const uintptr_t offset = address - start_of(buffer);
  return offset <= buffer.bytes && bytes <= buffer.bytes - offset;
}

// Where an access of the host lies, or nullptr where that is in no buffer.
Writer *writers_at(const void *memory, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  Buffer *const buffer = buffer_at(address);
  if (buffer == nullptr || !is_inside(*buffer, address, bytes)) return nullptr;
  return buffer->writers + (address - start_of(*buffer));
}

// Zeroed pages at an address, or anywhere where that is nullptr.
void *map_pages(void *at, size_t bytes) {
  const int fixed = at == nullptr ? 0 : MAP_FIXED_NOREPLACE;
  void *const pages =
      mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

}  // namespace

void host_synchronized() { synchronized_launch = current_launch().number; }

void check_access(uintptr_t address, size_t bytes, bool is_write, const void *at) {
  if (is_on_stack(address)) return;
  if (is_shared(address)) return check_shared(address, bytes, is_write, at);
  const char *const verb = is_write ? "writes" : "reads";
  Buffer *const buffer = buffer_at(address);
  if (buffer == nullptr) fault(at, "%s %zu bytes at %#zx, where no buffer is", verb, bytes, address);
  const auto offset = static_cast<long long>(address - start_of(*buffer));
  if (!is_inside(*buffer, address, bytes)) {
    fault(at, "%s %zu bytes at offset %lld of a buffer of %zu bytes", verb, bytes, offset, buffer->bytes);
  }
  const Launch &launch = current_launch();
  const Writer own = writer_of(launch.number, thread_number());
  const bool before_wait = launch.is_dependent && !has_waited();
  if (is_write && before_wait) fault(at, "writes before wait_for_previous_kernel");
  for (Writer *writer = &buffer->writers[offset], *end = writer + bytes; writer != end; ++writer) {
    const bool same_launch = launch_of(*writer) == launch.number;
    if (same_launch && *writer != own) {
      fault(at, "%s byte %lld of a buffer, which %s has written", verb, offset, name_of(thread_of(*writer)).c_str());
    }
    if (is_write) {
      *writer = own;
      continue;
    }
    if (*writer == NOBODY) fault(at, "reads byte %lld of a buffer, which nobody has written", offset);
    if (before_wait && !same_launch && launch_of(*writer) > synchronized_launch) {
      fault(at, "reads byte %lld of a buffer before wait_for_previous_kernel, which that kernel may write", offset);
    }
  }
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaMalloc(void **memory, size_t bytes) {
  if (bytes >> (SLOT_BITS - 1) != 0) return cudaErrorMemoryAllocation;
  for (size_t tries = 0; tries < SLOTS; ++tries) {
    Buffer &buffer = slots[next_slot++ % SLOTS];
    if (buffer.is_live) continue;
    void *const start = map_pages(reinterpret_cast<void *>(start_of(buffer)), bytes);
    if (start == nullptr) continue;
    static_assert(NOBODY == 0, "what was mapped is nobody's");
    void *const writers = map_pages(nullptr, bytes * sizeof(Writer));
    if (writers == nullptr) {
      munmap(start, bytes);
      break;
    }
    buffer = {bytes, true, static_cast<Writer *>(writers)};
    *memory = start;
    return cudaSuccess;
  }
  return cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *memory) {
  if (memory == nullptr) return cudaSuccess;
  Buffer *const buffer = buffer_at(reinterpret_cast<uintptr_t>(memory));
  if (buffer == nullptr || start_of(*buffer) != reinterpret_cast<uintptr_t>(memory)) return cudaErrorInvalidValue;
  munmap(memory, buffer->bytes);
  munmap(buffer->writers, buffer->bytes * sizeof(Writer));
  *buffer = {};
  host_synchronized();
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t) {
  Writer *const writers = writers_at(memory, bytes);
  if (writers == nullptr) return cudaErrorInvalidValue;
  std::memset(memory, byte, bytes);
  std::fill_n(writers, bytes, HOST);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  const Writer *const source = kind == cudaMemcpyHostToDevice ? nullptr : writers_at(from, bytes);
  Writer *const destination = kind == cudaMemcpyDeviceToHost ? nullptr : writers_at(to, bytes);
  if (kind != cudaMemcpyHostToDevice && source == nullptr) return cudaErrorInvalidValue;
  if (kind != cudaMemcpyDeviceToHost && destination == nullptr) return cudaErrorInvalidValue;
  std::memmove(to, from, bytes);
  if (source != nullptr && destination != nullptr) std::memmove(destination, source, bytes * sizeof(Writer));
  else if (destination != nullptr) std::fill_n(destination, bytes, HOST);
  return cudaSuccess;
}
