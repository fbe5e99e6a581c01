// out[i] = sum or mean over edges e of row i of weight[e] * x[indices[e]], per head.
#pragma once

#include "../common/rows.cuh"

namespace graphkern::cuda {

// x: [M, F], weight: [rows, H] read at edge[e] (or e) or null, out: [N, F]. W features a thread, all of one head.
template <typename T, typename I, int W>
struct SpmmBody {
  using State = Vector<Accumulate<T>, W>;
  static constexpr int V = W;

  const I *indptr, *indices, *edge;
  const T *x, *weight;
  T* out;
  int64_t features, heads;
  Divisor per_head;
  bool mean;

  __device__ State start() const { return State{}; }

  __device__ void add(State& state, int64_t begin, int64_t end, int64_t feature) const {
    const int64_t head = per_head.quotient(feature);
    int64_t e = begin;
#pragma unroll 1
    for (; e + 4 <= end; e += 4) add_edges<4>(state, e, feature, head);
#pragma unroll 1
    for (; e < end; ++e) add_edges<1>(state, e, feature, head);
  }

  __device__ void merge(State& state, const State& later) const {
    for (int v = 0; v < W; ++v) state.at[v] += later.at[v];
  }

  __device__ void finish(const State& state, int64_t row, int64_t feature, int64_t degree) const {
    const Accumulate<T> scale = mean && degree > 1 ? 1 / Accumulate<T>(degree) : Accumulate<T>(1);
    Vector<T, W> result;
    for (int v = 0; v < W; ++v) result.at[v] = from_accumulate<T>(state.at[v] * scale);
    store(out + row * features + feature, result);
  }

 private:
  // All K loads are issued before the first is used.
  template <int K>
  __device__ void add_edges(State& state, int64_t first, int64_t feature, int64_t head) const {
    Vector<T, W> value[K];
    Accumulate<T> scale[K];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      value[k] = load<T, W>(x + int64_t(indices[first + k]) * features + feature);
      scale[k] = 1;
      if (weight != nullptr) {
        const int64_t position = edge != nullptr ? int64_t(edge[first + k]) : first + k;
        scale[k] = to_accumulate(weight[position * heads + head]);
      }
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int v = 0; v < W; ++v) state.at[v] += scale[k] * to_accumulate(value[k].at[v]);
    }
  }
};

template <typename T, typename I>
struct SpmmArguments {
  const I *indptr, *indices, *edge;
  const T *x, *weight;
  T* out;
  int64_t num_rows, num_edges, features, heads;
  bool mean;
};

template <typename T, typename I, typename Allocate>
void spmm(Stream stream, const SpmmArguments<T, I>& a, Allocate&& allocate) {
  const bool aligned = is_aligned(a.x) && is_aligned(a.out);
  const int64_t per_head = a.heads > 0 ? a.features / a.heads : 0;
  dispatch_width<T>(per_head, aligned, [&](auto wide) {
    using Body = SpmmBody<T, I, decltype(wide)::width>;
    const Body body{a.indptr, a.indices, a.edge, a.x, a.weight, a.out, a.features, a.heads, Divisor(per_head), a.mean};
    launch_reduction(stream, body, a.num_rows, a.num_edges, a.features, allocate);
  });
}

}  // namespace graphkern::cuda
