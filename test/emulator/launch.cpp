// Runs a launch: block by block and warp by warp, the lanes of a warp as fibres that go on alone until each of them has
// ended or waits for others. In: the launch. Out: its effects, or the first fault. One launch runs at a time.
#include "launch.hpp"

#include <csetjmp>
#include <ucontext.h>

#include <algorithm>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "params.hpp"
#include "shared.hpp"

namespace emulator {
namespace {

constexpr uint32_t LANES = 32;
constexpr size_t STACK_BYTES = 64 * 1024;

// What a kernel of all sides takes. One of fewer takes the first bytes of it: a struct by value lies on the stack, where the
// caller puts it, and what is behind the kernel's own is never looked at.
using Params = normrope::StoreParams<3>;  // the largest: a kernel takes the front of it
using Kernel = void (*)(Params);

struct Fibre {
  enum { READY, WAITING, ENDED } state;
  bool started;
  jmp_buf where;
  alignas(64) char stack[STACK_BYTES];
  Index block, thread;
  bool has_waited;  // for the launch before
  // Where it waits: the place of the call, and its arguments.
  const void *place;
  uint32_t others;
  float value;
  uint32_t source;
  int distance;
  float result;
};

Fibre fibres[LANES];
Fibre *running = nullptr;
jmp_buf scheduler;

// Who is who: `running` is the lane that has the processor, and nullptr where the host has it. resume() gives it to a
// lane, by _longjmp to where the lane stopped, or onto its empty stack where it has not started; the lane gives it back
// by _longjmp to `scheduler`. A fault sets `failed` and never goes back to the lane: its stack is given up as it is (no
// kernel has anything to destroy), and `started` is cleared for all lanes before the next launch.
Launch launch = {};
Kernel kernel;
const Params *params;
uint32_t grid_width, block_threads;
std::string account;
bool failed;

void fibre_main() {
  for (;;) {
    kernel(*params);
    running->state = Fibre::ENDED;
    if (_setjmp(running->where) == 0) _longjmp(scheduler, 1);
  }
}

// Lets a lane run until it waits, ends or fails.
void resume(Fibre &fibre) {
  running = &fibre;
  if (_setjmp(scheduler) == 0) {
    if (running->started) _longjmp(running->where, 1);
    running->started = true;
    ucontext_t start;
    getcontext(&start);
    start.uc_stack = {running->stack, 0, sizeof running->stack};
    start.uc_link = nullptr;
    makecontext(&start, fibre_main, 0);
    setcontext(&start);
  }
  if (!failed) running = nullptr;
}

void record(const void *at, const std::string &what) {
  const std::string kernel_name = name_of_function(reinterpret_cast<const void *>(kernel));
  account = kernel_name + ": " + name_of(thread_number()) + " " + what + ", at " + lines_of(at);
  failed = true;
}

// What is wrong with the collective that a lane waits in, or nothing: it must name the lane itself and the lane whose
// value it reads, and all that it names must wait in the same place with the same arguments.
std::string collective_error(uint32_t lane) {
  const Fibre &fibre = fibres[lane];
  const auto names = [&](uint32_t other) { return (fibre.others >> other & 1) != 0; };
  if (!names(lane)) return "takes part in a collective that does not name it";
  const uint32_t source = fibre.source;
  if (source >= LANES || !names(source)) return "reads lane " + std::to_string(source) + ", which its collective does not name";
  for (uint32_t other = 0; other < LANES; ++other) {
    if (!names(other)) continue;
    const Fibre &named = fibres[other];
    const bool has_ended = named.state == Fibre::ENDED;
    if (!has_ended && named.place == fibre.place && named.others == fibre.others && named.distance == fibre.distance) continue;
    const std::string what = has_ended ? "has ended" : "is in another, at " + lines_of(named.place);
    return "waits in a collective for lane " + std::to_string(other) + ", which " + what;
  }
  return "";
}

// Lets the lanes that wait for each other go on.
void complete_collectives() {
  const auto waits = [](const Fibre &fibre) { return fibre.state == Fibre::WAITING; };
  for (uint32_t i = 0; i < LANES; ++i) {
    if (!waits(fibres[i])) continue;
    const std::string error = collective_error(i);
    if (error.empty()) continue;
    running = &fibres[i];
    return record(fibres[i].place, error);
  }
  if (std::any_of(fibres, fibres + LANES, [&](const Fibre &fibre) { return waits(fibre) && fibre.distance == 0; })) {
    shared_synchronized();
  }
  for (uint32_t i = 0; i < LANES; ++i) {
    if (waits(fibres[i])) fibres[i].result = fibres[fibres[i].source].value;
  }
  for (Fibre &fibre : fibres) {
    if (waits(fibre)) fibre.state = Fibre::READY;
  }
}

void run_warp(Index block, uint32_t first_thread) {
  shared_begins();
  for (uint32_t i = 0; i < LANES; ++i) {
    fibres[i].block = block;
    fibres[i].thread = {first_thread + i, 0, 0};
    fibres[i].has_waited = false;
    fibres[i].state = first_thread + i < block_threads ? Fibre::READY : Fibre::ENDED;
  }
  const auto is_ready = [](const Fibre &fibre) { return fibre.state == Fibre::READY; };
  while (!failed && std::any_of(fibres, fibres + LANES, is_ready)) {
    for (uint32_t i = 0; i < LANES && !failed; ++i) {
      if (is_ready(fibres[i])) resume(fibres[i]);
    }
    if (!failed) complete_collectives();
  }
}

}  // namespace

Index block_index() { return running->block; }
Index thread_index() { return running->thread; }
void wait_for_previous_kernel() { running->has_waited = true; }
bool has_waited() { return running->has_waited; }
const Launch &current_launch() { return launch; }
bool is_running() { return running != nullptr; }
const char *last_fault() { return account.c_str(); }

uint32_t thread_number() {
  const Index block = running->block;
  return (block.y * grid_width + block.x) * block_threads + running->thread.x + 1;
}

std::string name_of(uint32_t number) {
  const uint32_t block = (number - 1) / block_threads, thread = (number - 1) % block_threads;
  char name[96];
  std::snprintf(name, sizeof name, "block (%u, %u) warp %u lane %u", block % grid_width, block / grid_width,
                thread / LANES, thread % LANES);
  return name;
}

bool is_on_stack(uintptr_t address) {
  return address - reinterpret_cast<uintptr_t>(running->stack) < sizeof running->stack;
}

void fault(const void *at, const char *format, ...) {
  char what[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  if (running == nullptr) {
    std::fprintf(stderr, "host code %s, at %s\n", what, lines_of(at).c_str());
    std::abort();
  }
  record(at, what);
  _longjmp(scheduler, 1);
}

float exchange(uint32_t lanes, float value, uint32_t source, int distance) {
  running->place = __builtin_return_address(0);
  running->others = lanes;
  running->value = value;
  running->source = source;
  running->distance = distance;
  running->state = Fibre::WAITING;
  if (_setjmp(running->where) == 0) _longjmp(scheduler, 1);
  return running->result;
}

float reduced(float angle) {
  constexpr float PI = 3.14159274f;  // the float next to it, which is above
  if (!(std::fabs(angle) <= PI)) {
    fault(__builtin_return_address(0), "takes the sine or cosine of %g, outside [-pi, pi]", double{angle});
  }
  return angle;
}

float stored(float x) {
  if (x != x) fault(__builtin_return_address(0), "is about to store a NaN");
  return x;
}

}  // namespace emulator

using namespace emulator;

namespace {

// For tests that ask which entries were launched, and how: a line for each launch.
void log_launch(const void *function, dim3 grid) {
  const char *const path = std::getenv("NORMROPE_EMULATOR_LOG");
  std::FILE *const log = path == nullptr ? nullptr : std::fopen(path, "a");
  if (log == nullptr) return;
  std::fprintf(log, "%s%s %u x %u\n", name_of_function(function).c_str(), launch.is_dependent ? " dependent" : "",
               grid.x, grid.y);
  std::fclose(log);
}

}  // namespace

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
  const dim3 grid = config->gridDim, block = config->blockDim;
  const bool has_grid = grid.x >= 1 && grid.x <= INT_MAX && grid.y >= 1 && grid.y <= 65535 && grid.z == 1;
  if (!has_grid || block.x < 1 || block.x > 1024 || block.y != 1 || block.z != 1) return cudaErrorInvalidConfiguration;
  if (std::getenv("NORMROPE_EMULATOR_RUNS_NOTHING") != nullptr) return cudaSuccess;
  ++launch.number;
  launch.is_dependent = config->numAttrs > 0;
  log_launch(function, grid);
  kernel = reinterpret_cast<Kernel>(reinterpret_cast<uintptr_t>(function));
  params = static_cast<const Params *>(arguments[0]);
  grid_width = grid.x;
  block_threads = block.x;
  failed = false;
  for (uint32_t y = 0; y < grid.y && !failed; ++y) {
    for (uint32_t x = 0; x < grid.x && !failed; ++x) {
      for (uint32_t thread = 0; thread < block.x && !failed; thread += LANES) run_warp({x, y, 0}, thread);
    }
  }
  running = nullptr;
  if (!failed) return cudaSuccess;
  for (Fibre &fibre : fibres) fibre.started = false;  // each begins anew, not where the fault left it
  return cudaErrorLaunchFailure;
}
