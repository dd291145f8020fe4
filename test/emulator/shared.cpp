// Shared memory: the arrays of all kernels lie in one section, and every byte has a record of who wrote it. An asynchronous
// copy writes when its lane waits for it; other lanes may read it after __syncwarp. Only one warp may use a byte.
// In: accesses and copies of lanes. Out: faults.
#include "shared.hpp"

#include <cstring>
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
  uint64_t warp;  // how many had begun: the bytes belong to that one
  uint64_t block;
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

constexpr uint32_t LANES = 32;

std::vector<Byte> bytes;  // of the whole section
std::vector<size_t> unsynchronized;
Lane lanes[LANES];
uint64_t warp = 0;

// A block of a launch, from 1.
uint64_t own_block() {
  const Index block = block_index();
  return (uint64_t{current_launch().number} << 48) + (uint64_t{block.y} << 32) + block.x + 1;
}

size_t offset_of(uintptr_t address) { return address - reinterpret_cast<uintptr_t>(__start_emulated_shared); }

Lane &own_lane() { return lanes[(thread_number() - 1) % LANES]; }

void set(uintptr_t address, size_t count, decltype(Byte::state) state) {
  for (size_t i = offset_of(address); i < offset_of(address) + count; ++i) {
    bytes[i] = {state, thread_number(), warp, own_block()};
    if (state == Byte::WRITTEN) unsynchronized.push_back(i);
  }
}

}  // namespace

bool is_shared(uintptr_t address) {
  return offset_of(address) < static_cast<size_t>(__stop_emulated_shared - __start_emulated_shared);
}

void shared_begins() {
  bytes.resize(static_cast<size_t>(__stop_emulated_shared - __start_emulated_shared));
  unsynchronized.clear();
  for (Lane &lane : lanes) lane.copies.clear(), lane.groups = 0;
  ++warp;
}

void shared_synchronized() {
  for (size_t i : unsynchronized) {
    if (bytes[i].state == Byte::WRITTEN) bytes[i].state = Byte::VISIBLE;
  }
  unsynchronized.clear();
}

void check_shared(uintptr_t address, size_t count, bool is_write, const void *at) {
  const uint32_t own = thread_number();
  for (size_t i = offset_of(address); i < offset_of(address) + count; ++i) {
    if (i >= bytes.size()) fault(at, "uses byte %zu of shared memory, which is beyond it", i);
    const Byte &byte = bytes[i];
    if (byte.warp != warp && byte.block == own_block()) {
      fault(at, "uses byte %zu of shared memory, which is of another warp of its block", i);
    }
    if (byte.warp != warp) {
      if (!is_write) fault(at, "reads byte %zu of shared memory, which no lane of its warp has written", i);
      continue;
    }
    if (byte.state == Byte::COPIED) fault(at, "uses byte %zu of shared memory before the copy to it was waited for", i);
    if (byte.state == Byte::WRITTEN && byte.thread != own) {
      fault(at, "uses byte %zu of shared memory, which %s has written, without __syncwarp", i, name_of(byte.thread).c_str());
    }
  }
  if (is_write) set(address, count, Byte::WRITTEN);
}

void copy_16_bytes(char *to, const char *from) {
  const void *const at = __builtin_return_address(0);
  const auto target = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  if (target % COPY_BYTES != 0 || source % COPY_BYTES != 0) fault(at, "copies 16 bytes that are not aligned");
  if (!is_shared(target)) fault(at, "copies to %#zx, which is not shared memory", target);
  check_access(source, COPY_BYTES, false, at);
  check_shared(target, COPY_BYTES, true, at);
  set(target, COPY_BYTES, Byte::COPIED);
  Lane &lane = own_lane();
  lane.copies.push_back({to, from, lane.groups});
}

void end_copies() { ++own_lane().groups; }

void wait_for_copies(uint32_t groups_left) {
  Lane &lane = own_lane();
  std::vector<Copy> left;
  for (const Copy &copy : lane.copies) {
    if (copy.group + groups_left >= lane.groups) {
      left.push_back(copy);
      continue;
    }
    // Read now: what was written meanwhile is a race.
    check_access(reinterpret_cast<uintptr_t>(copy.from), COPY_BYTES, false, __builtin_return_address(0));
    std::memcpy(copy.to, copy.from, COPY_BYTES);
    set(reinterpret_cast<uintptr_t>(copy.to), COPY_BYTES, Byte::WRITTEN);
  }
  lane.copies = left;
}

}  // namespace emulator
