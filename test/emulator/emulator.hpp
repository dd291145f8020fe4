// What kernels are compiled against to run on the emulator: who is running, and what lanes do together.
#pragma once

#include <cstdint>

namespace emulator {

struct Index {
  uint32_t x, y, z;
};

// Of the thread that is running: one lane of one warp.
Index block_index();
Index thread_index();

void wait_for_previous_kernel();

// cp.async of 16 bytes to shared memory, its groups, and the wait for all but the last of them.
void copy_16_bytes(char *to, const char *from);
void end_copies();
void wait_for_copies(uint32_t groups_left);

// A collective, which gives the value of the lane `source`: returns when all `lanes` have called it from this place with the same
// distance, which is that of __shfl_xor_sync, 0 for __syncwarp, and below 0 for __shfl_sync.
float exchange(uint32_t lanes, float value, uint32_t source, int distance);

// The angle, of which the hardware is to make a sine or a cosine; reports one outside [-pi, pi].
float reduced(float angle);

// The number, which a lane is about to store; reports a NaN.
float stored(float x);

}  // namespace emulator
