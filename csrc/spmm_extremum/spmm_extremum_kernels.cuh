// Gradients of max and min over the edges of each row of weight[e] * x[indices[e]], given which edge won.
#pragma once

#include "../common/edge_dots.cuh"

namespace graphkern::cuda {

// out[j] = sum over edges e of column j that won of weight[e] * grad[row]. Rows of the transpose are columns.
// grad, arg: [N, F], weight: [E, H] or null, out: [M, F].
template <typename T, typename I, int W>
struct ExtremumGradXBody {
  using A = Accumulate<T>;
  using State = Vector<A, W>;
  static constexpr int V = W;

  const I *indptr, *indices, *edge;  // the transpose
  const T* grad;
  const I* arg;
  const T* weight;
  T* out;
  int64_t features, heads;
  Divisor per_head;

  __device__ State start() const { return State{}; }

  __device__ void add(State& state, int64_t begin, int64_t end, int64_t step, int64_t feature) const {
    const int64_t head = per_head.quotient(feature);
    int64_t e = begin;
#pragma unroll 1
    for (; e + step < end; e += 2 * step) add_edges<2>(state, e, step, feature, head);
#pragma unroll 1
    for (; e < end; e += step) add_edges<1>(state, e, step, feature, head);
  }

  __device__ void merge(State& state, const State& other) const {
    for (int v = 0; v < W; ++v) state.at[v] += other.at[v];
  }

  __device__ void finish(const State& state, int64_t row, int64_t feature, int64_t) const {
    Vector<T, W> result;
    for (int v = 0; v < W; ++v) result.at[v] = from_accumulate<T>(state.at[v]);
    store(out + row * features + feature, result);
  }

 private:
  template <int K>
  __device__ void add_edges(State& state, int64_t first, int64_t step, int64_t feature, int64_t head) const {
    Vector<T, W> value[K];
    Vector<I, W> winner[K];
    A scale[K];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int64_t entry = int64_t(indices[first + k * step]) * features + feature;
      winner[k] = load<I, W>(arg + entry);
      value[k] = load<T, W>(grad + entry);
      scale[k] = weight != nullptr ? to_accumulate(weight[int64_t(edge[first + k * step]) * heads + head]) : A(1);
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const I self = edge[first + k * step];
#pragma unroll
      for (int v = 0; v < W; ++v) {
        if (winner[k].at[v] == self) state.at[v] += scale[k] * to_accumulate(value[k].at[v]);
      }
    }
  }
};

// Of the dot products of grad[row(e)] and x[indices[e]] the features that e won. grad, arg: [N, F], x: [M, F].
template <typename Value, typename I, int W>
struct ExtremumGradWeightBody {
  using T = Value;
  static constexpr int V = W;

  const T* grad;
  const I* arg;
  const T* x;

  __device__ Accumulate<T> product(const HeadPlace& place, int64_t d) const {
    const Vector<I, W> winner = load<I, W>(arg + place.row + d);
    const Vector<T, W> upstream = load<T, W>(grad + place.row + d);
    const Vector<T, W> value = load<T, W>(x + place.column + d);
    Accumulate<T> sum = 0;
#pragma unroll
    for (int v = 0; v < W; ++v) {
      if (winner.at[v] == I(place.edge)) sum += to_accumulate(upstream.at[v]) * to_accumulate(value.at[v]);
    }
    return sum;
  }
};

template <typename T, typename I>
struct ExtremumGradXArguments {
  const I *t_indptr, *t_indices, *t_edge;
  const T* grad;
  const I* arg;
  const T* weight;
  T* out;
  int64_t num_cols, num_edges, features, heads;
};

template <typename T, typename I, typename Allocate>
void spmm_extremum_grad_x(Stream stream, const ExtremumGradXArguments<T, I>& a, Allocate&& allocate) {
  const bool aligned = is_aligned(a.grad) && is_aligned(a.arg) && is_aligned(a.out);
  const int64_t per_head = a.heads > 0 ? a.features / a.heads : 0;
  dispatch_width<T>(per_head, aligned, [&](auto wide) {
    using Body = ExtremumGradXBody<T, I, decltype(wide)::width>;
    const Body body{a.t_indptr, a.t_indices, a.t_edge,   a.grad,  a.arg,
                    a.weight,   a.out,       a.features, a.heads, Divisor(per_head)};
    launch_reduction(stream, body, a.num_cols, a.num_edges, a.features, allocate);
  });
}

// out: [E, H]
template <typename T, typename I>
void spmm_extremum_grad_weight(
    Stream stream, const EdgeHeads<I>& shape, const T* grad, const I* arg, const T* x, T* out) {
  const bool aligned = is_aligned(grad) && is_aligned(arg) && is_aligned(x);
  dispatch_width<T>(shape.per_head, aligned, [&](auto wide) {
    using Body = ExtremumGradWeightBody<T, I, decltype(wide)::width>;
    launch_edge_dots(stream, Body{grad, arg, x}, shape, static_cast<const I*>(nullptr), out);
  });
}

}  // namespace graphkern::cuda
