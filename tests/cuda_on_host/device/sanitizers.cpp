// Turns what the sanitizers find in device code into errors of the launch.
#include <string>

#include "runtime.h"

#ifdef ON_HOST_ASAN
#include <sanitizer/asan_interface.h>

namespace {

void on_address_error(const char* report) {
  if (on_host::current == nullptr) return;
  const std::string text = report;
  const size_t begin = text.find("AddressSanitizer: "), frame = text.find("#0 ");
  const auto line = [&](size_t at) { return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at); };
  on_host::note(line(begin) + " " + line(frame) + " by " + on_host::name_of(*on_host::current));
}

[[gnu::constructor]] void listen() { __asan_set_error_report_callback(on_address_error); }

}  // namespace

// The checks of -fsanitize=undefined call these: the first thing that each is told is a place in the source.
extern "C" {

struct Source {
  const char* file;
  uint32_t line, column;
};

static void on_undefined(const char* what, const Source* source) {
  const std::string text = std::string(what) + " at " + source->file + ":" + std::to_string(source->line);
  if (on_host::current != nullptr) {
    on_host::fail(text + " by " + on_host::name_of(*on_host::current));  // a misaligned access would end the process
  }
  std::fprintf(stderr, "%s\n", text.c_str());
  std::abort();
}

#define GK_UNDEFINED(name, what) \
  void __ubsan_handle_##name(const Source* source, ...) { on_undefined(what, source); }
GK_UNDEFINED(type_mismatch_v1, "misaligned or null access")
GK_UNDEFINED(out_of_bounds, "index out of bounds")
GK_UNDEFINED(shift_out_of_bounds, "shift out of bounds")
GK_UNDEFINED(add_overflow, "overflow of +")
GK_UNDEFINED(sub_overflow, "overflow of -")
GK_UNDEFINED(mul_overflow, "overflow of *")
GK_UNDEFINED(negate_overflow, "overflow of negation")
GK_UNDEFINED(divrem_overflow, "division by zero")
}
#endif
