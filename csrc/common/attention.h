// Attention over the edges of a row, as the CPU kernels do it: all scores of a row (or of a piece of a long one) lie in
// one buffer [edges, period], where `period` is the number of heads rounded up to a power of two.
#pragma once

#include "random_lanes.h"
#include "rows.h"

namespace graphkern {

constexpr uint32_t kDropoutStream = 0x44524F50;

// An edge's weight is kept where a random word is below `threshold`: see keep_factors.
struct Dropout {
  bool active;
  uint32_t threshold;
  double scale;  // 1 / (1 - p)
  uint64_t seed;
};

inline Dropout make_dropout(double p, int64_t seed) {
  const double bound = (1.0 - p) * 4294967296.0;
  return {p > 0, bound < 4294967295.0 ? uint32_t(bound) : 4294967295u, 1.0 / (1.0 - p), uint64_t(seed)};
}

// indptr, indices, edge (null: e): as the ops take them
struct Graph {
  bool is_64bit;
  const void *indptr, *indices, *edge;
};

// Heads [first, first + heads) out of `all`, `depth` features each. Tensors of features are [*, all, depth]; pointers
// to them and to tensors of scores [*, all] lead to head `first`.
struct Heads {
  int64_t first, heads, all, depth;
  int64_t features() const { return heads * depth; }
  int64_t stride() const { return all * depth; }
  int64_t period() const {
    int64_t period = 1;
    while (period < heads) period *= 2;
    return period;
  }
};

namespace GK_ISA {

// Heads that a kernel takes at once, at least a register of them: a row's scores are 64 KB at most.
template <typename A>
constexpr int64_t kHeadGroup = 64 / sizeof(A);
template <typename A>
constexpr int64_t kScores = (kLongRow + 1) * kHeadGroup<A>;  // edge_dots writes beyond the last edge

inline int64_t index_at(const Graph& graph, const void* index, int64_t i) {
  return graph.is_64bit ? static_cast<const int64_t*>(index)[i] : int64_t(static_cast<const int32_t*>(index)[i]);
}
inline int64_t row_begin(const Graph& graph, int64_t row) { return index_at(graph, graph.indptr, row); }

// At most kLongRow edges of a row: their columns, and those of the edges up to `ahead` for prefetching; the position of
// each in tensors of edges.
struct Edges {
  int64_t count, ahead;
  int64_t column[kLongRow + kPrefetchDistance], position[kLongRow + 8];

  template <typename I>
  void read(const I* indices, const I* edge, int64_t begin, int64_t end, int64_t last) {
    count = end - begin;
    ahead = (end + kPrefetchDistance < last ? end + kPrefetchDistance : last) - begin;
    for (int64_t e = 0; e < ahead; ++e) column[e] = indices[begin + e];
    for (int64_t e = 0; e < count; ++e) position[e] = edge ? int64_t(edge[begin + e]) : begin + e;
  }

  void read(const Graph& graph, int64_t begin, int64_t end, int64_t last) {
    dispatch_index(graph.is_64bit, [&](auto i) {
      using I = typename decltype(i)::type;
      read(static_cast<const I*>(graph.indices), static_cast<const I*>(graph.edge), begin, end, last);
    });
  }

  // The rows of the edge kPrefetchDistance after e, `size` elements of them; each edge's turn comes once, where its
  // predecessor is, be that in the same row or in one before. kWithin, kBeyond: edges of this row, and of later ones.
  template <bool kWithin, bool kBeyond, typename T>
  __attribute__((always_inline)) void prefetch_after(int64_t e, const T* rows, int64_t stride, int64_t size) const {
    const int64_t next = e + kPrefetchDistance;
    if (next < (kBeyond ? ahead : count) && (kWithin || next >= count)) {
      prefetch(rows + column[next] * stride, size * int64_t(sizeof(T)));
    }
  }
};

template <int kWidth, typename A, int... kLane>
inline Vec<A> swap_lanes(Vec<A> v, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(v, v, (kLane ^ kWidth)...);
}

// Combines the lanes whose numbers agree modulo `period`, a power of two; each then holds the result.
template <typename A, typename F>
inline Vec<A> fold_lanes(Vec<A> v, int64_t period, const F& f) {
  constexpr int L = kLanes<A>;
  constexpr auto kOrder = std::make_integer_sequence<int, L>{};
  if constexpr (L >= 16) {
    if (period <= 8) v = f(v, swap_lanes<8, A>(v, kOrder));
  }
  if constexpr (L >= 8) {
    if (period <= 4) v = f(v, swap_lanes<4, A>(v, kOrder));
  }
  if constexpr (L >= 4) {
    if (period <= 2) v = f(v, swap_lanes<2, A>(v, kOrder));
  }
  if (period <= 1) v = f(v, swap_lanes<1, A>(v, kOrder));
  return v;
}
template <typename A>
inline Vec<A> fold_sum(Vec<A> v, int64_t period) {
  return fold_lanes<A>(v, period, [](Vec<A> a, Vec<A> b) { return a + b; });
}
template <typename A>
inline Vec<A> fold_max(Vec<A> v, int64_t period) {
  return fold_lanes<A>(v, period, [](Vec<A> a, Vec<A> b) { return a > b ? a : b; });
}

// low in the lanes below n, high in the others
template <typename A, int... kLane>
inline Vec<A> select_lanes(int64_t n, Vec<A> low, Vec<A> high, std::integer_sequence<int, kLane...>) {
  const Vec<A> lane = {A(kLane)...};
  return lane < A(n) ? low : high;
}
template <typename A>
inline Vec<A> select_lanes(int64_t n, Vec<A> low, Vec<A> high) {
  return n >= kLanes<A> ? low : select_lanes<A>(n, low, high, std::make_integer_sequence<int, kLanes<A>>{});
}

// Calls f(i, first) for each register of a buffer [edges, period] of `size` scores, where lane l has head
// (first + l) % period; registers that share their heads come one after the other, then done(first).
template <typename A, typename F, typename G>
inline void for_scores(int64_t size, int64_t period, const F& f, const G& done) {
  constexpr int64_t L = kLanes<A>;
  const int64_t step = period > L ? period : L;
  for (int64_t first = 0; first < step; first += L) {
    for (int64_t i = first; i < size; i += step) f(i, first);
    done(first);
  }
}

// by_head[0..kHeadGroup): values of `heads` heads repeated with the period; 0 for a head that is padding.
template <typename T>
inline void spread_heads(const T* from, int64_t heads, int64_t period, Accumulate<T>* by_head) {
  using A = Accumulate<T>;
  for (int64_t h = 0; h < period; ++h) by_head[h] = h < heads ? to_accumulate(from[h]) : A(0);
  for (int64_t n = period; n < kHeadGroup<A>; n *= 2) std::memcpy(by_head + n, by_head, n * sizeof(A));
}

// to[i][e, h] = rows[column(e), i, h] for the heads of a group, rows: [*, kTensors, all]; padding is 0.
template <int kHeads, int kTensors, typename T>
inline void gather_fixed_heads(
    const Edges& edges, const Heads& heads, const T* rows, Accumulate<T>* const (&to)[kTensors]) {
  const int64_t stride = kTensors * heads.all;
  for (int64_t e = 0; e < edges.count; ++e) {
    edges.prefetch_after<true, true>(e, rows, stride, kTensors * kHeads);
#pragma GCC unroll 3
    for (int i = 0; i < kTensors; ++i) {
      const T* from = rows + edges.column[e] * stride + i * heads.all;
#pragma GCC unroll 8
      for (int h = 0; h < kHeads; ++h) to[i][e * kHeads + h] = to_accumulate(from[h]);
    }
  }
}
template <int kTensors, typename T>
inline void gather_heads(const Edges& edges, const Heads& heads, const T* rows, Accumulate<T>* const (&to)[kTensors]) {
  if (heads.heads == 1) return gather_fixed_heads<1>(edges, heads, rows, to);
  if (heads.heads == 4) return gather_fixed_heads<4>(edges, heads, rows, to);
  if (heads.heads == 8) return gather_fixed_heads<8>(edges, heads, rows, to);
  const int64_t period = heads.period();
  for (int64_t e = 0; e < edges.count; ++e) {
    for (int i = 0; i < kTensors; ++i) {
      const T* from = rows + (edges.column[e] * kTensors + i) * heads.all;
      for (int64_t h = 0; h < period; ++h) {
        to[i][e * period + h] = h < heads.heads ? to_accumulate(from[h]) : Accumulate<T>(0);
      }
    }
  }
}

// to[e, h] += rows[position(e), h], rows: [E, all]
template <typename T>
inline void add_edge_heads(const Edges& edges, const Heads& heads, const T* rows, Accumulate<T>* to) {
  const int64_t period = heads.period();
  for (int64_t e = 0; e < edges.count; ++e) {
    const T* from = rows + edges.position[e] * heads.all;
    for (int64_t h = 0; h < heads.heads; ++h) to[e * period + h] += to_accumulate(from[h]);
  }
}

// Softmax before its division: weight = exp(score(i, first) - maximum), with its sum `total` over the edges.
// maximum, total: by head, as in spread_heads.
template <typename A, typename S>
inline void softmax(int64_t size, int64_t period, const S& score, A* weight, A* maximum, A* total) {
  const Vec<A> lowest = Vec<A>{} - A(INFINITY);
  Vec<A> top = lowest;
  for_scores<A>(
      size, period,
      [&](int64_t i, int64_t first) {
        const Vec<A> s = select_lanes<A>(size - i, score(i, first), lowest);
        store(s, weight + i);
        top = s > top ? s : top;
      },
      [&](int64_t first) {
        store(fold_max<A>(top, period), maximum + first);
        top = lowest;
      });
  Vec<A> sum = {};
  for_scores<A>(
      size, period,
      [&](int64_t i, int64_t first) {
        const Vec<A> most = load(maximum + first), p = exp(load(weight + i) - (most == lowest ? Vec<A>{} : most));
        store(p, weight + i);
        sum += p;
      },
      [&](int64_t first) {
        store(fold_sum<A>(sum, period), total + first);
        sum = Vec<A>{};
      });
}

// The bits of `scale` in the lanes whose word is below the threshold, 0 in the others.
inline WordLanes kept_lanes(WordLanes words, uint32_t threshold, float scale) {
  return (WordLanes)((words & 0xFFFFFFFF) < uint64_t(threshold)) & uint64_t(bit_cast<uint32_t>(scale));
}
inline WordLanes kept_lanes(WordLanes words, uint32_t threshold, double scale) {
  return (WordLanes)((words & 0xFFFFFFFF) < uint64_t(threshold)) & bit_cast<uint64_t>(scale);
}

// keep[e, h]: dropout.scale or 0. Head h of the edge at position p draws the word of lane h % 4 at counter
// (p low, p high, h / 4, kDropoutStream).
template <typename A>
inline void keep_factors(const Dropout& dropout, const Edges& edges, const Heads& heads, A* keep) {
  const int64_t period = heads.period(), block = period < 4 ? period : 4;
  const A scale = A(dropout.scale);
  for (int64_t e = 0; e < edges.count; e += kWordLanes) {
    const int64_t lanes = edges.count - e < kWordLanes ? edges.count - e : kWordLanes;
    WordLanes position;
    std::memcpy(&position, edges.position + e, sizeof(position));
    for (int64_t head = 0; head < period; head += block) {
      const WordLanes stream = WordLanes{} + uint64_t(kDropoutStream);
      WordLanes words[4] = {position, position >> 32, WordLanes{} + uint64_t(heads.first + head) / 4, stream};
      philox_lanes(words, WordLanes{} + dropout.seed);
      for (int64_t h = 0; h < block; ++h) words[h] = kept_lanes(words[h], dropout.threshold, scale);
      A* to = keep + e * period + head;
      if (sizeof(A) == 4 && block >= 2) {  // two heads a lane
        for (int64_t h = 0; h < block; h += 2) {
          const WordLanes pair = words[h] | words[h + 1] << 32;
          for (int64_t i = 0; i < lanes; ++i) std::memcpy(to + i * period + h, &pair[i], 8);
        }
      } else {
        for (int64_t h = 0; h < block; ++h) {
          for (int64_t i = 0; i < lanes; ++i) std::memcpy(to + i * period + h, &words[h][i], sizeof(A));
        }
      }
    }
  }
}

// Calls f(value type, heads in a register as a constant, layout).
template <typename F>
inline void dispatch_attention(Value value, const Heads& heads, const F& f) {
  dispatch_value(value, [&](auto t) {
    using A = Accumulate<typename decltype(t)::type>;
    const HeadLayout layout = head_layout(heads.features(), heads.heads, kLanes<A>);
    dispatch_heads<A>(layout, [&](auto in_register) { f(t, in_register, layout); });
  });
}

// Calls f as for_registers does, region after region.
template <int kMaxRegisters, typename A, typename F>
inline void for_features(const HeadLayout& layout, const F& f) {
  for (int64_t region = 0; region < layout.regions; ++region) {
    const int64_t from = region * layout.width;
    for_registers<kMaxRegisters>(from, from + layout.width, kLanes<A>, f);
  }
}

// Over the edges, for kSets buffers of weights [edges, period]: sum of weight[set][e, h] * x[column(e)], kRegisters
// registers from feature `first` on. Then finish(set, register, sum). kWithin: see Edges.
template <bool kWithin, int kSets, int kRegisters, int kHeads, typename T, typename F>
inline void weighted_sums(
    const Edges& edges, const Heads& heads, const T* x, const Accumulate<T>* const (&weight)[kSets], int64_t first,
    int width, const F& finish) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const int64_t stride = heads.stride(), period = heads.period();
  int64_t head[kRegisters];
  for (int r = 0; r < kRegisters; ++r) head[r] = (first + r * L) / heads.depth;
  Vec<A> sum[kSets][kRegisters] = {};
  for (int64_t e = 0; e < edges.count; ++e) {
    const T* source = x + edges.column[e] * stride + first;
    edges.prefetch_after<kWithin, true>(e, x + first, stride, kRegisters * L);
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) {
      const Vec<A> value = load_some(source + r * L, width);
#pragma GCC unroll 2
      for (int s = 0; s < kSets; ++s) sum[s][r] += value * head_weights<kHeads>(weight[s] + e * period + head[r]);
    }
  }
#pragma GCC unroll 2
  for (int s = 0; s < kSets; ++s) {
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) finish(s, r, sum[s][r]);
  }
}

}  // namespace GK_ISA
}  // namespace graphkern
