// One dot product an edge and head: out[e, h] = sum over d of q[row(e), h, d] * k[indices[e], h, d].
#pragma once

#include "../common/edge_dots.cuh"

namespace graphkern::cuda {

// q: [N, F], k: [M, F]
template <typename Value, int W>
struct SddmmBody {
  using T = Value;
  static constexpr int V = W;

  const T *q, *k;

  __device__ Accumulate<T> product(const HeadPlace& place, int64_t d) const {
    const Vector<T, W> a = load<T, W>(q + place.row + d), b = load<T, W>(k + place.column + d);
    Accumulate<T> sum = 0;
#pragma unroll
    for (int v = 0; v < W; ++v) sum += to_accumulate(a.at[v]) * to_accumulate(b.at[v]);
    return sum;
  }
};

// out: [E, H], edge e at row edge[e] (or e)
template <typename T, typename I>
void sddmm(Stream stream, const EdgeHeads<I>& shape, const I* edge, const T* q, const T* k, T* out) {
  dispatch_width<T>(shape.per_head, is_aligned(q) && is_aligned(k), [&](auto wide) {
    launch_edge_dots(stream, SddmmBody<T, decltype(wide)::width>{q, k}, shape, edge, out);
  });
}

}  // namespace graphkern::cuda
