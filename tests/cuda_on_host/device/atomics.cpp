#include "control.h"
#include "runtime.h"

namespace on_host {
namespace {

uint64_t read(const void* address, int bytes, bool is_signed) {
  if (bytes == 8) return *static_cast<const uint64_t*>(address);
  const uint32_t value = *static_cast<const uint32_t*>(address);
  return is_signed ? uint64_t(int64_t(int32_t(value))) : value;
}

void write(void* address, int bytes, uint64_t value) {
  if (bytes == 8) {
    *static_cast<uint64_t*>(address) = value;
  } else {
    *static_cast<uint32_t*>(address) = uint32_t(value);
  }
}

bool is_less(uint64_t a, uint64_t b, bool is_signed) { return is_signed ? int64_t(a) < int64_t(b) : a < b; }

uint64_t changed(AtomicOp op, uint64_t old, uint64_t value, uint64_t compare, bool is_signed) {
  switch (op) {
    case AtomicOp::kAdd:
      return old + value;
    case AtomicOp::kMin:
      return is_less(value, old, is_signed) ? value : old;
    case AtomicOp::kMax:
      return is_less(old, value, is_signed) ? value : old;
    case AtomicOp::kExchange:
      return value;
    case AtomicOp::kCompare:
      return old == compare ? value : old;
    case AtomicOp::kOr:
      return old | value;
    case AtomicOp::kAnd:
      return old & value;
  }
  return old;
}

}  // namespace

uint64_t atomic(AtomicOp op, void* address, int bytes, bool is_signed, uint64_t value, uint64_t compare, Where where) {
  if (reinterpret_cast<uintptr_t>(address) % unsigned(bytes) != 0) fail("atomic at " + place(where) + " is misaligned");
  const bool torn = is_removed(where, "atomic");
  const auto widen = [&](uint64_t bits) { return read(&bits, bytes, is_signed); };
  yield_sometimes();
  race::access(address, size_t(bytes), false, !torn, nullptr);
  const uint64_t old = read(address, bytes, is_signed);
  if (torn) yield_sometimes();
  race::access(address, size_t(bytes), true, !torn, nullptr);
  write(address, bytes, changed(op, old, widen(value), widen(compare), is_signed));
  return old;
}

}  // namespace on_host
