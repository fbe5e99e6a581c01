// Rows of a graph as the CPU kernels walk them: prefetched neighbors, registers of features, weights of their heads.
#pragma once

#include "dispatch.h"

namespace graphkern {

// A row with more edges is reduced in pieces of this many: see parallel.h.
constexpr int64_t kLongRow = 1024;

namespace GK_ISA {

constexpr int64_t kPrefetchDistance = 16;  // edges ahead

// Rows of a cache line need more of them under way to keep memory busy (measured: 4.4 ms against 5.7 at F 16).
inline int64_t prefetch_distance(int64_t row_bytes) { return row_bytes <= 64 ? 32 : kPrefetchDistance; }

// Inlined by force: GCC takes a function that only prefetches for one without effect and drops its calls.
__attribute__((always_inline)) inline void prefetch(const void* from, int64_t bytes) {
  for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(static_cast<const char*>(from) + line);
}

template <int kHeads, typename A, int... kLane>
inline Vec<A> spread(Vec<A> v, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(v, v, kLane / (kLanes<A> / kHeads)...);
}

// One register of weights: kHeads consecutive ones, each over an equal share of the lanes.
template <int kHeads, typename T>
inline Vec<Accumulate<T>> head_weights(const T* weight) {
  using A = Accumulate<T>;
  if constexpr (kHeads == 1) {
    return Vec<A>{} + to_accumulate(weight[0]);
  } else {
    Vec<A> v = {};
    for (int i = 0; i < kHeads; ++i) v[i] = to_accumulate(weight[i]);
    return spread<kHeads, A>(v, std::make_integer_sequence<int, kLanes<A>>{});
  }
}

// How features [heads, depth] fall into registers of L lanes.
struct HeadLayout {
  int64_t regions, width;     // ranges of features that are walked one after the other
  int64_t heads_in_register;  // 1: each register lies in one head
};

inline HeadLayout head_layout(int64_t features, int64_t heads, int64_t lanes) {
  const int64_t depth = features / heads;
  if (depth == 0) return {0, 0, 1};
  if (heads == 1 || depth % lanes == 0) return {1, features, 1};
  if (lanes % depth == 0 && features % lanes == 0) return {1, features, lanes / depth};
  return {heads, depth, 1};
}

// Calls f(heads in a register as a constant).
template <typename A, typename F>
inline void dispatch_heads(const HeadLayout& layout, const F& f) {
  constexpr int L = kLanes<A>;
  if (layout.heads_in_register == 2) return f(std::integral_constant<int, 2>{});
  if (layout.heads_in_register == 4 && L >= 4) return f(std::integral_constant<int, L >= 4 ? 4 : 1>{});
  if (layout.heads_in_register == 8 && L >= 8) return f(std::integral_constant<int, L >= 8 ? 8 : 1>{});
  if (layout.heads_in_register == 16 && L >= 16) return f(std::integral_constant<int, L >= 16 ? 16 : 1>{});
  f(std::integral_constant<int, 1>{});
}

// Calls f(number of registers as a constant, first feature, width) until [first, last) is covered. A width below a
// register means a partial one; a full register at the end may overlap the one before.
template <int kMaxRegisters, typename F>
inline void for_registers(int64_t first, int64_t last, int64_t lanes, const F& f) {
  const int64_t width = last - first;
  if (width < lanes) {
    if (width > 0) f(std::integral_constant<int, 1>{}, first, int(width));
    return;
  }
  const int full = int(lanes);
  if constexpr (kMaxRegisters >= 8) {
    for (; first + 8 * lanes <= last; first += 8 * lanes) f(std::integral_constant<int, 8>{}, first, full);
  }
  for (; first + 4 * lanes <= last; first += 4 * lanes) f(std::integral_constant<int, 4>{}, first, full);
  if (first + 2 * lanes <= last) {
    f(std::integral_constant<int, 2>{}, first, full);
    first += 2 * lanes;
  }
  if (first + lanes <= last) {
    f(std::integral_constant<int, 1>{}, first, full);
    first += lanes;
  }
  if (first < last) f(std::integral_constant<int, 1>{}, last - lanes, full);
}

// Rows of features narrower than a register: `width` of its lanes.
template <typename T>
inline Vec<Accumulate<T>> load_some(const T* from, int width) {
  return width < kLanes<Accumulate<T>> ? load_partial(from, width) : load(from);
}
template <typename A, typename T>
inline void store_some(Vec<A> v, T* to, int width) {
  if (width < kLanes<A>) {
    store_partial<A>(v, to, width);
  } else {
    store(v, to);
  }
}

// out[f] = scale * (partials[0][f] + partials[1][f] + ...) for the first `features` of each partial [width]
template <typename T>
inline void merge_sums(
    const Accumulate<T>* partials, int64_t count, int64_t width, int64_t features, Accumulate<T> scale, T* out) {
  for (int64_t f = 0; f < features; ++f) {
    Accumulate<T> sum = 0;
    for (int64_t p = 0; p < count; ++p) sum += partials[p * width + f];
    from_accumulate(sum * scale, out + f);
  }
}

// The first kCount lanes, rounded to T.
template <int kCount, typename A, typename T>
inline void store_lanes(Vec<A> v, T* to) {
  T buffer[kLanes<A>];
  store(v, buffer);
  std::memcpy(to, buffer, kCount * sizeof(T));
}

// kHeads heads (a power of two) of `depth` features each, one head after the other: their dot products.
template <int kHeads, typename A, typename P, typename T>
inline void dot_heads(int64_t depth, const P& product, int64_t first, T* dot) {
  constexpr int L = kLanes<A>;
  Vec<A> sum[kHeads] = {};
  int64_t d = 0;
  for (; d + L <= depth; d += L) {
#pragma GCC unroll 8
    for (int h = 0; h < kHeads; ++h) sum[h] += product(first + h * depth + d, L);
  }
  if (d < depth) {
#pragma GCC unroll 8
    for (int h = 0; h < kHeads; ++h) sum[h] += product(first + h * depth + d, int(depth - d));
  }
  store_lanes<kHeads, A>(sum_lanes<L, kHeads, A>(sum), dot);
}

// As above where kDepth features a head are less than a register: kRegisters registers from feature `first` on.
template <int kDepth, int kRegisters, typename A, typename P, typename T>
inline void dot_narrow_heads(const P& product, int64_t first, T* dot) {
  constexpr int L = kLanes<A>;
  Vec<A> v[kRegisters];
#pragma GCC unroll 8
  for (int r = 0; r < kRegisters; ++r) v[r] = product(first + r * L, L);
  store_lanes<kRegisters * L / kDepth, A>(sum_lanes<kDepth, kRegisters, A>(v), dot);
}

// dot[h] = sum over d of product(h * depth + d), where product(f, n) is a register: n features from f on, then zeros.
// kDepth: 2 or 4 where the depth is known to be that and heads * depth to fill registers; else 0.
template <int kDepth, typename A, typename P, typename T>
inline void head_dots(int64_t heads, int64_t depth, const P& product, T* dot) {
  constexpr int L = kLanes<A>;
  int64_t h = 0;
  if constexpr (kDepth > 0 && kDepth < L) {
    constexpr int kStep = L / kDepth;  // heads in a register
    for (; h + kDepth * kStep <= heads; h += kDepth * kStep) {
      dot_narrow_heads<kDepth, kDepth, A>(product, h * kDepth, dot + h);
    }
    for (; kDepth == 4 && h + 2 * kStep <= heads; h += 2 * kStep) {
      dot_narrow_heads<kDepth, 2, A>(product, h * kDepth, dot + h);
    }
    for (; h + kStep <= heads; h += kStep) dot_narrow_heads<kDepth, 1, A>(product, h * kDepth, dot + h);
  } else {
    for (; h + 4 <= heads && L >= 4; h += 4) dot_heads<(L >= 4 ? 4 : 1), A>(depth, product, h * depth, dot + h);
    for (; h < heads; ++h) dot_heads<1, A>(depth, product, h * depth, dot + h);
  }
}

// As above for any depth, chosen at run time.
template <typename A, typename P, typename T>
inline void head_dots(int64_t heads, int64_t depth, const P& product, T* dot) {
  const bool fills = heads * depth % kLanes<A> == 0;
  if (depth == 4 && fills) return head_dots<4, A>(heads, depth, product, dot);
  if (depth == 2 && fills) return head_dots<2, A>(heads, depth, product, dot);
  head_dots<0, A>(heads, depth, product, dot);
}

}  // namespace GK_ISA
}  // namespace graphkern
