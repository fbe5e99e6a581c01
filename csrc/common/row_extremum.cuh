// out[i] = max or min over edges e of row i of weight[e] * x[indices[e]], and which edge won. The rows are those of a
// graph, or segments, or the places that an index sends entries to.
#pragma once

#include "rows.cuh"

namespace graphkern::cuda {

// x: [B, M, F], weight: [E, H] or null, out, arg: [B, N, F], arg counted from the first edge of the batch, or -1.
// indices: in [0, M); null where edge e is entry e. With batches there are M edges in each, and no weights. W features
// a thread, all of one head.
template <typename T, typename I, int W>
struct RowExtremumBody {
  using A = Accumulate<T>;
  struct State {
    Vector<A, W> best;
    Vector<I, W> edge;  // -1: none yet
  };
  static constexpr int V = W;

  const I *indptr, *indices;
  const T *x, *weight;
  T* out;
  I* arg;
  int64_t features, heads;
  Divisor per_head, batch_edges;
  bool is_max;

  __device__ State start() const {
    State state;
    for (int v = 0; v < W; ++v) {
      state.best.at[v] = 0;
      state.edge.at[v] = -1;
    }
    return state;
  }

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
    for (int v = 0; v < W; ++v) {
      const A best = state.best.at[v], value = other.best.at[v];
      const I edge = other.edge.at[v];
      const bool earlier = !beats(best, value) && edge < state.edge.at[v];
      if (edge >= 0 && (beats(value, best) || earlier || state.edge.at[v] < 0)) set(state, v, value, edge);
    }
  }

  __device__ void finish(const State& state, int64_t row, int64_t feature, int64_t) const {
    Vector<T, W> result;
    for (int v = 0; v < W; ++v) result.at[v] = from_accumulate<T>(state.best.at[v]);
    store(out + row * features + feature, result);
    store(arg + row * features + feature, state.edge);
  }

 private:
  // NaN wins against all else, and the first of equals wins.
  __device__ bool beats(A value, A best) const {
    return (is_max ? value > best : value < best) || (value != value && best == best);
  }

  __device__ void set(State& state, int v, A value, I edge) const {
    state.best.at[v] = value;
    state.edge.at[v] = edge;
  }

  // All K loads are issued before the first is used.
  template <int K>
  __device__ void add_edges(State& state, int64_t first, int64_t step, const T* from, int64_t head) const {
    Vector<T, W> value[K];
    A scale[K];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int64_t e = first + k * step;
      value[k] = load<T, W>(from + (indices != nullptr ? int64_t(indices[e]) : e) * features);
      scale[k] = weight != nullptr ? to_accumulate(weight[e * heads + head]) : A(1);
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int v = 0; v < W; ++v) {
        const A found = scale[k] * to_accumulate(value[k].at[v]);
        if (state.edge.at[v] < 0 || beats(found, state.best.at[v])) set(state, v, found, I(first + k * step));
      }
    }
  }
};

template <typename T, typename I>
struct RowExtremumArguments {
  const I *indptr, *indices;
  const T *x, *weight;
  T* out;
  I* arg;
  int64_t num_rows, num_edges, features, heads;  // rows and edges of a batch
  bool is_max;
  int64_t num_batches = 1;
};

template <typename T, typename I, typename Allocate>
void extreme_rows(Stream stream, const RowExtremumArguments<T, I>& a, Allocate&& allocate) {
  const bool aligned = is_aligned(a.x) && is_aligned(a.out) && is_aligned(a.arg);
  const int64_t per_head = a.heads > 0 ? a.features / a.heads : 0;
  dispatch_width<T>(per_head, aligned, [&](auto wide) {
    using Body = RowExtremumBody<T, I, decltype(wide)::width>;
    const Body body{a.indptr, a.indices,  a.x,     a.weight,          a.out,
                    a.arg,    a.features, a.heads, Divisor(per_head), Divisor(a.num_edges),
                    a.is_max};
    launch_reduction(stream, body, a.num_rows, a.num_edges, a.features, allocate, a.num_batches);
  });
}

}  // namespace graphkern::cuda
