// A pool of threads that sleep between calls. A free thread takes the next range. The caller waits for ranges, not for
// threads: a thread that wakes late finds nothing left and delays nobody.
// Copied as it is into generated/cpu.
#include "threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace normrope {
namespace {

// About 60 us of work, as long as waking a thread takes.
constexpr int64_t ELEMENTS_PER_THREAD = 1 << 18;

// Ranges are small, so that all threads end at about the same time.
constexpr int64_t RANGES_PER_THREAD = 16;

// How often the caller checks for the end of other threads' last ranges before it sleeps. A range takes some microseconds.
constexpr int LOOKS = 4000;

// The state of one call that its threads share.
class Job {
 public:
  Job(int64_t count, int64_t step, Run run, const void *context)
      : count(count), step(step), run(run), context(context), left(count) {}

  // Runs ranges until none is left.
  void work() {
    for (int64_t first; (first = next.fetch_add(step)) < count;) {
      const int64_t end = std::min(first + step, count);
      run(context, first, end);
      if (left.fetch_sub(end - first) > end - first) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      finished.notify_one();
    }
  }

  void wait() {
    for (int look = 0; look < LOOKS; ++look) {
      if (left.load() == 0) return;
    }
    std::unique_lock<std::mutex> lock(mutex);
    finished.wait(lock, [this] { return left.load() == 0; });
  }

 private:
  const int64_t count, step;
  const Run run;
  const void *const context;
  std::atomic<int64_t> next{0}, left;
  std::mutex mutex;
  std::condition_variable finished;
};

class Pool {
 public:
  // Wakes threads for a job. It starts new ones if it can.
  void help(const std::shared_ptr<Job> &job, int64_t helpers) {
    bool all;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      try {
        for (; threads < helpers; ++threads) std::thread([this] { serve(); }).detach();
      } catch (const std::system_error &) {
      }
      current = job;
      wanted = helpers;
      all = helpers >= threads;
    }
    if (all) wake.notify_all();
    else for (int64_t i = 0; i < helpers; ++i) wake.notify_one();
  }

 private:
  void serve() {
    for (std::unique_lock<std::mutex> lock(mutex);;) {
      wake.wait(lock, [this] { return wanted > 0; });
      --wanted;
      const std::shared_ptr<Job> job = current;
      lock.unlock();
      job->work();
      lock.lock();
    }
  }

  std::mutex mutex;
  std::condition_variable wake;
  int64_t threads = 0, wanted = 0;
  std::shared_ptr<Job> current;
};

int64_t thread_limit() {
  cpu_set_t cpus;
  int64_t limit = std::max(1u, std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) limit = CPU_COUNT(&cpus);
  const char *const wanted = std::getenv("OMP_NUM_THREADS");
  const long number = wanted == nullptr ? 0 : std::strtol(wanted, nullptr, 10);
  return number > 0 ? std::min<int64_t>(limit, number) : limit;
}

// Never destroyed, since its threads may outlive everything else. The child of a fork makes its own pool.
Pool *pool;

void make_pool() { pool = new Pool; }

}  // namespace

void for_ranges(int64_t count, int64_t elements, Run run, const void *context) {
  static const int64_t limit = [] {
    make_pool();
    pthread_atfork(nullptr, nullptr, make_pool);
    return thread_limit();
  }();
  const int64_t threads = std::min({limit, count, count * elements / ELEMENTS_PER_THREAD});
  if (threads < 2) return run(context, 0, count);
  const int64_t step = std::max<int64_t>(1, count / (threads * RANGES_PER_THREAD));
  const auto job = std::make_shared<Job>(count, step, run, context);
  pool->help(job, threads - 1);
  job->work();
  job->wait();
}

}  // namespace normrope
