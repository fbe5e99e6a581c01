// Attention whose scores come from a pair of feature rows, forward and backward. A row of the graph has its own
// features (queries) and meets those of its columns (keys); a gradient walks the transpose, where the two change
// places.
#pragma once

#include "attention_forward.h"
#include "edge_dots.h"

namespace graphkern {

// score[e, h] = scale * sum over d of term(own[row, h, d], other[column(e), h, d]). own, other: [*, all, depth];
// att: [all, depth] or null
struct PairArgs : AttentionArgs {
  const void *own, *other, *att;
  double scale, negative_slope;
};

// Walks the graph to get gradients of its rows, or the transposed graph to get those of its columns. own, other as
// above; own_values, other_values: the features whose dot product is the gradient of an edge's weight (values and
// grad); stats: lse and delta of the graph's rows, [N, 2, all] in the accumulation type. grad_own: as own;
// grad_own_values: as own_values, or null where own_values are own.
struct PairBackwardArgs {
  Value value;
  Graph graph;
  Heads heads;
  Dropout dropout;
  bool transposed;
  const void *own, *own_values, *other, *other_values, *att, *stats;
  void *grad_own, *grad_own_values;
  double scale, negative_slope;
};

// delta = grad . out; stats: [N, 2, all], lse and delta
struct PairStatsArgs {
  Value value;
  Heads heads;
  const void *grad, *out, *lse;
  void* stats;
};

namespace GK_ISA {

// Each head of an edge scores the dot product of its features.
struct DotScore {
  static constexpr bool kAdditive = false;
  template <typename T, typename Args>
  static auto term(const Args&) {
    using A = Accumulate<T>;
    return [](Vec<A> own, Vec<A> other, int64_t, int) { return own * other; };
  }
};

// att . leaky_relu(own + other)
struct AdditiveScore {
  static constexpr bool kAdditive = true;
  template <typename T, typename Args>
  static auto term(const Args& a) {
    using A = Accumulate<T>;
    const T* att = static_cast<const T*>(a.att);
    const A slope = A(a.negative_slope);
    return [=](Vec<A> own, Vec<A> other, int64_t f, int n) {
      const Vec<A> z = own + other;
      return load_some(att + f, n) * (z > Vec<A>{} ? z : z * slope);
    };
  }
};

template <typename Score, typename T>
inline void weigh_pairs(const PairArgs& a, RowWeights<T>& row, int64_t number) {
  using A = Accumulate<T>;
  const int64_t period = a.heads.period(), size = row.edges.count * period;
  const T* own = static_cast<const T*>(a.own) + number * a.heads.stride();
  const auto term = Score::template term<T>(a);
  const T* other = static_cast<const T*>(a.other);
  const Ahead<T> ahead{other, a.other == a.values ? nullptr : other};
  edge_dots(row.edges, a.heads, own, other, ahead, term, row.weight);
  const A scale = A(a.scale);
  softmax<A>(
      size, period, [&](int64_t i, int64_t) { return load(row.weight + i) * scale; }, row.weight, row.maximum,
      row.total);
  if (!a.dropout.active) return;
  keep_factors(a.dropout, row.edges, a.heads, row.positive);
  for (int64_t i = 0; i < size; ++i) row.weight[i] *= row.positive[i];
}

template <typename Score>
inline auto pair_weigher(const PairArgs& a) {
  return [&](auto t, auto& row, int64_t number) { weigh_pairs<Score, typename decltype(t)::type>(a, row, number); };
}

inline void pair_stats(const PairStatsArgs& a, int64_t first, int64_t last) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const int64_t all = a.heads.all;
    for (int64_t row = first; row < last; ++row) {
      const T* grad = static_cast<const T*>(a.grad) + row * a.heads.stride();
      const T* out = static_cast<const T*>(a.out) + row * a.heads.stride();
      A* stats = static_cast<A*>(a.stats) + row * 2 * all;
      for (int64_t h = 0; h < all; ++h) stats[h] = static_cast<const A*>(a.lse)[row * all + h];
      head_dots<A>(
          all, a.heads.depth, [&](int64_t f, int n) { return load_some(grad + f, n) * load_some(out + f, n); },
          stats + all);
    }
  });
}

// Edges of one row of the walk: their kept weights and the gradients of their scores.
template <typename T>
struct PairGradients {
  using A = Accumulate<T>;
  Edges edges;
  A weight[kScores<A>], grad_score[kScores<A>], lse[kScores<A>], delta[kScores<A>], keep[kScores<A>];

  template <typename Score>
  void weigh(const PairBackwardArgs& a, int64_t row) {
    const int64_t period = a.heads.period(), size = edges.count * period, all = a.heads.all;
    const int64_t start = row * a.heads.stride();
    const T *own = static_cast<const T*>(a.own) + start, *own_values = static_cast<const T*>(a.own_values) + start;
    const T *other = static_cast<const T*>(a.other), *values = static_cast<const T*>(a.other_values);
    // Prefetches are spread over the walks, to keep the memory busy all the time; pair_sums does `other` beyond the
    // row.
    const bool same = other == values;
    const Ahead<T> first{other, same ? nullptr : values}, second{same ? nullptr : values, nullptr};
    edge_dots(edges, a.heads, own, other, first, Score::template term<T>(a), weight);
    edge_dots(edges, a.heads, own_values, values, second, DotScore::term<T>(a), grad_score);
    const A* stats = static_cast<const A*>(a.stats);
    if (a.transposed) {
      gather_heads<2>(edges, a.heads, stats, {lse, delta});
    } else {
      spread_heads(stats + row * 2 * all, a.heads.heads, period, lse);
      spread_heads(stats + row * 2 * all + all, a.heads.heads, period, delta);
    }
    if (a.dropout.active) keep_factors(a.dropout, edges, a.heads, keep);
    const A scale = A(a.scale);
    for_scores<A>(
        size, period,
        [&](int64_t i, int64_t first) {
          const int64_t at = a.transposed ? i : first;
          const Vec<A> p = exp(load(weight + i) * scale - load(lse + at));
          const Vec<A> factor = a.dropout.active ? load(keep + i) : Vec<A>{} + 1;
          store(p * (load(grad_score + i) * factor - load(delta + at)) * scale, grad_score + i);
          store(p * factor, weight + i);
        },
        [](int64_t) {});
  }
};

// Sums over the edges of grad_score * (other, or leaky_relu'(own + other)) and, with kValues, of weight * other_values,
// kRegisters registers from feature `first` on. Then finish(register, sum, sum of values).
template <typename Score, bool kValues, int kRegisters, int kHeads, typename T, typename F>
inline void pair_sums(
    const PairBackwardArgs& a, const PairGradients<T>& row, const T* own, int64_t first, int width, const F& finish) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const int64_t stride = a.heads.stride(), period = a.heads.period();
  const T *rows = static_cast<const T*>(a.other) + first, *values = static_cast<const T*>(a.other_values) + first;
  const Vec<A> one = Vec<A>{} + 1, slope = Vec<A>{} + A(a.negative_slope);
  int64_t head[kRegisters];
  Vec<A> mine[kRegisters], sum[kRegisters] = {}, value_sum[kRegisters] = {};
#pragma GCC unroll 8
  for (int r = 0; r < kRegisters; ++r) {
    head[r] = (first + r * L) / a.heads.depth;
    if constexpr (Score::kAdditive) mine[r] = load_some(own + first + r * L, width);
  }
  for (int64_t e = 0; e < row.edges.count; ++e) {
    const int64_t at = row.edges.column[e] * stride;
    row.edges.template prefetch_after<false, true>(e, rows, stride, kRegisters * L);
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) {
      const Vec<A> grad = head_weights<kHeads>(row.grad_score + e * period + head[r]);
      const Vec<A> other = load_some(rows + at + r * L, width);
      if constexpr (Score::kAdditive) {
        sum[r] += grad * (mine[r] + other > Vec<A>{} ? one : slope);
      } else {
        sum[r] += grad * other;
      }
      if constexpr (kValues) {
        value_sum[r] += load_some(values + at + r * L, width) * head_weights<kHeads>(row.weight + e * period + head[r]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRegisters; ++r) finish(r, sum[r], value_sum[r]);
}

// Takes the sums of pair_sums, feature after feature; the last register of a region may overlap the one before. Writes
// the gradients of a row, or with `partial` the sums of a piece, [2, heads, depth]. grad_att: [heads, depth], added to.
template <typename Score, typename T>
struct PairWriter {
  using A = Accumulate<T>;
  const PairBackwardArgs& a;
  const T* own;
  T *grad_own, *grad_own_values;
  A *grad_att, *partial;
  int64_t covered = 0;  // features that grad_att has

  PairWriter(const PairBackwardArgs& args, int64_t row, void* grad_att, void* partial)
      : a(args),
        own(static_cast<const T*>(a.own) + row * a.heads.stride()),
        grad_own(static_cast<T*>(a.grad_own) + row * a.heads.stride()),
        grad_own_values(static_cast<T*>(a.grad_own_values) + row * a.heads.stride()),
        grad_att(static_cast<A*>(grad_att)),
        partial(static_cast<A*>(partial)) {}

  void write(int64_t feature, Vec<A> sum, Vec<A> value_sum, int width) {
    if (partial) {
      store_some<A>(sum, partial + feature, width);
      return store_some<A>(value_sum, partial + a.heads.features() + feature, width);
    }
    if constexpr (Score::kAdditive) {
      const Vec<A> share = select_lanes<A>(covered - feature, Vec<A>{}, sum * load_some(own + feature, width));
      store_some<A>(load_some(grad_att + feature, width) + share, grad_att + feature, width);
      covered = feature + width;
      sum = sum * load_some(static_cast<const T*>(a.att) + feature, width) + value_sum;
    } else if (a.grad_own_values) {
      store_some<A>(value_sum, grad_own_values + feature, width);
    }
    store_some<A>(sum, grad_own + feature, width);
  }
};

template <typename Score, int kHeads, typename T>
inline void all_pair_sums(const HeadLayout& layout, const PairGradients<T>& row, PairWriter<Score, T>& writer) {
  using A = Accumulate<T>;
  const auto sums = [&](auto values, auto registers, int64_t first, int width) {
    pair_sums<Score, values.value, registers.value, kHeads>(
        writer.a, row, writer.own, first, width,
        [&](int r, Vec<A> sum, Vec<A> value_sum) { writer.write(first + r * kLanes<A>, sum, value_sum, width); });
  };
  if (writer.a.transposed) {
    for_features<4, A>(
        layout, [&](auto registers, int64_t first, int width) { sums(std::true_type{}, registers, first, width); });
  } else {
    for_features<(Score::kAdditive ? 4 : 8), A>(
        layout, [&](auto registers, int64_t first, int width) { sums(std::false_type{}, registers, first, width); });
  }
}

template <typename Score>
inline void pair_backward_rows(const PairBackwardArgs& a, int64_t row_first, int64_t row_last, void* grad_att) {
  dispatch_attention(a.value, a.heads, [&](auto t, auto in_register, const HeadLayout& layout) {
    using T = typename decltype(t)::type;
    PairGradients<T> state;
    const int64_t last = row_begin(a.graph, row_last);
    for (int64_t row = row_first; row < row_last; ++row) {
      const int64_t begin = row_begin(a.graph, row), end = row_begin(a.graph, row + 1);
      if (end - begin > kLongRow) continue;
      state.edges.read(a.graph, begin, end, last);
      state.template weigh<Score>(a, row);
      PairWriter<Score, T> writer(a, row, grad_att, nullptr);
      all_pair_sums<Score, in_register.value>(layout, state, writer);
    }
  });
}

template <typename Score>
inline void pair_backward_piece(const PairBackwardArgs& a, int64_t row, int64_t begin, int64_t end, void* partial) {
  dispatch_attention(a.value, a.heads, [&](auto t, auto in_register, const HeadLayout& layout) {
    using T = typename decltype(t)::type;
    PairGradients<T> state;
    state.edges.read(a.graph, begin, end, end);
    state.template weigh<Score>(a, row);
    PairWriter<Score, T> writer(a, row, nullptr, partial);
    all_pair_sums<Score, in_register.value>(layout, state, writer);
  });
}

// partials: [count, 2, heads, depth]; the first takes the sums.
template <typename Score>
inline void pair_backward_merge(const PairBackwardArgs& a, int64_t row, void* partials, int64_t count, void* grad_att) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const int64_t features = a.heads.features();
    A* sums = static_cast<A*>(partials);
    for (int64_t p = 1; p < count; ++p) {
      for (int64_t f = 0; f < 2 * features; ++f) sums[f] += sums[p * 2 * features + f];
    }
    PairWriter<Score, T> writer(a, row, grad_att, nullptr);
    for (int64_t f = 0; f < features; f += kLanes<A>) {
      const int width = int(features - f < kLanes<A> ? features - f : kLanes<A>);
      writer.write(f, load_some(sums + f, width), load_some(sums + features + f, width), width);
    }
  });
}

}  // namespace GK_ISA
}  // namespace graphkern
