// The way back of a scatter: rows or values taken by an index.
#pragma once

#include "../common/gather.cuh"
#include "../common/scatter.cuh"

namespace graphkern::cuda {

// x: [repeats, G, row_bytes], where row_bytes are what an entry of the index stands for; see scatter.cuh.
template <typename I>
struct IndexedRows {
  ScatterIndex<I> index;
  Divisor entries;  // of the index
  const char* x;
  int64_t row_bytes;

  // Of an entry of [repeats, E]; null where the index is out of range.
  __device__ const void* row(int64_t entry) const {
    const int64_t batch = entries.quotient(entry), place = index.place(entries.remainder(entry, batch));
    return place < index.num_places() ? x + (batch * index.num_places() + place) * row_bytes : nullptr;
  }
};

}  // namespace graphkern::cuda
