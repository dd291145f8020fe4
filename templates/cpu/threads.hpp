// Work over several threads. Copied as it is into generated/cpu.
#pragma once

#include <cstdint>

namespace normrope {

using Run = void (*)(const void *context, int64_t first, int64_t end);

// Runs `run` for ranges [first, end) that together are [0, count), each once, and returns when all are done. As many
// threads take part as the work is worth, this one among them: at most one for each CPU that the process may use, and
// OMP_NUM_THREADS. `elements` says how much one of `count` is.
void for_ranges(int64_t count, int64_t elements, Run run, const void *context);

}  // namespace normrope
