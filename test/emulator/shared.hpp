// Shared memory on the emulator: which bytes were copied or written, by which lane, and who may read them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

// Whether an address lies in an array that is __shared__.
bool is_shared(uintptr_t address);

// Checks an access of the running lane to shared memory, before it takes place.
void check_shared(uintptr_t address, size_t bytes, bool is_write, const void *at);

// All lanes of the running warp have met in __syncwarp: what they have written, each of them may read.
void shared_synchronized();

// A warp begins: it knows nothing of what others left.
void shared_begins();

}  // namespace emulator
