// Dot products along the edges of a row, every head of every edge.
#pragma once

#include "attention.h"

namespace graphkern::GK_ISA {

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
        store_lanes<4, A>(sum_lanes<L, 4, A>(sum + 4 * r), out + (e + r * kShare) * heads.heads + head);
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
