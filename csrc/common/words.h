// Types that stand for values which are only moved.
#pragma once

#include "cuda.h"

namespace graphkern::cuda {

// Calls f(tag of a type of so many bytes): 2, 4, 8 or 16.
template <typename F>
void dispatch_word(int64_t bytes, const F& f) {
  switch (bytes) {
    case 2:
      return f(Tag<uint16_t>{});
    case 4:
      return f(Tag<uint32_t>{});
    case 8:
      return f(Tag<uint64_t>{});
    case 16:
      return f(Tag<Vector<uint32_t, 4>>{});
    default:
      STD_TORCH_CHECK(false, "expected values of 2, 4 or 8 bytes");
  }
}

// As above, or 1.
template <typename F>
void dispatch_byte_or_word(int64_t bytes, const F& f) {
  if (bytes == 1) return f(Tag<uint8_t>{});
  dispatch_word(bytes, f);
}

// Bytes of the widest word that rows at these addresses consist of: a power of two, at most 16.
inline int64_t word_bytes(int64_t row_bytes, std::initializer_list<const void*> addresses) {
  uint64_t all = 16 | uint64_t(row_bytes);
  for (const void* address : addresses) all |= reinterpret_cast<uintptr_t>(address);
  return int64_t(all & (~all + 1));
}

}  // namespace graphkern::cuda
