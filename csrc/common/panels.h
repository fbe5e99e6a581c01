// Inner products of many rows with many others, kept in registers: one side is packed into panels whose rows lie across
// the lanes, the other into tiles of few rows. Every product is summed in the order of its features, so its bits depend
// on its two rows (and the instruction set) alone.
#pragma once

#include "vec.h"

namespace graphkern::GK_ISA {

// kTileRows x kPanelVectors registers of sums leave room for one register of a panel each and a spread feature.
#if defined(__AVX512F__)
constexpr int kTileRows = 8, kPanelVectors = 3;
#elif defined(__AVX2__)
constexpr int kTileRows = 4, kPanelVectors = 3;
#else
constexpr int kTileRows = 4, kPanelVectors = 2;
#endif

template <typename A>
constexpr int kPanelWidth = kPanelVectors * kLanes<A>;

template <typename A, typename T>
inline A widened(T value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return A(value);
  } else {
    return A(to_accumulate(value));
  }
}

// kLanes<A> values, converted to A.
template <typename A, typename T>
__attribute__((always_inline)) inline Vec<A> load_widened(const T* from) {
  if constexpr (std::is_same_v<T, int8_t>) {
    int8_t __attribute__((vector_size(kLanes<A>))) bytes;
    std::memcpy(&bytes, from, sizeof(bytes));
    return __builtin_convertvector(bytes, Vec<A>);
  } else if constexpr (std::is_same_v<Accumulate<T>, A>) {
    return load(from);
  } else {
    Vec<A> v;
    for (int i = 0; i < kLanes<A>; ++i) v[i] = widened<A>(from[i]);
    return v;
  }
}

// Exchanges, in blocks of kStride lanes, the odd blocks of a with the even blocks of b.
template <int kStride, typename A, int... kLane>
__attribute__((always_inline)) inline void exchange(Vec<A>& a, Vec<A>& b, std::integer_sequence<int, kLane...>) {
  const Vec<A> even = __builtin_shufflevector(a, b, (kLane & kStride ? kLanes<A> + kLane - kStride : kLane)...);
  b = __builtin_shufflevector(a, b, (kLane & kStride ? kLanes<A> + kLane : kLane + kStride)...);
  a = even;
}

// v: kLanes<A> registers, a square of values
template <typename A, int kStride = 1>
__attribute__((always_inline)) inline void transpose(Vec<A>* v) {
  if constexpr (kStride < kLanes<A>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<A>; ++i) {
      if (i & kStride) continue;
      exchange<kStride, A>(v[i], v[i + kStride], std::make_integer_sequence<int, kLanes<A>>{});
    }
    transpose<A, 2 * kStride>(v);
  }
}

// panel[d, i] = scale[i] * row[i][d] for i < kPanelWidth<A>; no scale is 1.
template <typename A, typename T>
void pack_panel(const T* const* row, int64_t depth, const A* scale, A* panel) {
  constexpr int L = kLanes<A>, W = kPanelWidth<A>;
  const int64_t whole = depth / L * L;
  for (int first = 0; first < W; first += L) {
    Vec<A> factor = Vec<A>{} + A(1);
    if (scale) factor = load(scale + first);
    for (int64_t d = 0; d < whole; d += L) {
      Vec<A> v[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) v[i] = load_widened<A>(row[first + i] + d);
      transpose<A>(v);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) store(v[i] * factor, panel + (d + i) * W + first);
    }
    for (int64_t d = whole; d < depth; ++d) {
      for (int i = 0; i < L; ++i) panel[d * W + first + i] = widened<A>(row[first + i][d]) * factor[i];
    }
  }
}

// tile[d, r] = rows[r, d] for r < kTileRows; rows beyond num_rows are 0. rows: [num_rows, depth]
template <typename A, typename T>
void pack_tile(const T* rows, int64_t num_rows, int64_t depth, A* tile) {
  for (int r = 0; r < kTileRows; ++r) {
    for (int64_t d = 0; d < depth; ++d) tile[d * kTileRows + r] = r < num_rows ? widened<A>(rows[r * depth + d]) : A(0);
  }
}

// product[r][c] = sum over d of tile[d, r] * panel[d, c], for the first kRows rows of the tile and register c
template <int kRows, typename A>
__attribute__((always_inline)) inline void multiply_tile(
    const A* tile, const A* panel, int64_t depth, Vec<A> (&product)[kRows][kPanelVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kPanelVectors; ++c) product[r][c] = Vec<A>{};
  }
  for (int64_t d = 0; d < depth; ++d, tile += kTileRows, panel += kPanelWidth<A>) {
    Vec<A> column[kPanelVectors];
#pragma GCC unroll 4
    for (int c = 0; c < kPanelVectors; ++c) column[c] = load(panel + c * kLanes<A>);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec<A> value = tile[r] - Vec<A>{};  // spread: x - 0 is x, and unlike x + 0 costs nothing
#pragma GCC unroll 4
      for (int c = 0; c < kPanelVectors; ++c) product[r][c] += value * column[c];
    }
  }
}

}  // namespace graphkern::GK_ISA
