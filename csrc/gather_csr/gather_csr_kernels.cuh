// One copy of a segment's value for each of its entries.
#pragma once

#include "../common/rows.cuh"

namespace graphkern::cuda {

template <typename T, typename I>
struct GatherCsrArguments {
  const I* indptr;
  const T* src;
  T* out;
  int64_t num_batches, num_segments, length, features;
  bool mean;
};

// out[b, l] = src[b, the segment that l is in]; mean: divided by its entries; 0 outside of all segments.
// src: [B, S, K], indptr: [S + 1], out: [B, length, K]. One thread a position and W features.
template <int W, typename T, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    gather_segments(GatherCsrArguments<T, I> a, Divisor columns, Divisor length) {
  for (int64_t i = first_item(); i < a.num_batches * a.length * columns.value(); i += item_stride()) {
    const int64_t at = columns.quotient(i), batch = length.quotient(at), position = length.remainder(at, batch);
    Vector<T, W> value{};
    if (a.num_segments > 0) {
      const int64_t segment = row_of(a.indptr, a.num_segments, position);
      const int64_t begin = a.indptr[segment], end = a.indptr[segment + 1];
      if (begin <= position && position < end) {
        const int64_t row = batch * a.num_segments + segment;
        value = load<T, W>(a.src + row * a.features + columns.remainder(i, at) * W);
        if (a.mean && end - begin > 1) {
          for (T& v : value.at) v = from_accumulate<T>(to_accumulate(v) / Accumulate<T>(end - begin));
        }
      }
    }
    store(a.out + i * W, value);
  }
}

template <typename T, typename I>
void gather_csr(Stream stream, const GatherCsrArguments<T, I>& a) {
  dispatch_width<T>(a.features, is_aligned(a.src) && is_aligned(a.out), [&](auto wide) {
    constexpr int W = decltype(wide)::width;
    const Divisor columns(a.features / W);
    launch(stream, a.num_batches * a.length * columns.value(), gather_segments<W, T, I>, a, columns, Divisor(a.length));
  });
}

}  // namespace graphkern::cuda
