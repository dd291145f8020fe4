// What the compiler's sanitizers call in emulated code: -fsanitize=thread before every access to memory, and
// -fsanitize=undefined where something undefined is about to happen. In: their calls. Out: checks and faults.
#include <cstddef>
#include <cstdint>

#include "launch.hpp"
#include "memory.hpp"

using emulator::fault;

namespace {

void access(const void *address, size_t bytes, bool is_write, const void *at) {
  if (!emulator::is_running()) return;
  emulator::check_access(reinterpret_cast<uintptr_t>(address), bytes, is_write, at);
}

}  // namespace

#define CALLER __builtin_return_address(0)
#define ACCESSES(BYTES)                                                                                    \
  void __tsan_read##BYTES(void *p) { access(p, BYTES, false, CALLER); }                                    \
  void __tsan_write##BYTES(void *p) { access(p, BYTES, true, CALLER); }                                    \
  void __tsan_unaligned_read##BYTES(void *p) { access(p, BYTES, false, CALLER); }                          \
  void __tsan_unaligned_write##BYTES(void *p) { access(p, BYTES, true, CALLER); }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void *p, size_t bytes) { access(p, bytes, false, CALLER); }
void __tsan_write_range(void *p, size_t bytes) { access(p, bytes, true, CALLER); }

// The second argument and those after it differ; none is needed for the account.
void __ubsan_handle_type_mismatch_v1(void *, uintptr_t address) {
  fault(CALLER, "uses the address %#zx, which is null or not aligned for what is there", address);
}
void __ubsan_handle_shift_out_of_bounds(void *, uintptr_t, uintptr_t by) {
  fault(CALLER, "shifts by %zd, or what cannot be shifted", static_cast<ptrdiff_t>(by));
}
void __ubsan_handle_add_overflow(void *) { fault(CALLER, "overflows a signed sum"); }
void __ubsan_handle_sub_overflow(void *) { fault(CALLER, "overflows a signed difference"); }
void __ubsan_handle_mul_overflow(void *) { fault(CALLER, "overflows a signed product"); }
void __ubsan_handle_negate_overflow(void *) { fault(CALLER, "overflows a negation"); }
void __ubsan_handle_divrem_overflow(void *) { fault(CALLER, "divides by 0, or overflows a quotient"); }
void __ubsan_handle_out_of_bounds(void *, uintptr_t index) {
  fault(CALLER, "uses index %zd, which its array does not have", static_cast<ptrdiff_t>(index));
}
void __ubsan_handle_float_cast_overflow(void *) { fault(CALLER, "converts a number to an integer that cannot hold it"); }

}  // extern "C"
