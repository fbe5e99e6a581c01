// Where the rows are that an index names: in a table, or in a cache of some of its rows.
#pragma once

#include "../common/gather.cuh"

namespace graphkern::cuda {

// x: [num_rows, row_bytes], on the device or in host memory that it reads; hot: [num_hot, row_bytes]; slot: [num_rows],
// null for no cache.
template <typename I>
struct CachedRows {
  const I* index;
  const int32_t* slot;
  const char *x, *hot;
  int64_t num_rows, num_hot, row_bytes;

  // Null where the index or the slot is out of range.
  __device__ const void* row(int64_t entry) const {
    const int64_t at = index[entry];
    if (at < 0 || at >= num_rows) return nullptr;
    const int64_t place = slot ? slot[at] : -1;
    if (place < 0) return x + at * row_bytes;
    return place < num_hot ? hot + place * row_bytes : nullptr;
  }
};

}  // namespace graphkern::cuda
