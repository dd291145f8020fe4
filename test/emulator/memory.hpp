// Device memory on the emulator: which bytes there are, and who wrote each of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

// Checks an access of the running lane, before it takes place; does not return where it is wrong. `at` is the
// instruction behind it.
void check_access(uintptr_t address, size_t bytes, bool is_write, const void *at);

// The host has waited for every launch so far.
void host_synchronized();

}  // namespace emulator
