// Shared memory: the arrays of all kernels lie in one section, and every byte has a record of who wrote it. An asynchronous
// copy writes when its lane waits for it; other lanes may read it after __syncwarp. Only one warp may use a byte.
// In: accesses and copies of lanes. Out: faults.
#include "shared.hpp"

#include <cstring>
#include <map>
#include <vector>

#include "launch.hpp"
#include "memory.hpp"

extern "C" {
extern char __start_emulated_shared[] __attribute__((weak));
extern char __stop_emulated_shared[] __attribute__((weak));
}

namespace emulator {
namespace {

struct Byte {
  enum { COPIED, WRITTEN, VISIBLE } state;  // copied: until its lane waits; written: for its lane; visible: for its warp
  uint32_t thread;
};

struct Copy {
  char *to;
  const char *from;
  uint32_t group;
};

struct Lane {
  std::vector<Copy> copies;
  uint32_t groups = 0;
};

constexpr size_t COPY_BYTES = 16;

// Of the running warp alone.
std::map<uintptr_t, Byte> bytes_of_warp;
std::map<uint32_t, Lane> lanes;

long long offset_of(uintptr_t address) {
  return static_cast<long long>(address - reinterpret_cast<uintptr_t>(__start_emulated_shared));
}

}  // namespace

bool is_shared(uintptr_t address) {
  return address - reinterpret_cast<uintptr_t>(__start_emulated_shared) <
         static_cast<uintptr_t>(__stop_emulated_shared - __start_emulated_shared);
}

void shared_begins() { bytes_of_warp.clear(), lanes.clear(); }

void shared_synchronized() {
  for (auto &[_, byte] : bytes_of_warp) {
    if (byte.state == Byte::WRITTEN) byte.state = Byte::VISIBLE;
  }
}

void check_shared(uintptr_t address, size_t bytes, bool is_write, const void *at) {
  const uint32_t own = thread_number();
  for (uintptr_t i = address; i < address + bytes; ++i) {
    if (!is_shared(i)) fault(at, "uses byte %lld of shared memory, which is beyond it", offset_of(i));
    const auto found = bytes_of_warp.find(i);
    if (found == bytes_of_warp.end()) {
      if (!is_write) fault(at, "reads byte %lld of shared memory, which no lane of its warp has written", offset_of(i));
      continue;
    }
    const Byte &byte = found->second;
    if (byte.state == Byte::COPIED) {
      fault(at, "uses byte %lld of shared memory before the copy to it was waited for", offset_of(i));
    }
    if (byte.state == Byte::WRITTEN && byte.thread != own) {
      fault(at, "uses byte %lld of shared memory, which %s has written, without __syncwarp", offset_of(i),
            name_of(byte.thread).c_str());
    }
  }
  if (!is_write) return;
  for (uintptr_t i = address; i < address + bytes; ++i) bytes_of_warp[i] = {Byte::WRITTEN, own};
}

void copy_16_bytes(char *to, const char *from) {
  const void *const at = __builtin_return_address(0);
  const auto target = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  if (target % COPY_BYTES != 0 || source % COPY_BYTES != 0) fault(at, "copies 16 bytes that are not aligned");
  if (!is_shared(target)) fault(at, "copies to %#zx, which is not shared memory", target);
  check_access(source, COPY_BYTES, false, at);
  check_shared(target, COPY_BYTES, true, at);
  for (size_t i = 0; i < COPY_BYTES; ++i) bytes_of_warp[target + i].state = Byte::COPIED;
  Lane &lane = lanes[thread_number()];
  lane.copies.push_back({to, from, lane.groups});
}

void end_copies() { ++lanes[thread_number()].groups; }

void wait_for_copies(uint32_t groups_left) {
  Lane &lane = lanes[thread_number()];
  std::vector<Copy> left;
  for (const Copy &copy : lane.copies) {
    if (copy.group + groups_left >= lane.groups) {
      left.push_back(copy);
      continue;
    }
    // Read now: what was written meanwhile is a race.
    check_access(reinterpret_cast<uintptr_t>(copy.from), COPY_BYTES, false, __builtin_return_address(0));
    std::memcpy(copy.to, copy.from, COPY_BYTES);
    for (size_t i = 0; i < COPY_BYTES; ++i) bytes_of_warp[reinterpret_cast<uintptr_t>(copy.to) + i].state = Byte::WRITTEN;
  }
  lane.copies = left;
}

}  // namespace emulator
