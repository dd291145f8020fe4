// Work over several threads. Copied as it is into generated/cpu.
#pragma once

#include <cstdint>
#include <functional>

namespace normrope {

// Runs `run(first, end)` for ranges that together are [0, count), and returns when all are done. This thread works too;
// as many others join it as the work is worth, at most one for each CPU that the process may use, or OMP_NUM_THREADS.
// `elements` says how much one of `count` is. A range runs once, in one thread; which one is open.
void for_ranges(int64_t count, int64_t elements, std::function<void(int64_t first, int64_t end)> run);

}  // namespace normrope
