// Stable sort of an index: where each bin begins, and the positions in the index, bin by bin.
#pragma once

#include "../common/sort.cuh"

namespace graphkern::cuda {

// keys[i] = index[i], or num_bins where that is not in [0, num_bins): behind all bins.
template <typename I, typename Key>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    bin_keys(const I* __restrict__ index, int64_t size, int64_t num_bins, Key* __restrict__ keys) {
  for (int64_t i = first_item(); i < size; i += item_stride()) {
    const uint64_t bin = uint64_t(int64_t(index[i]));
    keys[i] = Key(bin < uint64_t(num_bins) ? bin : uint64_t(num_bins));
  }
}

template <typename Key, typename I, typename Allocate>
void sort_bins(
    Stream stream, const I* index, int64_t size, int64_t num_bins, I* indptr, I* permutation, Allocate&& allocate) {
  Key* keys = static_cast<Key*>(allocate(size * int64_t(sizeof(Key))));
  launch(stream, size, bin_keys<I, Key>, index, size, num_bins, keys);
  const Key* sorted = sort_keys(stream, keys, size, uint64_t(num_bins), permutation, allocate);
  launch(stream, num_bins + 1, bin_starts<Key, I>, sorted, size, num_bins, indptr);
}

// index, permutation: [size]; indptr: [num_bins + 1]
template <typename I, typename Allocate>
void counting_sort(
    Stream stream, const I* index, int64_t size, int64_t num_bins, I* indptr, I* permutation, Allocate&& allocate) {
  if (num_bins <= kNarrow) {
    sort_bins<uint32_t>(stream, index, size, num_bins, indptr, permutation, allocate);
  } else {
    sort_bins<uint64_t>(stream, index, size, num_bins, indptr, permutation, allocate);
  }
}

}  // namespace graphkern::cuda
