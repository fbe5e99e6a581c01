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

}  // namespace graphkern::cuda
