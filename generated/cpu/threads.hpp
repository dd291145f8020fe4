// Work over several threads. Copied as it is into generated/cpu.
#pragma once

#include <cstdint>

namespace normrope {

using Run = void (*)(const void *context, int64_t first, int64_t end);

// Calls `run` for ranges [first, end) that together are [0, count), and returns when all are done. `elements` is the work of
// one item. The work decides the number of threads: at most one for each CPU of the process, and at most OMP_NUM_THREADS.
void for_ranges(int64_t count, int64_t elements, Run run, const void *context);

}  // namespace normrope
