// From an instruction to its source, by addr2line and what -g leaves in the library.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>

#include "launch.hpp"

namespace emulator {
namespace {

// What addr2line says of an address, its lines joined.
std::string ask(const char *options, const char *address) {
  Dl_info library;
  if (dladdr(address, &library) == 0) return "an unknown place";
  std::string quoted;
  for (const char *c = library.dli_fname; *c != '\0'; ++c) quoted += *c == '\'' ? std::string("'\\''") : std::string(1, *c);
  char offset[32];
  std::snprintf(offset, sizeof offset, "%#zx",
                static_cast<size_t>(address - static_cast<const char *>(library.dli_fbase)));
  const std::string command = std::string("addr2line ") + options + " -s -e '" + quoted + "' " + offset;
  FILE *const output = popen(command.c_str(), "r");
  std::string lines;
  char line[1024];
  while (output != nullptr && std::fgets(line, sizeof line, output) != nullptr) {
    line[std::strcspn(line, " \n")] = '\0';  // a blank comes before what only compilers understand
    lines += (lines.empty() ? "" : " in ") + std::string(line);
  }
  if (output != nullptr) pclose(output);
  if (lines.empty()) lines = std::string("offset ") + offset + " (there is no addr2line)";
  return lines;
}

}  // namespace

// One byte back: a return address is the instruction behind the call.
std::string lines_of(const void *at) { return ask("-i", static_cast<const char *>(at) - 1); }

std::string name_of_function(const void *start) {
  const std::string answer = ask("-f", static_cast<const char *>(start));
  return answer.substr(0, answer.find(" in "));
}

}  // namespace emulator
