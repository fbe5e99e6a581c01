// Gradients of max and min over the edges of each row of weight[e] * x[indices[e]], given which edge won.
#pragma once

#include "../common/rows.cuh"

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

// out[e, h] = sum over the features of head h that e won of grad[row(e)] * x[indices[e]]. One thread an edge and head.
// grad, arg: [N, F], x: [M, F], out: [E, H].
template <typename T, typename I, int W>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) extremum_grad_weight(
    const I* __restrict__ indptr, const I* __restrict__ indices, const T* __restrict__ grad, const I* __restrict__ arg,
    const T* __restrict__ x, T* __restrict__ out, int64_t num_rows, int64_t num_edges, int64_t features,
    int64_t per_head, Divisor heads) {
  for (int64_t item = first_item(); item < num_edges * heads.value(); item += item_stride()) {
    const int64_t e = heads.quotient(item), first = heads.remainder(item, e) * per_head;
    const int64_t target = row_of(indptr, num_rows, e) * features + first;
    const int64_t source = int64_t(indices[e]) * features + first;
    Accumulate<T> sum = 0;
#pragma unroll 2
    for (int64_t d = 0; d < per_head; d += W) {
      const Vector<I, W> winner = load<I, W>(arg + target + d);
      const Vector<T, W> upstream = load<T, W>(grad + target + d);
      const Vector<T, W> value = load<T, W>(x + source + d);
#pragma unroll
      for (int v = 0; v < W; ++v) {
        if (winner.at[v] == I(e)) sum += to_accumulate(upstream.at[v]) * to_accumulate(value.at[v]);
      }
    }
    out[item] = from_accumulate<T>(sum);
  }
}

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

template <typename T, typename I>
struct ExtremumGradWeightArguments {
  const I *indptr, *indices;
  const T* grad;
  const I* arg;
  const T* x;
  T* out;
  int64_t num_rows, num_edges, features, heads;
};

template <typename T, typename I>
void spmm_extremum_grad_weight(Stream stream, const ExtremumGradWeightArguments<T, I>& a) {
  const bool aligned = is_aligned(a.grad) && is_aligned(a.arg) && is_aligned(a.x);
  const int64_t per_head = a.heads > 0 ? a.features / a.heads : 0;
  dispatch_width<T>(per_head, aligned, [&](auto wide) {
    launch(
        stream, a.num_edges * a.heads, extremum_grad_weight<T, I, decltype(wide)::width>, a.indptr, a.indices, a.grad,
        a.arg, a.x, a.out, a.num_rows, a.num_edges, a.features, per_head, Divisor(a.heads));
  });
}

}  // namespace graphkern::cuda
