// out[i] = sum or mean over edges e of row i of weight[e] * x[indices[e]], per head. The rows are those of a graph, or
// segments, or the places that an index sends entries to.
#pragma once

#include "rows.cuh"

namespace graphkern::cuda {

// x: [B, M, F], weight: [rows, H] read at edge[e] (or e) or null, out: [B, N, F]. indices: in [0, M); null where edge e
// is entry e. With batches there are M edges in each, and no weights. W features a thread, all of one head.
template <typename T, typename I, int W>
struct RowSumBody {
  using State = Vector<Accumulate<T>, W>;
  static constexpr int V = W;

  const I *indptr, *indices, *edge;
  const T *x, *weight;
  T* out;
  int64_t features, heads;
  Divisor per_head, batch_edges;
  bool mean;

  __device__ State start() const { return State{}; }

  __device__ void add(State& state, int64_t begin, int64_t end, int64_t step, int64_t feature) const {
    const int64_t head = per_head.quotient(feature), first = batch_edges.quotient(begin) * batch_edges.value();
    const T* from = x + first * features + feature;
    int64_t e = begin - first;
#pragma unroll 1
    for (; e + 3 * step < end - first; e += 4 * step) add_edges<4>(state, e, step, from, head);
#pragma unroll 1
    for (; e < end - first; e += step) add_edges<1>(state, e, step, from, head);
  }

  __device__ void merge(State& state, const State& other) const {
    for (int v = 0; v < W; ++v) state.at[v] += other.at[v];
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
  __device__ void add_edges(State& state, int64_t first, int64_t step, const T* from, int64_t head) const {
    Vector<T, W> value[K];
    Accumulate<T> scale[K];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int64_t e = first + k * step;
      value[k] = load<T, W>(from + (indices != nullptr ? int64_t(indices[e]) : e) * features);
      scale[k] = 1;
      if (weight != nullptr) {
        scale[k] = to_accumulate(weight[(edge != nullptr ? int64_t(edge[e]) : e) * heads + head]);
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
struct RowSumArguments {
  const I *indptr, *indices, *edge;
  const T *x, *weight;
  T* out;
  int64_t num_rows, num_edges, features, heads;  // rows and edges of a batch
  bool mean;
  int64_t num_batches = 1;
};

template <typename T, typename I, typename Allocate>
void sum_rows(Stream stream, const RowSumArguments<T, I>& a, Allocate&& allocate) {
  const bool aligned = is_aligned(a.x) && is_aligned(a.out);
  const int64_t per_head = a.heads > 0 ? a.features / a.heads : 0;
  dispatch_width<T>(per_head, aligned, [&](auto wide) {
    using Body = RowSumBody<T, I, decltype(wide)::width>;
    const Body body{
        a.indptr, a.indices, a.edge, a.x, a.weight, a.out, a.features, a.heads, Divisor(per_head), Divisor(a.num_edges),
        a.mean};
    launch_reduction(stream, body, a.num_rows, a.num_edges, a.features, allocate, a.num_batches);
  });
}

}  // namespace graphkern::cuda
