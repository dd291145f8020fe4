// Threads that live for one call: between calls there are none that could spin, or be missing after a fork. Whoever is
// free takes the next range, and the caller waits for ranges, not for threads: one that a busy machine starts late finds
// nothing left and holds up nobody. Copied as it is into generated/cpu.
#include "threads.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

namespace normrope {
namespace {

// About 30 us of work, ten times what it takes to start a thread.
constexpr int64_t ELEMENTS_PER_THREAD = 1 << 17;

// Small enough that all threads end at about the same time.
constexpr int64_t RANGES_PER_THREAD = 16;

int64_t thread_limit() {
  cpu_set_t cpus;
  int64_t limit = std::max(1u, std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) limit = CPU_COUNT(&cpus);
  const char *const wanted = std::getenv("OMP_NUM_THREADS");
  const long number = wanted == nullptr ? 0 : std::strtol(wanted, nullptr, 10);
  return number > 0 ? std::min<int64_t>(limit, number) : limit;
}

struct Job {
  Job(int64_t count, int64_t step, std::function<void(int64_t, int64_t)> run) : count(count), step(step), run(std::move(run)), left(count) {}

  // Takes ranges until none is left.
  void work() {
    int64_t done = 0;
    for (int64_t first; (first = next.fetch_add(step)) < count;) {
      const int64_t end = std::min(first + step, count);
      run(first, end);
      done += end - first;
    }
    if (done == 0) return;
    const std::lock_guard<std::mutex> lock(mutex);
    left -= done;
    if (left == 0) finished.notify_one();
  }

  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    finished.wait(lock, [this] { return left == 0; });
  }

  const int64_t count, step;
  const std::function<void(int64_t, int64_t)> run;
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::condition_variable finished;
  int64_t left;  // guarded by the mutex
};

}  // namespace

void for_ranges(int64_t count, int64_t elements, std::function<void(int64_t first, int64_t end)> run) {
  static const int64_t limit = thread_limit();
  const int64_t threads = std::min({limit, count, count * elements / ELEMENTS_PER_THREAD});
  if (threads < 2) return run(0, count);
  const int64_t step = std::max<int64_t>(1, count / (threads * RANGES_PER_THREAD));
  const auto job = std::make_shared<Job>(count, step, std::move(run));
  try {
    for (int64_t i = 1; i < threads; ++i) std::thread([job] { job->work(); }).detach();
  } catch (const std::system_error &) {
    // No more threads are to be had: those that run do all of it.
  }
  job->work();
  job->wait();
}

}  // namespace normrope
