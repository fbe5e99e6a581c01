// What launchers that are given nodes do before they read by them. Compiled once.
#pragma once

#include "checks.h"

namespace graphkern {

// Refuses values of index outside of [0, size).
inline void check_index(const Tensor& index, const char* name, int64_t size) {
  const Tensor values = as_contiguous(index);
  baseline::dispatch_index(is_64bit(index), [&](auto i) {
    const auto* data = static_cast<const typename decltype(i)::type*>(pointer(values));
    for (int64_t n = 0; n < index.size(0); ++n) {
      STD_TORCH_CHECK(data[n] >= 0 && data[n] < size, name, " must be in [0, ", size, ") but has ", data[n]);
    }
  });
}

}  // namespace graphkern
