// Attention whose scores come from a pair of feature rows, forward and backward. A row of the graph has its own
// features (queries) and meets those of its columns (keys); a gradient walks the transpose, where the two change
// places.
#pragma once

#include "attention.cuh"

namespace graphkern::cuda {

// One feature's part in a score: own * other, or att * leaky_relu(own + other).
template <bool kAdditive, typename A>
__device__ inline A score_term(A own, A other, A att, A negative_slope) {
  if constexpr (kAdditive) {
    const A z = own + other;
    return att * (z > 0 ? z : z * negative_slope);
  } else {
    return own * other;
  }
}

// Scores of one head's pairs. own, other: [*, heads, depth]; att: [heads, depth] or null.
template <bool kAdditive, typename T, int W>
struct PairScore {
  using A = Accumulate<T>;
  const T *own, *other, *att;
  A negative_slope;

  struct Own {
    Features<T, W> features, att;
  };

  __device__ Own read(const HeadLayout& layout, const HeadPlace& place) const {
    Own result{};
    result.features = {own + (place.row * layout.heads + place.head) * layout.depth, layout.depth, place};
    if constexpr (kAdditive) result.att = {att + int64_t(place.head) * layout.depth, layout.depth, place};
    return result;
  }

  // This lane's part of the score of row and column; features: those of the column in this tile.
  __device__ A operator()(
      const Own& mine, const Features<T, W>& features, int64_t column, const HeadLayout& layout,
      const HeadPlace& place) const {
    if constexpr (W == 1) {
      if (layout.tiles.value() > 1) return over_tiles(column, layout, place);
    }
    A sum = 0;
#pragma unroll
    for (int r = 0; r < Features<T, W>::R; ++r) {
#pragma unroll
      for (int w = 0; w < W; ++w) {
        sum += score_term<kAdditive>(mine.features(r, w), features(r, w), factor(mine.att, r, w), negative_slope);
      }
    }
    return sum;
  }

 private:
  static __device__ A factor(const Features<T, W>& att, int r, int w) { return kAdditive ? att(r, w) : A(0); }

  __device__ A over_tiles(int64_t column, const HeadLayout& layout, const HeadPlace& place) const {
    const int64_t head = int64_t(place.head) * layout.depth;
    const T* left = own + place.row * layout.features() + head;
    const T* right = other + column * layout.features() + head;
    A sum = 0;
#pragma unroll 1
    for (int d = lane_in_group(place.lanes); d < layout.depth; d += place.step) {
      const A factor = kAdditive ? to_accumulate(att[head + d]) : A(0);
      sum += score_term<kAdditive>(to_accumulate(left[d]), to_accumulate(right[d]), factor, negative_slope);
    }
    return sum;
  }
};

// out: [N, heads, depth], lse: [N, heads]. values: [M, heads, depth], those of the score where additive.
template <bool kAdditive, typename T_, typename I, int W_>
struct PairBody {
  using T = T_;
  using A = Accumulate<T>;
  using State = AttentionState<T, W_, 2, 1>;
  using Score = PairScore<kAdditive, T, W_>;
  using Own = typename Score::Own;
  static constexpr int W = W_;
  static constexpr bool kPositions = false;
  static constexpr int kEdges = 2;

  Graph<I> graph;
  HeadLayout layout;
  Dropout dropout;
  Score score;
  const T* values;
  T* out;
  A* lse;
  A scale;

  __device__ Own own(const HeadPlace& place) const { return score.read(layout, place); }

  __device__ State start() const {
    State state{};
    state.number[0] = -A(INFINITY);
    return state;
  }

  __device__ void add(State& state, const Own& mine, const EdgeBatch<A, kEdges>& edges, const HeadPlace& place) const {
    Features<T, W> other[kEdges], value[kEdges];
    A scores[kEdges], weight[kEdges];
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      const int64_t at = (edges.column[k] * layout.heads + place.head) * layout.depth;
      other[k] = {score.other + at, layout.depth, place};
      if constexpr (!kAdditive) value[k] = {values + at, layout.depth, place};
    }
#pragma unroll
    for (int k = 0; k < kEdges; ++k) scores[k] = score(mine, other[k], edges.column[k], layout, place);
    sum_group(scores, place.lanes);
#pragma unroll
    for (int k = 0; k < kEdges; ++k) scores[k] = edges.exists[k] ? scores[k] * scale : -A(INFINITY);
    add_scores(state, scores, weight);
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      if (edges.exists[k]) add_features(state.sum[0], weight[k] * edges.factor[k], kAdditive ? other[k] : value[k]);
    }
  }

  __device__ void merge(State& state, const State& later) const { merge_softmax(state, later); }

  __device__ void finish(const State& state, const Own&, const HeadPlace& place, int64_t degree) const {
    const int64_t at = place.row * layout.heads + place.head;
    const A factor = degree > 0 ? 1 / state.number[1] : A(0);
    write_sums<T, W>(state.sum[0], factor, out + at * layout.depth, layout.depth, place);
    if (place.is_leader()) lse[at] = state.number[0] + log(state.number[1]);  // -inf for a row without edges
  }
};

// Walks the graph to get gradients of its rows, or the transposed graph to get those of its columns. own_values,
// other_values: the features whose dot product is the gradient of an edge's weight (values and grad); stats: lse and
// delta of the graph's rows. grad_own: as own; grad_own_values: as own_values, or null where these are own. grad_att:
// what each row gives att, as own in the accumulation type, where additive.
template <bool kAdditive, typename T_, typename I, int W_>
struct PairGradientBody {
  using T = T_;
  using A = Accumulate<T>;
  using State = AttentionState<T, W_, 0, 2>;
  using Score = PairScore<kAdditive, T, W_>;
  using Dot = PairScore<false, T, W_>;
  static constexpr int W = W_;
  static constexpr bool kPositions = false;
  static constexpr int kEdges = 1;

  Graph<I> graph;
  HeadLayout layout;
  Dropout dropout;
  Score score;
  Dot by_weight;
  const Vector<A, 2>* stats;
  T *grad_own, *grad_own_values;
  A* grad_att;
  A scale;
  bool transposed;

  struct Own {
    typename Score::Own score;
    typename Dot::Own values;
    Vector<A, 2> stats;
  };

  __device__ Own own(const HeadPlace& place) const {
    Own result{score.read(layout, place), by_weight.read(layout, place), {}};
    if (!transposed) result.stats = stats[place.row * layout.heads + place.head];
    return result;
  }

  __device__ State start() const { return State{}; }

  __device__ void add(State& state, const Own& mine, const EdgeBatch<A, kEdges>& edges, const HeadPlace& place) const {
    Features<T, W> other[kEdges], value[kEdges];
    Vector<A, 2> of_row[kEdges];
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      const int64_t at = edges.column[k] * layout.heads + place.head;
      other[k] = {score.other + at * layout.depth, layout.depth, place};
      value[k] = other[k];
      if (by_weight.other != score.other) value[k] = {by_weight.other + at * layout.depth, layout.depth, place};
      of_row[k] = mine.stats;
      if (transposed && edges.exists[k]) of_row[k] = stats[at];
    }
    A sums[2 * kEdges];
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      sums[2 * k] = score(mine.score, other[k], edges.column[k], layout, place);
      sums[2 * k + 1] = by_weight(mine.values, value[k], edges.column[k], layout, place);
    }
    sum_group(sums, place.lanes);
#pragma unroll
    for (int k = 0; k < kEdges; ++k) {
      if (!edges.exists[k]) continue;
      const A weight = exp(sums[2 * k] * scale - of_row[k].at[0]);
      const A by_score = weight * (sums[2 * k + 1] * edges.factor[k] - of_row[k].at[1]) * scale;
      add_score_gradient(state, by_score, mine, other[k]);
      if (transposed) add_features(state.sum[1], weight * edges.factor[k], value[k]);
    }
  }

  __device__ void merge(State& state, const State& later) const { add_state<0>(state, later); }

  __device__ void finish(State& state, const Own& mine, const HeadPlace& place, int64_t) const {
    const int64_t at = (place.row * layout.heads + place.head) * layout.depth;
    if constexpr (kAdditive) {
#pragma unroll
      for (int r = 0; r < Features<T, W>::R; ++r) {
        const int d = place.first + r * place.step;
#pragma unroll
        for (int w = 0; w < W; ++w) {
          if (d < layout.depth) grad_att[at + d + w] = state.sum[0][r][w] * mine.score.features(r, w);
          state.sum[0][r][w] = state.sum[0][r][w] * mine.score.att(r, w) + state.sum[1][r][w];
        }
      }
    } else if (grad_own_values != nullptr) {
      write_sums<T, W>(state.sum[1], A(1), grad_own_values + at, layout.depth, place);
    }
    write_sums<T, W>(state.sum[0], A(1), grad_own + at, layout.depth, place);
  }

 private:
  // Of the features that own brings, before att.
  __device__ void add_score_gradient(State& state, A by_score, const Own& mine, const Features<T, W>& other) const {
    if constexpr (kAdditive) {
#pragma unroll
      for (int r = 0; r < Features<T, W>::R; ++r) {
#pragma unroll
        for (int w = 0; w < W; ++w) {
          const A z = mine.score.features(r, w) + other(r, w);
          state.sum[0][r][w] += z > 0 ? by_score : by_score * score.negative_slope;
        }
      }
    } else {
      add_features(state.sum[0], by_score, other);
    }
  }
};

}  // namespace graphkern::cuda
