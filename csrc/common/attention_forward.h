// The forward pass of attention, for any way to score edges.
#pragma once

#include "attention.h"

namespace graphkern {

// values: [M, all, depth]; out: [N, all, depth], lse: [N, all]; where not null, the parts of the edges marked positive:
// positive_out [N, all, depth], positive_total [N, all]. All but values and out in the accumulation type.
struct AttentionArgs {
  Value value;
  Graph graph;
  Heads heads;
  Dropout dropout;
  const void* values;
  void *out, *lse, *positive_out, *positive_total;
};

namespace GK_ISA {

// A row's weights: exp(score - maximum), after dropout; `positive` has those of the edges marked so.
template <typename T>
struct RowWeights {
  using A = Accumulate<T>;
  Edges edges;
  A weight[kScores<A>], positive[kScores<A>];
  A maximum[kHeadGroup<A>], total[kHeadGroup<A>], positive_total[kHeadGroup<A>];
};

// A piece of a long row: its maximum, total and positive total by head, kHeadGroup each; then the sums of each set.
template <typename A>
struct Partial {
  static constexpr int64_t kGroup = kHeadGroup<A>;
  A *maximum, *total, *positive_total, *sums;

  Partial(void* memory, const Heads& heads, int64_t piece)
      : maximum(static_cast<A*>(memory) + piece * (3 * kGroup + 2 * heads.features())),
        total(maximum + kGroup),
        positive_total(total + kGroup),
        sums(positive_total + kGroup) {}
};

// Takes the sums of out (set 0) and of positive_out (set 1): to the results of a row, divided by its total, or to the
// sums of a piece.
template <typename T>
struct ValueWriter {
  using A = Accumulate<T>;
  const AttentionArgs& a;
  T* out;
  A *positive_out, *sums;
  A factor[kHeadGroup<A>];

  ValueWriter(const AttentionArgs& args, int64_t row, A* piece_sums)
      : a(args),
        out(static_cast<T*>(a.out) + row * a.heads.stride()),
        positive_out(static_cast<A*>(a.positive_out) + row * a.heads.stride()),
        sums(piece_sums) {}

  template <int kHeads>
  void write(int set, int64_t feature, Vec<A> sum, int width) const {
    if (sums) return store_some<A>(sum, sums + set * a.heads.features() + feature, width);
    sum *= head_weights<kHeads>(factor + feature / a.heads.depth);
    set ? store_some<A>(sum, positive_out + feature, width) : store_some<A>(sum, out + feature, width);
  }
};

// kPositive: positive_out may be wanted. kUnread: the values of a row's edges are not read before.
template <bool kPositive, bool kUnread, int kHeads, typename T>
inline void sum_values(const HeadLayout& layout, const RowWeights<T>& row, const ValueWriter<T>& writer) {
  using A = Accumulate<T>;
  const AttentionArgs& a = writer.a;
  const T* values = static_cast<const T*>(a.values);
  if constexpr (kPositive) {
    if (a.positive_out) {
      return for_features<4, A>(layout, [&](auto registers, int64_t first, int width) {
        weighted_sums<kUnread, 2, registers.value, kHeads>(
            row.edges, a.heads, values, {row.weight, row.positive}, first, width,
            [&](int set, int r, Vec<A> sum) { writer.template write<kHeads>(set, first + r * kLanes<A>, sum, width); });
      });
    }
  }
  for_features<8, A>(layout, [&](auto registers, int64_t first, int width) {
    weighted_sums<kUnread, 1, registers.value, kHeads>(
        row.edges, a.heads, values, {row.weight}, first, width,
        [&](int, int r, Vec<A> sum) { writer.template write<kHeads>(0, first + r * kLanes<A>, sum, width); });
  });
}

template <typename A>
inline void write_totals(
    const AttentionArgs& a, int64_t row, const A* maximum, const A* total, const A* positive_total) {
  const int64_t at = row * a.heads.all;
  for (int64_t h = 0; h < a.heads.heads; ++h) {
    static_cast<A*>(a.lse)[at + h] = maximum[h] + A(std::log(total[h]));  // -inf for a row without edges
    if (a.positive_out) static_cast<A*>(a.positive_total)[at + h] = total[h] == 0 ? 0 : positive_total[h] / total[h];
  }
}

// weigh(value type, weights, row) fills the weights of edges that are read.
template <bool kPositive, bool kUnread, typename W>
inline void attention_rows(const AttentionArgs& a, int64_t row_first, int64_t row_last, const W& weigh) {
  dispatch_attention(a.value, a.heads, [&](auto t, auto heads, const HeadLayout& layout) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    RowWeights<T> weights;
    const int64_t last = row_begin(a.graph, row_last);
    for (int64_t row = row_first; row < row_last; ++row) {
      const int64_t begin = row_begin(a.graph, row), end = row_begin(a.graph, row + 1);
      if (end - begin > kLongRow) continue;
      weights.edges.read(a.graph, begin, end, last);
      weigh(t, weights, row);
      write_totals<A>(a, row, weights.maximum, weights.total, weights.positive_total);
      ValueWriter<T> writer(a, row, nullptr);
      for (int64_t i = 0; i < kHeadGroup<A>; ++i) writer.factor[i] = begin == end ? A(0) : A(1) / weights.total[i];
      sum_values<kPositive, kUnread, heads.value>(layout, weights, writer);
    }
  });
}

template <bool kPositive, bool kUnread, typename W>
inline void attention_piece(
    const AttentionArgs& a, int64_t row, int64_t begin, int64_t end, void* memory, const W& weigh) {
  dispatch_attention(a.value, a.heads, [&](auto t, auto heads, const HeadLayout& layout) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    RowWeights<T> weights;
    weights.edges.read(a.graph, begin, end, end);
    weigh(t, weights, row);
    const Partial<A> partial(memory, a.heads, 0);
    for (int64_t i = 0; i < kHeadGroup<A>; ++i) {
      partial.maximum[i] = weights.maximum[i];
      partial.total[i] = weights.total[i];
      if (a.positive_out) partial.positive_total[i] = weights.positive_total[i];
    }
    sum_values<kPositive, kUnread, heads.value>(layout, weights, ValueWriter<T>(a, row, partial.sums));
  });
}

// Writes a long row from its pieces. The pieces' maxima become their shares exp(maximum - greatest).
inline void attention_merge(const AttentionArgs& a, int64_t row, void* memory, int64_t count) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    A greatest[kHeadGroup<A>], total[kHeadGroup<A>], positive_total[kHeadGroup<A>];
    for (int64_t h = 0; h < a.heads.heads; ++h) {
      greatest[h] = -A(INFINITY);
      total[h] = positive_total[h] = 0;
      for (int64_t p = 0; p < count; ++p) {
        const A maximum = Partial<A>(memory, a.heads, p).maximum[h];
        greatest[h] = maximum > greatest[h] ? maximum : greatest[h];
      }
      for (int64_t p = 0; p < count; ++p) {
        const Partial<A> partial(memory, a.heads, p);
        const A share = partial.total[h] == 0 ? A(0) : exp(Vec<A>{} + (partial.maximum[h] - greatest[h]))[0];
        partial.maximum[h] = share;
        total[h] += share * partial.total[h];
        if (a.positive_out) positive_total[h] += share * partial.positive_total[h];
      }
    }
    write_totals<A>(a, row, greatest, total, positive_total);
    for (int64_t f = 0; f < a.heads.features(); ++f) {
      const int64_t head = f / a.heads.depth;
      A out = 0, positive_out = 0;
      for (int64_t p = 0; p < count; ++p) {
        const Partial<A> partial(memory, a.heads, p);
        out += partial.maximum[head] * partial.sums[f];
        if (a.positive_out) positive_out += partial.maximum[head] * partial.sums[a.heads.features() + f];
      }
      const int64_t at = row * a.heads.stride() + f;
      from_accumulate(out / total[head], static_cast<T*>(a.out) + at);
      if (a.positive_out) static_cast<A*>(a.positive_out)[at] = positive_out / total[head];
    }
  });
}

}  // namespace GK_ISA
}  // namespace graphkern
