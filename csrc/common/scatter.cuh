// Where an index [B or 1, L, K or 1] sends the entries of a tensor [B, L, K]: the same for gathers and scatters.
//
// The entries of the index, counted through, are E; each stands for `width` values, in each of `repeats` batches, and
// goes to one of G places: src is [repeats, E, width] and the result [repeats, G, width].
#pragma once

#include <type_traits>

#include "sort.cuh"

namespace graphkern::cuda {

// index: [batches, length, columns], values in [0, num_rows).
template <typename I>
struct ScatterIndex {
  const I* index;
  int64_t num_rows;
  Divisor batch, columns;  // entries of a batch, of a row
  int64_t batches;

  __host__ __device__ int64_t num_entries() const { return batches * batch.value(); }
  __host__ __device__ int64_t num_places() const { return batches * num_rows * columns.value(); }

  // The place of an entry; num_places() if its index is out of range.
  __device__ int64_t place(int64_t entry) const {
    const int64_t row = index[entry];
    if (row < 0 || row >= num_rows) return num_places();
    const int64_t column = columns.remainder(entry, columns.quotient(entry));
    return (batch.quotient(entry) * num_rows + row) * columns.value() + column;
  }
};

template <typename I>
ScatterIndex<I> scatter_index(const I* index, int64_t batches, int64_t length, int64_t columns, int64_t num_rows) {
  return {index, num_rows, Divisor(length * columns), Divisor(columns), batches};
}

template <typename I, typename Key>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) place_keys(ScatterIndex<I> index, Key* __restrict__ keys) {
  for (int64_t entry = first_item(); entry < index.num_entries(); entry += item_stride()) {
    keys[entry] = Key(index.place(entry));
  }
}

// The entries by place, those of a place in order: place g has entry[starts[g]] up to entry[starts[g + 1]]. Entries
// whose index is out of range are in no place. starts: [G + 1], entry: [E]
template <typename P>
struct EntriesByPlace {
  const P *starts, *entry;
};

// P: int64_t, or int32_t where is_narrow(index).
template <typename P, typename I, typename Allocate>
EntriesByPlace<P> sort_entries(Stream stream, const ScatterIndex<I>& index, Allocate&& allocate) {
  using Key = std::make_unsigned_t<P>;
  const int64_t entries = index.num_entries(), places = index.num_places();
  Key* keys = static_cast<Key*>(allocate(entries * int64_t(sizeof(Key))));
  P* entry = static_cast<P*>(allocate(entries * int64_t(sizeof(P))));
  P* starts = static_cast<P*>(allocate((places + 1) * int64_t(sizeof(P))));
  launch(stream, entries, place_keys<I, Key>, index, keys);
  const Key* sorted = sort_keys(stream, keys, entries, uint64_t(places), entry, allocate);
  launch(stream, places + 1, bin_starts<Key, P>, sorted, entries, places, starts);
  return {starts, entry};
}

template <typename I>
bool is_narrow(const ScatterIndex<I>& index) {
  return index.num_entries() <= kNarrow && index.num_places() <= kNarrow;
}

}  // namespace graphkern::cuda
