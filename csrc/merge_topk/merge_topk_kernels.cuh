// The k best of several lists a row.
#pragma once

#include "../common/topk.cuh"

#ifndef GPU_MERGE_LISTS
#define GPU_MERGE_LISTS 32  // that a kernel takes; tests choose few
#endif

namespace graphkern::cuda {

constexpr int kMaxLists = GPU_MERGE_LISTS;

// values, indices: [B, size] each; begin: where each list's places begin among those of all.
template <typename T>
struct ScoredLists {
  const T* values[kMaxLists];
  const int64_t* indices[kMaxLists];
  int64_t begin[kMaxLists + 1];
  int count;

  // The key of a row's place i; 0 for NaN, -inf and negative indices.
  __device__ WideKey operator()(int64_t row, int64_t i) const {
    int list = 0;
    while (i >= begin[list + 1]) ++list;
    const int64_t at = row * (begin[list + 1] - begin[list]) + i - begin[list];
    const Accumulate<T> score = to_accumulate(values[list][at]);
    const int64_t index = indices[list][at];
    return index >= 0 && score > -Accumulate<T>(INFINITY) ? key_of<WideKey>(score, index) : WideKey(0);
  }
};

// best, columns: [num_rows, k]
template <typename T, typename Allocate>
void merge_topk(
    Stream stream, const ScoredLists<T>& lists, int64_t num_rows, int64_t k, T* best, int64_t* columns,
    Allocate&& allocate) {
  merge_best<WideKey>(stream, lists, num_rows, lists.begin[lists.count], k, best, columns, allocate);
}

}  // namespace graphkern::cuda
