// Graph attention whose scores are sums of a number of each end: one pass over the graph, and one over its transpose
// for the gradients.
#pragma once

#include "../common/attention.cuh"

namespace graphkern::cuda {

// alpha_src: [*, heads] by column, alpha_dst: [*, heads] by row, alpha_edge: [E, heads] by position, or null.
template <typename T>
struct GatScore {
  using A = Accumulate<T>;
  const T *alpha_src, *alpha_dst, *alpha_edge;
  A negative_slope;

  // Of the edge at `position`, before the leaky ReLU. other: alpha of its other end, by column.
  __device__ A operator()(A own, const T* other, int64_t column, int64_t position, int heads, int head) const {
    const A score = own + to_accumulate(other[column * heads + head]);
    return alpha_edge == nullptr ? score : score + to_accumulate(alpha_edge[position * heads + head]);
  }
};

// x: [M, heads, depth], out: [N, heads, depth], lse: [N, heads]; where not null, the parts of the edges of positive
// score: positive_out [N, heads, depth], positive_total [N, heads].
template <typename T_, typename I, int W_>
struct GatBody {
  using T = T_;
  using A = Accumulate<T>;
  using State = AttentionState<T, W_, 3, 2>;  // the third number: the weights of positive scores
  using Own = A;                              // alpha_dst
  static constexpr int W = W_;
  static constexpr bool kPositions = true;
  static constexpr int kEdges = 2;

  Graph<I> graph;
  HeadLayout layout;
  Dropout dropout;
  GatScore<T> score;
  const T* x;
  T* out;
  A *lse, *positive_out, *positive_total;

  __device__ Own own(const HeadPlace& place) const {
    return to_accumulate(score.alpha_dst[place.row * layout.heads + place.head]);
  }

  __device__ State start() const {
    State state{};
    state.number[0] = -A(INFINITY);
    return state;
  }

  __device__ void add(State& state, Own own, const EdgeBatch<A, kEdges>& edges, const HeadPlace& place) const {
    Features<T, W> value[kEdges];
    A scores[kEdges], weight[kEdges];
    bool positive[kEdges];
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      const int64_t column = edges.column[k];
      value[k] = {x + (column * layout.heads + place.head) * layout.depth, layout.depth, place};
      scores[k] = -A(INFINITY);
      positive[k] = false;
      if (!edges.exists[k]) continue;
      const A s = score(own, score.alpha_src, column, edges.position[k], layout.heads, place.head);
      positive[k] = s > 0;
      scores[k] = s > 0 ? s : s * score.negative_slope;
    }
    add_scores(state, scores, weight);
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      if (edges.exists[k]) add_features(state.sum[0], weight[k] * edges.factor[k], value[k]);
      if (positive_out == nullptr || !positive[k]) continue;
      state.number[2] += weight[k];
      add_features(state.sum[1], weight[k] * edges.factor[k], value[k]);
    }
  }

  __device__ void merge(State& state, const State& later) const { merge_softmax(state, later); }

  __device__ void finish(const State& state, Own, const HeadPlace& place, int64_t degree) const {
    const int64_t at = place.row * layout.heads + place.head;
    const A factor = degree > 0 ? 1 / state.number[1] : A(0);
    write_sums<T, W>(state.sum[0], factor, out + at * layout.depth, layout.depth, place);
    if (positive_out != nullptr) {
      write_sums<A, W>(state.sum[1], factor, positive_out + at * layout.depth, layout.depth, place);
    }
    if (!place.is_leader()) return;
    lse[at] = state.number[0] + log(state.number[1]);  // -inf for a row without edges
    if (positive_out != nullptr) positive_total[at] = state.number[2] * factor;
  }
};

// graph: the transpose, its rows the M columns. grad: [N, heads, depth], x, grad_x: [M, heads, depth], stats: of the N
// rows; grad_src: [M, heads], grad_edge: [E, heads] or null.
template <typename T_, typename I, int W_>
struct GatGradientBody {
  using T = T_;
  using A = Accumulate<T>;
  using State = AttentionState<T, W_, 1, 1>;  // the number: the sum of the scores' gradients
  static constexpr int W = W_;
  static constexpr bool kPositions = true;
  static constexpr int kEdges = 2;

  Graph<I> graph;
  HeadLayout layout;
  Dropout dropout;
  GatScore<T> score;
  const T *grad, *x;
  const Vector<A, 2>* stats;
  T *grad_x, *grad_src, *grad_edge;

  struct Own {
    Features<T, W> x;
    A alpha;
  };

  __device__ Own own(const HeadPlace& place) const {
    const int64_t at = place.row * layout.heads + place.head;
    return {{x + at * layout.depth, layout.depth, place}, to_accumulate(score.alpha_src[at])};
  }

  __device__ State start() const { return State{}; }

  __device__ void add(State& state, const Own& own, const EdgeBatch<A, kEdges>& edges, const HeadPlace& place) const {
    Features<T, W> value[kEdges];
    A dot[kEdges];
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      const int64_t at = edges.column[k] * layout.heads + place.head;
      value[k] = {grad + at * layout.depth, layout.depth, place};
      dot[k] = product(own, value[k], at, place);
    }
    sum_group(dot, place.lanes);
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      if (!edges.exists[k]) continue;
      const int64_t column = edges.column[k], position = edges.position[k];
      const Vector<A, 2> of_row = stats[column * layout.heads + place.head];
      const A s = score(own.alpha, score.alpha_dst, column, position, layout.heads, place.head);
      const A turn = s > 0 ? A(1) : score.negative_slope, weight = exp(s * turn - of_row.at[0]);
      const A by_score = weight * (dot[k] * edges.factor[k] - of_row.at[1]) * turn;
      state.number[0] += by_score;
      add_features(state.sum[0], weight * edges.factor[k], value[k]);
      if (grad_edge != nullptr && place.is_leader()) {
        grad_edge[position * layout.heads + place.head] = from_accumulate<T>(by_score);
      }
    }
  }

  __device__ void merge(State& state, const State& later) const { add_state<0>(state, later); }

  __device__ void finish(const State& state, const Own&, const HeadPlace& place, int64_t) const {
    const int64_t at = place.row * layout.heads + place.head;
    write_sums<T, W>(state.sum[0], A(1), grad_x + at * layout.depth, layout.depth, place);
    if (place.is_leader()) grad_src[at] = from_accumulate<T>(state.number[0]);
  }

 private:
  // This lane's part of x . grad.
  __device__ A product(const Own& own, const Features<T, W>& value, int64_t at, const HeadPlace& place) const {
    A sum = 0;
    if constexpr (W == 1) {
      if (layout.tiles.value() > 1) {
        const T* mine = x + (place.row * layout.heads + place.head) * layout.depth;
        for (int d = lane_in_group(place.lanes); d < layout.depth; d += place.step) {
          sum += to_accumulate(mine[d]) * to_accumulate(grad[at * layout.depth + d]);
        }
        return sum;
      }
    }
#pragma unroll
    for (int r = 0; r < Features<T, W>::R; ++r) {
#pragma unroll
      for (int w = 0; w < W; ++w) sum += own.x(r, w) * value(r, w);
    }
    return sum;
  }
};

// The softmax's weights of a row sum to 1 and their gradients' mean is delta: so the score's gradients before the leaky
// ReLU sum to 0, and what alpha_dst gets is (1 - slope) times the part of the positive scores. grad, positive_out: [N,
// heads, depth], stats, positive_total, grad_dst: [N, heads]
template <typename T, int W>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) gat_grad_dst(
    const T* __restrict__ grad, const Accumulate<T>* __restrict__ positive_out,
    const Accumulate<T>* __restrict__ positive_total, const Vector<Accumulate<T>, 2>* __restrict__ stats,
    int64_t num_items, int64_t depth, int lanes, Accumulate<T> negative_slope, T* __restrict__ grad_dst) {
  using A = Accumulate<T>;
  for_groups(lanes, num_items, [&](int64_t item, bool present) {
    A dot[1] = {0};
    for (int64_t d = lane_in_group(lanes) * W; d < depth; d += lanes * W) {
      const Vector<T, W> g = load<T, W>(grad + item * depth + d);
      const Vector<A, W> o = load<A, W>(positive_out + item * depth + d);
#pragma unroll
      for (int w = 0; w < W; ++w) dot[0] += to_accumulate(g.at[w]) * o.at[w];
    }
    sum_group(dot, lanes);
    if (!present || lane_in_group(lanes) != 0) return;
    const A part = dot[0] - stats[item].at[1] * positive_total[item];
    grad_dst[item] = from_accumulate<T>((1 - negative_slope) * part);
  });
}

}  // namespace graphkern::cuda
