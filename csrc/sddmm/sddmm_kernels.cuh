// One dot product an edge and head: out[e, h] = sum over d of q[row(e), h, d] * k[indices[e], h, d].
#pragma once

#include "../common/rows.cuh"

namespace graphkern::cuda {

// q: [N, F], k: [M, F], out: [E, H], edge e at row edge[e] (or e). One thread an edge and head, W features at a time.
template <typename T, typename I, int W>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) sddmm_edges(
    const I* __restrict__ indptr, const I* __restrict__ indices, const I* __restrict__ edge, const T* __restrict__ q,
    const T* __restrict__ k, T* __restrict__ out, int64_t num_rows, int64_t num_edges, int64_t features,
    int64_t per_head, Divisor heads) {
  for (int64_t item = first_item(); item < num_edges * heads.value(); item += item_stride()) {
    const int64_t e = heads.quotient(item), head = heads.remainder(item, e);
    const T* left = q + row_of(indptr, num_rows, e) * features + head * per_head;
    const T* right = k + int64_t(indices[e]) * features + head * per_head;
    Accumulate<T> sum = 0;
#pragma unroll 4
    for (int64_t d = 0; d < per_head; d += W) {
      const Vector<T, W> a = load<T, W>(left + d), b = load<T, W>(right + d);
#pragma unroll
      for (int v = 0; v < W; ++v) sum += to_accumulate(a.at[v]) * to_accumulate(b.at[v]);
    }
    out[(edge != nullptr ? int64_t(edge[e]) : e) * heads.value() + head] = from_accumulate<T>(sum);
  }
}

template <typename T, typename I>
struct SddmmArguments {
  const I *indptr, *indices, *edge;
  const T *q, *k;
  T* out;
  int64_t num_rows, num_edges, features, heads;
};

template <typename T, typename I>
void sddmm(Stream stream, const SddmmArguments<T, I>& a) {
  const int64_t per_head = a.heads > 0 ? a.features / a.heads : 0;
  dispatch_width<T>(per_head, is_aligned(a.q) && is_aligned(a.k), [&](auto wide) {
    launch(
        stream, a.num_edges * a.heads, sddmm_edges<T, I, decltype(wide)::width>, a.indptr, a.indices, a.edge, a.q, a.k,
        a.out, a.num_rows, a.num_edges, a.features, per_head, Divisor(a.heads));
  });
}

}  // namespace graphkern::cuda
