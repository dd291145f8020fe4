// Whether every element of a range is worked on once, whatever calls meet: test/threads.test.ts builds and runs it.
#include "threads.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace {

constexpr int64_t MANY_ELEMENTS = 1 << 20;  // of one of the count: always worth another thread

using Body = std::function<void(int64_t first, int64_t end)>;

void for_ranges(int64_t count, const Body &body) {
  const auto run = [](const void *context, int64_t first, int64_t end) { (*static_cast<const Body *>(context))(first, end); };
  normrope::for_ranges(count, MANY_ELEMENTS, run, &body);
}

void require(bool is_right, const char *what) {
  if (is_right) return;
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

void cover(int64_t count) {
  std::vector<std::atomic<int>> runs(count);
  for_ranges(count, [&](int64_t first, int64_t end) {
    require(0 <= first && first < end && end <= count, "a range lies outside");
    usleep(20);  // so that others are at their ranges when the caller has none left
    for (int64_t i = first; i < end; ++i) ++runs[i];
  });
  for (const auto &run : runs) require(run == 1, "an element was not worked on once when the call returned");
}

void cover_all() {
  for (const int64_t count : {1, 2, 3, 7, 64, 1000}) {
    for (int round = 0; round < 20; ++round) cover(count);
  }
}

// The threads that take part in calls, each of which gives all of them time to come.
size_t threads_seen() {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  for (int round = 0; round < 20; ++round) {
    for_ranges(4096, [&](int64_t, int64_t) {
      usleep(1000);
      const std::lock_guard<std::mutex> lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
  }
  return seen.size();
}

void cover_in_a_child() {
  cover_all();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // it may not wait for threads that it does not have
    cover_all();
    std::printf("%zu\n", threads_seen());
    std::fflush(stdout);
    std::_Exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child of a fork fails or waits for ever");
}

}  // namespace

int main(int, char **args) {
  if (std::strcmp(args[1], "threads") == 0) {
    std::printf("%zu\n", threads_seen());
  } else if (std::strcmp(args[1], "fork") == 0) {
    cover_in_a_child();
  } else {
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) callers.emplace_back(cover_all);
    for (auto &caller : callers) caller.join();
  }
}
