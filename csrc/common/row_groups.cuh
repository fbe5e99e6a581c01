// Entries grouped by the row that each of them names, the rows in order, the entries of a row in order.
#pragma once

#include "sort.cuh"

namespace graphkern::cuda {

// Group g is the entries positions[begin[g]] ... positions[begin[g + 1] - 1], of row keys[begin[g]]; from *count on
// groups are empty. keys, positions: [size], begin: [size + 1].
template <typename Key, typename P>
struct RowGroups {
  const Key* keys;
  const P *positions, *begin, *count;

  __device__ int64_t row(int64_t group) const { return int64_t(keys[begin[group]]); }
};

template <typename Key>
struct BeginsGroup {
  const Key* keys;
  __device__ bool operator()(int64_t i) const { return i == 0 || keys[i] != keys[i - 1]; }
};

template <typename Row, typename Key>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) row_keys(Row row, int64_t size, Key* __restrict__ keys) {
  for (int64_t i = first_item(); i < size; i += item_stride()) keys[i] = Key(row(i));
}

// group[i]: how many groups begin before entry i, [size + 1].
template <typename Key, typename P>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    group_begins(BeginsGroup<Key> begins, const P* __restrict__ group, int64_t size, P* __restrict__ begin) {
  const int64_t count = group[size];
  for (int64_t i = first_item(); i <= size; i += item_stride()) {
    if (i >= count) begin[i] = P(size);
    if (i < size && begins(i)) begin[group[i]] = P(i);
  }
}

// row(i) of entry i, in [0, num_rows). allocate(bytes) gives device memory that lives until the kernels ran. Memory:
// 24 bytes an entry, or 48 where Key and P have 64 bits.
template <typename Key, typename P, typename Row, typename Allocate>
RowGroups<Key, P> group_rows(Stream stream, const Row& row, int64_t size, int64_t num_rows, Allocate&& allocate) {
  const auto make = [&](int64_t count) { return static_cast<P*>(allocate(count * int64_t(sizeof(P)))); };
  Key* keys = static_cast<Key*>(allocate(size * int64_t(sizeof(Key))));
  P *positions = make(size), *group = make(size + 1), *begin = make(size + 1);
  launch(stream, size, row_keys<Row, Key>, row, size, keys);
  const Key* sorted = sort_keys(stream, keys, size, uint64_t(num_rows > 0 ? num_rows - 1 : 0), positions, allocate);
  const BeginsGroup<Key> begins{sorted};
  exclusive_scan<P>(stream, begins, size, group, allocate);
  launch(stream, size + 1, group_begins<Key, P>, begins, group, size, begin);
  return {sorted, positions, begin, group + size};
}

// Calls f(key, position), zeros of the narrowest types that do.
template <typename F>
void dispatch_groups(int64_t size, int64_t num_rows, const F& f) {
  if (size <= kNarrow && num_rows <= kNarrow) {
    f(uint32_t(0), int32_t(0));
  } else {
    f(uint64_t(0), int64_t(0));
  }
}

}  // namespace graphkern::cuda
