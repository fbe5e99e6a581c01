#include "spmm_extremum_cpu.h"
#include "../common/extremum.h"

namespace graphkern {

GK_DECLARE_KERNEL(void, extremum_rows, const ExtremumArgs&, int64_t row_begin, int64_t row_end)
// The edges [begin, end) of a row. partial: [features] values, then [features] winners as int64
GK_DECLARE_KERNEL(void, extremum_piece, const ExtremumArgs&, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(void, extremum_merge, const ExtremumArgs&, int64_t row, const void* partials, int64_t count)

namespace GK_ISA {
namespace {

// Edges [begin, end), not empty: kRegisters registers of features from `first` on, or `width` features where those are
// fewer. Calls found(best, winner counted from begin, feature) for each register; kArg: the winner is asked for. kNan:
// some value may be NaN; without it, returns false where one turns out to be.
template <int kRegisters, bool kLargest, bool kArg, bool kNan, typename T, typename I, typename S>
inline bool best_edges(
    const ExtremumArgs& a, int64_t begin, int64_t end, int64_t last, int64_t first, int width, const S& found) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const I* indices = static_cast<const I*>(a.indices);
  const T* x = static_cast<const T*>(a.x) + first;
  const T* weight = static_cast<const T*>(a.weight);
  const int64_t depth = a.features / a.heads;
  int64_t head[kRegisters];
  for (int r = 0; r < kRegisters; ++r) head[r] = (first + r * L) / depth;
  const auto value = [&](int64_t e, int r) {
    const Vec<A> v = load_some(x + int64_t(indices[e]) * a.features + r * L, width);
    return weight ? v * to_accumulate(weight[e * a.heads + head[r]]) : v;
  };
  Vec<A> best[kRegisters];
  Vec<Offset<A>> winner[kRegisters] = {}, is_nan = {};
  for (int r = 0; r < kRegisters; ++r) best[r] = value(begin, r);
  for (int r = 0; r < kRegisters; ++r) is_nan |= best[r] != best[r];
  for (int64_t e = begin + 1; e < end; ++e) {
    if (e + kPrefetchDistance < last) {
      prefetch(x + int64_t(indices[e + kPrefetchDistance]) * a.features, kRegisters * L * sizeof(T));
    }
    const Vec<Offset<A>> here = Vec<Offset<A>>{} + Offset<A>(e - begin);
#pragma GCC unroll 4
    for (int r = 0; r < kRegisters; ++r) {
      const Vec<A> v = value(e, r);
      Vec<Offset<A>> wins;
      if constexpr (kNan) {
        wins = beats<kLargest>(v, best[r]);
      } else {
        wins = kLargest ? v > best[r] : v < best[r];
        is_nan |= v != v;
      }
      best[r] = wins ? v : best[r];
      if constexpr (kArg) winner[r] = wins ? here : winner[r];
    }
  }
  if constexpr (!kNan) {
    Offset<A> any = 0;
    for (int i = 0; i < L; ++i) any |= is_nan[i];
    if (any) return false;
  }
  for (int r = 0; r < kRegisters; ++r) found(best[r], winner[r], first + r * L);
  return true;
}

// All features of the edges [begin, end), not empty: found(best, winner, first feature, width) register by register.
template <bool kLargest, bool kArg, typename T, typename I, typename S>
inline void best_of_edges(const ExtremumArgs& a, int64_t begin, int64_t end, int64_t last, const S& found) {
  constexpr int L = kLanes<Accumulate<T>>;
  const int64_t depth = a.features / a.heads;
  const int64_t regions = a.weight && depth % L != 0 ? a.heads : 1, region = a.features / regions;
  for (int64_t from = 0; from < a.features; from += region) {
    for_registers<4>(from, from + region, L, [&](auto registers, int64_t first, int width) {
      const auto store = [&](auto best, auto winner, int64_t feature) { found(best, winner, feature, width); };
      constexpr int R = registers.value;
      if (best_edges<R, kLargest, kArg, false, T, I>(a, begin, end, last, first, width, store)) return;
      for (int r = 0; r < R; ++r) {
        best_edges<1, kLargest, true, true, T, I>(a, begin, end, last, first + r * L, width, store);
      }
    });
  }
}

template <bool kLargest, bool kArg, typename T, typename I>
void rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  using A = Accumulate<T>;
  const I* indptr = static_cast<const I*>(a.indptr);
  const int64_t last = indptr[row_end];
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t begin = indptr[row], end = indptr[row + 1];
    T* out = static_cast<T*>(a.out) + row * a.features;
    I* arg = static_cast<I*>(a.arg) + row * a.features;
    if (begin == end) {
      for (int64_t f = 0; f < a.features; ++f) from_accumulate(A(0), out + f);
      for (int64_t f = 0; kArg && f < a.features; ++f) arg[f] = -1;
    } else if (end - begin <= kLongRow) {
      const auto store = [&](Vec<A> best, Vec<Offset<A>> winner, int64_t feature, int width) {
        store_some<A>(best, out + feature, width);
        for (int i = 0; kArg && i < width; ++i) arg[feature + i] = I(begin + winner[i]);
      };
      best_of_edges<kLargest, kArg, T, I>(a, begin, end, last, store);
    }
  }
}

template <bool kLargest, typename T, typename I>
void piece(const ExtremumArgs& a, int64_t begin, int64_t end, void* partial) {
  using A = Accumulate<T>;
  A* value = static_cast<A*>(partial);
  char* arg = reinterpret_cast<char*>(value + a.features);  // int64, not aligned
  best_of_edges<kLargest, true, T, I>(
      a, begin, end, end, [&](Vec<A> best, Vec<Offset<A>> winner, int64_t feature, int width) {
        store_some<A>(best, value + feature, width);
        for (int i = 0; i < width; ++i) {
          const int64_t edge = begin + winner[i];
          std::memcpy(arg + (feature + i) * 8, &edge, 8);
        }
      });
}

template <bool kLargest, typename T, typename I>
void merge(const ExtremumArgs& a, int64_t row, const char* partials, int64_t count) {
  using A = Accumulate<T>;
  const int64_t stride = a.features * (sizeof(A) + 8);
  for (int64_t f = 0; f < a.features; ++f) {
    A best;
    int64_t edge;
    for (int64_t p = 0; p < count; ++p) {
      A value;
      std::memcpy(&value, partials + p * stride + f * sizeof(A), sizeof(A));
      if (p > 0 && !beats<kLargest>(value, best)) continue;
      best = value;
      std::memcpy(&edge, partials + p * stride + a.features * sizeof(A) + f * 8, 8);
    }
    from_accumulate(best, static_cast<T*>(a.out) + row * a.features + f);
    if (a.arg) static_cast<I*>(a.arg)[row * a.features + f] = I(edge);
  }
}

// Calls f(value type, index type, whether the largest wins as a constant).
template <typename F>
void dispatch(const ExtremumArgs& a, const F& f) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    if (a.largest) {
      f(t, i, std::true_type{});
    } else {
      f(t, i, std::false_type{});
    }
  });
}

}  // namespace

void extremum_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch(a, [&](auto t, auto i, auto largest) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    if (a.arg) {
      rows<largest.value, true, T, I>(a, row_begin, row_end);
    } else {
      rows<largest.value, false, T, I>(a, row_begin, row_end);
    }
  });
}

void extremum_piece(const ExtremumArgs& a, int64_t begin, int64_t end, void* partial) {
  dispatch(a, [&](auto t, auto i, auto largest) {
    piece<largest.value, typename decltype(t)::type, typename decltype(i)::type>(a, begin, end, partial);
  });
}

void extremum_merge(const ExtremumArgs& a, int64_t row, const void* partials, int64_t count) {
  dispatch(a, [&](auto t, auto i, auto largest) {
    using T = typename decltype(t)::type;
    merge<largest.value, T, typename decltype(i)::type>(a, row, static_cast<const char*>(partials), count);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// The kernel counts a row's edges in 32 bits.
void check_degrees(const Tensor& indptr) {
  if (!is_64bit(indptr)) return;
  const int64_t* bounds = static_cast<const int64_t*>(pointer(indptr));
  for (int64_t row = 0; row + 1 < indptr.size(0); ++row) {
    STD_TORCH_CHECK(bounds[row + 1] - bounds[row] <= INT32_MAX, "max and min: row ", row, " has 2^31 edges or more");
  }
}

// indptr: [N + 1], indices: [E], x: [M, F], weight: [E, H]. Returns out and arg, [N, F] (arg [0, F] unless kept)
std::tuple<Tensor, Tensor> spmm_extremum(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>&, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const Tensor& x, const std::optional<Tensor>& weight, const std::string& reduce,
    bool keep_arg) {
  const Tensor features = as_contiguous(x);
  const std::optional<Tensor> weights = as_contiguous(weight);
  Tensor out = allocate({indptr.size(0) - 1, x.size(1)}, x.scalar_type());
  Tensor arg = allocate({keep_arg ? indptr.size(0) - 1 : 0, x.size(1)}, indices.scalar_type());
  const ExtremumArgs args{
      .value = value_of(x),
      .is_64bit = is_64bit(indptr),
      .largest = reduce == "max",
      .indptr = pointer(indptr),
      .indices = pointer(indices),
      .x = pointer(features),
      .weight = pointer(weights),
      .grad = nullptr,
      .out = out.mutable_data_ptr(),
      .arg = keep_arg ? arg.mutable_data_ptr() : nullptr,
      .features = x.size(1),
      .heads = weight ? weight->size(1) : 1,
      .num_rows = indptr.size(0) - 1};
  check_degrees(indptr);
  const auto rows = GK_KERNEL(extremum_rows);
  const auto piece = GK_KERNEL(extremum_piece);
  const auto merge = GK_KERNEL(extremum_merge);
  reduce_rows(
      indptr, x.size(1), x.size(1) * (accumulate_bytes(x) + int64_t(sizeof(int64_t))),
      [&](int64_t begin, int64_t end) { rows(args, begin, end); },
      [&](const Piece& p, void* partial) { piece(args, p.begin, p.end, partial); },
      [&](int64_t row, const void* partials, int64_t count) { merge(args, row, partials, count); });
  return {out, arg};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("spmm_extremum", TORCH_BOX(&graphkern::spmm_extremum)); }
#endif
