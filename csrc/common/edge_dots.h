// Dot products along the edges of a row, every head of every edge.
#pragma once

#include "attention.h"

namespace graphkern::GK_ISA {

// The sums of the lanes of four registers, in the order of the registers; repeated over the lanes.
template <typename A, int... kLane>
__attribute__((always_inline)) inline Vec<A> sum_four(const Vec<A>* v, std::integer_sequence<int, kLane...>) {
  constexpr int L = kLanes<A>;
  static_assert(L >= 4);
  if constexpr (sizeof(A) == 4) {  // within blocks of 128 bits, which shuffles do not leave
    const auto pair = [](Vec<A> a, Vec<A> b) {
      return __builtin_shufflevector(a, b, (kLane / 4 * 4 + kLane % 2 * 2 + (kLane % 4 / 2) * L)...) +
             __builtin_shufflevector(a, b, (kLane / 4 * 4 + kLane % 2 * 2 + 1 + (kLane % 4 / 2) * L)...);
    };
    return fold_sum<A>(pair(pair(v[0], v[1]), pair(v[2], v[3])), 4);
  } else {
    const auto pair = [](Vec<A> a, Vec<A> b) {
      return __builtin_shufflevector(a, b, (kLane / 2 * 2 + kLane % 2 * L)...) +
             __builtin_shufflevector(a, b, (kLane / 2 * 2 + 1 + kLane % 2 * L)...);
    };
    const Vec<A> low = pair(v[0], v[1]), high = pair(v[2], v[3]);  // pairs of sums, to add up over the blocks
    return fold_sum<A>(
        __builtin_shufflevector(low, high, (kLane % 4 < 2 ? kLane : kLane + L)...) +
            __builtin_shufflevector(low, high, (kLane % 4 < 2 ? kLane + 2 : kLane - 2 + L)...),
        4);
  }
}

// What edge_dots prefetches: rows of features for the edges of this row, and for those of later ones; or null.
template <typename T>
struct Ahead {
  const T *within, *beyond;
};

// out[e, h] = sum over d of term(own[h, d], rows[column(e), h, d], feature, n), four at a time: kHeads heads (1, 2 or
// 4) of 4 / kHeads edges.
template <int kHeads, typename T, typename F>
inline void dots_by_four(
    const Edges& edges, const Heads& heads, const T* own, const T* rows, const Ahead<T>& ahead, const F& term,
    Accumulate<T>* out) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>, kShare = 4 / kHeads;  // edges of one result
  constexpr int kResults = kHeads == 4 ? 2 : 1, kEdges = kResults * kShare;
  const int64_t stride = heads.stride(), depth = heads.depth;
  for (int64_t e = 0; e < edges.count; e += kEdges) {
    const T* other[kEdges];
#pragma GCC unroll 4
    for (int i = 0; i < kEdges; ++i) {
      const int64_t edge = e + i < edges.count ? e + i : edges.count - 1;
      if (ahead.within) edges.prefetch_after<true, false>(edge, ahead.within, stride, heads.features());
      if (ahead.beyond) edges.prefetch_after<false, true>(edge, ahead.beyond, stride, heads.features());
      other[i] = rows + edges.column[edge] * stride;
    }
    for (int64_t head = 0; head < heads.heads; head += kHeads) {
      Vec<A> sum[4 * kResults] = {};
      const auto add = [&](int64_t d, int width) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const int64_t f = (head + i % kHeads) * depth + d;
          const Vec<A> mine = load_some(own + f, width);
#pragma GCC unroll 2
          for (int r = 0; r < kResults; ++r) {
            sum[4 * r + i] += term(mine, load_some(other[r * kShare + i / kHeads] + f, width), f, width);
          }
        }
      };
      int64_t d = 0;
      for (; d + L <= depth; d += L) add(d, L);
      if (d < depth) add(d, int(depth - d));
#pragma GCC unroll 2
      for (int r = 0; r < kResults; ++r) {
        const Vec<A> dots = sum_four<A>(sum + 4 * r, std::make_integer_sequence<int, L>{});
        store_partial<A>(dots, out + (e + r * kShare) * heads.heads + head, 4);
      }
    }
  }
}

// As above, out: [edges, period], padding is 0.
template <typename T, typename F>
inline void edge_dots(
    const Edges& edges, const Heads& heads, const T* own, const T* rows, const Ahead<T>& ahead, const F& term,
    Accumulate<T>* out) {
  using A = Accumulate<T>;
  if constexpr (kLanes<A> >= 4) {
    if (heads.depth >= kLanes<A>) {
      if (heads.heads == 1) return dots_by_four<1>(edges, heads, own, rows, ahead, term, out);
      if (heads.heads == 2) return dots_by_four<2>(edges, heads, own, rows, ahead, term, out);
      if (heads.heads % 4 == 0 && heads.heads == heads.period()) {
        return dots_by_four<4>(edges, heads, own, rows, ahead, term, out);
      }
    }
  }
  const int64_t stride = heads.stride(), period = heads.period();
  for (int64_t e = 0; e < edges.count; ++e, out += period) {
    if (ahead.within) edges.prefetch_after<true, false>(e, ahead.within, stride, heads.features());
    if (ahead.beyond) edges.prefetch_after<false, true>(e, ahead.beyond, stride, heads.features());
    const T* other = rows + edges.column[e] * stride;
    head_dots<A>(
        heads.heads, heads.depth,
        [&](int64_t f, int n) { return term(load_some(own + f, n), load_some(other + f, n), f, n); }, out);
    for (int64_t h = heads.heads; h < period; ++h) out[h] = 0;
  }
}

}  // namespace graphkern::GK_ISA
