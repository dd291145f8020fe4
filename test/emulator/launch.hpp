// The launch that is running, for what watches it.
#pragma once

#include <cstdint>
#include <string>

#include "cuda_runtime.h"

namespace emulator {

struct Launch {
  uint32_t number;    // from 1
  bool is_dependent;  // on the launch before
};

const Launch &current_launch();

// Whether a lane is running, and not the host.
bool is_running();

// Whether the running lane has waited for the launch before.
bool has_waited();

// The running thread in its launch, from 1, and a thread in words.
uint32_t thread_number();
std::string name_of(uint32_t thread_number);

// Whether an address is on the stack of the running lane, where its own variables and parameters are.
bool is_on_stack(uintptr_t address);

// Ends the launch with an account of what the running lane does at an instruction.
[[noreturn]] void fault(const void *at, const char *format, ...) __attribute__((format(printf, 2, 3)));

// What the last launch was ended with.
const char *last_fault();

// The source lines of an instruction, the innermost first: what was inlined, and where. A function's name.
std::string lines_of(const void *at);
std::string name_of_function(const void *start);

}  // namespace emulator
