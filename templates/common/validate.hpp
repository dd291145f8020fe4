// Refused arguments: their error, and the check of a call. Copied as it is into generated/common.
#pragma once

#include <cstdarg>
#include <cstdio>

#include "abi.hpp"

namespace normrope {

constexpr const char *SIDE_NAMES[SIDES] = {"q", "k", "v"};

// A short text. A longer one is cut.
struct Text {
  Text() = default;
  __attribute__((format(printf, 2, 3))) explicit Text(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(chars, sizeof chars, format, arguments);
    va_end(arguments);
  }
  char chars[200] = "";
};

// Reports an argument: the field, its value, and what it must be.
int refuse(const Text &field, const Text &value, const Text &wanted);

// Checks every field of the arguments of a call. Reads no data.
int validate(const KernelEntry &kernel, const normrope_args &args);

}  // namespace normrope
