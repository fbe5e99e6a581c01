#include "../common/extremum.h"
#include "../common/rows.h"

namespace graphkern {

// src: [B, length, features]; out: [B, S, features]; arg: the same, position in length or -1.
struct SegmentExtremumArgs {
  Value value;
  bool is_64bit, largest;
  const void *indptr, *src, *src_end;
  void *out, *arg;
  int64_t num_segments, length, features;
};
GK_DECLARE_KERNEL(
    void, segment_extremum_rows, const SegmentExtremumArgs&, int64_t batch, int64_t row_begin, int64_t row_end)
// The entries [begin, end) of a segment. partial: [features] positions as int64, then [features] values
GK_DECLARE_KERNEL(
    void, segment_extremum_piece, const SegmentExtremumArgs&, int64_t batch, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(
    void, segment_extremum_merge, const SegmentExtremumArgs&, int64_t batch, int64_t row, const void* partials,
    int64_t count, int64_t stride)

namespace GK_ISA {
namespace {

// Rows a register wide or more, kRegisters of them from src on: found(best, winner counted from src, first feature).
template <int kRegisters, bool kLargest, typename T, typename S>
inline void best_wide(const T* src, int64_t num_rows, int64_t features, const S& found) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  Vec<A> best[kRegisters];
  Vec<Offset<A>> winner[kRegisters] = {};
  for (int r = 0; r < kRegisters; ++r) best[r] = load(src + r * L);
  for (int64_t row = 1; row < num_rows; ++row) {
    const Vec<Offset<A>> here = Vec<Offset<A>>{} + Offset<A>(row);
#pragma GCC unroll 4
    for (int r = 0; r < kRegisters; ++r) {
      const Vec<A> v = load(src + row * features + r * L);
      const Vec<Offset<A>> wins = beats<kLargest>(v, best[r]);
      best[r] = wins ? v : best[r];
      winner[r] = wins ? here : winner[r];
    }
  }
  for (int r = 0; r < kRegisters; ++r) found(best[r], winner[r], r * L);
}

// Rows narrower than a register, one after the other: found(best, winner, feature) for each feature.
template <bool kLargest, typename T, typename S>
inline void best_few(const T* src, int64_t num_rows, int64_t features, const S& found) {
  for (int64_t f = 0; f < features; ++f) {
    Accumulate<T> best = to_accumulate(src[f]);
    int64_t winner = 0;
    for (int64_t row = 1; row < num_rows; ++row) {
      const Accumulate<T> value = to_accumulate(src[row * features + f]);
      const bool wins = beats<kLargest>(value, best);
      best = wins ? value : best;
      winner = wins ? row : winner;
    }
    found(best, winner, f);
  }
}

// The same for many rows: one load takes L / features of them.
template <bool kLargest, typename T, typename S>
inline void best_narrow(const T* src, const T* src_end, int64_t num_rows, int64_t features, const S& found) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const int rows = L / int(features);
  const int64_t step = rows * features, size = num_rows * features;
  if (size < 4 * L) return best_few<kLargest>(src, num_rows, features, found);
  Vec<A> best = load(src);
  Vec<Offset<A>> winner = {};
  Offset<A> turn = 1;
  for (int64_t i = step; i < size; i += step, ++turn) {
    const int left = int(size - i < step ? size - i : step);
    const Vec<A> v = src + i + L <= src_end ? load(src + i) : load_partial(src + i, left);
    Vec<Offset<A>> wins = beats<kLargest>(v, best);
    if (left < step) wins &= lane_numbers<A>() < (Vec<Offset<A>>{} + Offset<A>(left));
    best = wins ? v : best;
    winner = wins ? Vec<Offset<A>>{} + turn : winner;
  }
  A value[L];
  Offset<A> at[L];
  std::memcpy(value, &best, sizeof(best));
  std::memcpy(at, &winner, sizeof(winner));
  for (int f = 0; f < features; ++f) {
    A top = value[f];
    int64_t position = int64_t(at[f]) * rows;
    for (int row = 1; row < rows; ++row) {
      const int lane = row * int(features) + f;
      const int64_t here = int64_t(at[lane]) * rows + row;
      if (!comes_first<kLargest>(value[lane], here, top, position)) continue;
      top = value[lane];
      position = here;
    }
    found(top, position, f);
  }
}

// All features of the entries [begin, end), not empty, as put(value, position, feature, number) takes them: arrays of
// values and of positions counted from begin.
template <bool kLargest, typename T, typename S>
inline void best_entries(const SegmentExtremumArgs& a, const T* src, int64_t begin, int64_t end, const S& put) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  src += begin * a.features;
  if (a.features < L) {
    const auto one = [&](A best, int64_t winner, int64_t f) { put(&best, &winner, f, 1); };
    return best_narrow<kLargest>(src, static_cast<const T*>(a.src_end), end - begin, a.features, one);
  }
  for_registers<4>(0, a.features, L, [&](auto registers, int64_t first, int) {
    best_wide<registers.value, kLargest>(
        src + first, end - begin, a.features, [&](Vec<A> best, Vec<Offset<A>> winner, int64_t f) {
          A value[L];
          Offset<A> position[L];
          std::memcpy(value, &best, sizeof(best));
          std::memcpy(position, &winner, sizeof(winner));
          put(value, position, first + f, L);
        });
  });
}

template <bool kLargest, typename T, typename I>
void rows(const SegmentExtremumArgs& a, int64_t batch, int64_t row_begin, int64_t row_end) {
  const I* indptr = static_cast<const I*>(a.indptr);
  const T* src = static_cast<const T*>(a.src) + batch * a.length * a.features;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t begin = indptr[row], end = indptr[row + 1], at = (batch * a.num_segments + row) * a.features;
    T* out = static_cast<T*>(a.out) + at;
    I* arg = static_cast<I*>(a.arg) + at;
    if (begin == end) {
      for (int64_t f = 0; f < a.features; ++f) out[f] = T{};
      for (int64_t f = 0; f < a.features; ++f) arg[f] = -1;
    } else if (end - begin <= kLongRow) {
      best_entries<kLargest>(
          a, src, begin, end, [&](const auto* value, const auto* position, int64_t feature, int number) {
            for (int i = 0; i < number; ++i) from_accumulate(value[i], out + feature + i);
            for (int i = 0; i < number; ++i) arg[feature + i] = I(begin + position[i]);
          });
    }
  }
}

template <bool kLargest, typename T>
void piece(const SegmentExtremumArgs& a, int64_t batch, int64_t begin, int64_t end, void* partial) {
  const T* src = static_cast<const T*>(a.src) + batch * a.length * a.features;
  int64_t* arg = static_cast<int64_t*>(partial);
  Accumulate<T>* out = reinterpret_cast<Accumulate<T>*>(arg + a.features);
  best_entries<kLargest>(a, src, begin, end, [&](const auto* value, const auto* position, int64_t feature, int number) {
    for (int i = 0; i < number; ++i) out[feature + i] = value[i];
    for (int i = 0; i < number; ++i) arg[feature + i] = begin + position[i];
  });
}

template <bool kLargest, typename T, typename I>
void merge(
    const SegmentExtremumArgs& a, int64_t batch, int64_t row, const char* partials, int64_t count, int64_t stride) {
  using A = Accumulate<T>;
  const int64_t at = (batch * a.num_segments + row) * a.features;
  for (int64_t f = 0; f < a.features; ++f) {
    const auto value = [&](int64_t p) {
      return reinterpret_cast<const A*>(partials + p * stride + a.features * sizeof(int64_t))[f];
    };
    int64_t best = 0;
    for (int64_t p = 1; p < count; ++p) best = beats<kLargest>(value(p), value(best)) ? p : best;
    from_accumulate(value(best), static_cast<T*>(a.out) + at + f);
    static_cast<I*>(a.arg)[at + f] = I(reinterpret_cast<const int64_t*>(partials + best * stride)[f]);
  }
}

// Calls f(value type, index type, whether the largest wins as a constant).
template <typename F>
void dispatch(const SegmentExtremumArgs& a, const F& f) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    if (a.largest) {
      f(t, i, std::true_type{});
    } else {
      f(t, i, std::false_type{});
    }
  });
}

}  // namespace

void segment_extremum_rows(const SegmentExtremumArgs& a, int64_t batch, int64_t row_begin, int64_t row_end) {
  dispatch(a, [&](auto t, auto i, auto largest) {
    rows<largest.value, typename decltype(t)::type, typename decltype(i)::type>(a, batch, row_begin, row_end);
  });
}

void segment_extremum_piece(const SegmentExtremumArgs& a, int64_t batch, int64_t begin, int64_t end, void* partial) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    a.largest ? piece<true, T>(a, batch, begin, end, partial) : piece<false, T>(a, batch, begin, end, partial);
  });
}

void segment_extremum_merge(
    const SegmentExtremumArgs& a, int64_t batch, int64_t row, const void* partials, int64_t count, int64_t stride) {
  dispatch(a, [&](auto t, auto i, auto largest) {
    using T = typename decltype(t)::type;
    merge<largest.value, T, typename decltype(i)::type>(
        a, batch, row, static_cast<const char*>(partials), count, stride);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// src: [B, L, K], indptr: [S + 1]. Returns out and arg, [B, S, K]
std::tuple<Tensor, Tensor> segment_extremum(const Tensor& src, const Tensor& indptr, const std::string& reduce) {
  const Tensor values = as_contiguous(src), bounds = as_contiguous(indptr);
  const Segments segments(bounds);
  segments.check(src.size(1));
  const int64_t batches = src.size(0), features = src.size(2);
  Tensor out = allocate({batches, segments.count, features}, src.scalar_type());
  Tensor arg = allocate({batches, segments.count, features}, indptr.scalar_type());
  if (out.numel() == 0) return {out, arg};
  const char* data = static_cast<const char*>(pointer(values));
  const SegmentExtremumArgs args{
      .value = value_of(src),
      .is_64bit = segments.is_64bit,
      .largest = reduce == "max",
      .indptr = segments.indptr,
      .src = data,
      .src_end = data + src.numel() * src.element_size(),
      .out = out.mutable_data_ptr(),
      .arg = arg.mutable_data_ptr(),
      .num_segments = segments.count,
      .length = src.size(1),
      .features = features};
  const auto rows = GK_KERNEL(segment_extremum_rows);
  const auto piece = GK_KERNEL(segment_extremum_piece);
  const auto merge = GK_KERNEL(segment_extremum_merge);
  const int64_t stride = (features * (8 + accumulate_bytes(src)) + 7) / 8 * 8;
  reduce_segments(
      segments, batches, 2 * features, stride,
      [&](int64_t batch, int64_t begin, int64_t end) { rows(args, batch, begin, end); },
      [&](int64_t batch, const Piece& p, void* partial) { piece(args, batch, p.begin, p.end, partial); },
      [&](int64_t batch, int64_t row, const void* partials, int64_t count) {
        merge(args, batch, row, partials, count, stride);
      });
  return {out, arg};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("segment_extremum", TORCH_BOX(&graphkern::segment_extremum)); }
#endif
