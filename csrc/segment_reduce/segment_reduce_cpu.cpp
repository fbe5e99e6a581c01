#include "../common/lanes.h"
#include "../common/rows.h"

namespace graphkern {

// src: [B, length, features]; out: [B, S, features]
struct SegmentArgs {
  Value value;
  bool is_64bit, mean;
  const void *indptr, *src, *src_end;
  void* out;
  int64_t num_segments, length, features;
};
GK_DECLARE_KERNEL(void, segment_rows, const SegmentArgs&, int64_t batch, int64_t row_begin, int64_t row_end)
// partial: [features] sums of the entries [begin, end), in the accumulation type
GK_DECLARE_KERNEL(void, segment_piece, const SegmentArgs&, int64_t batch, int64_t begin, int64_t end, void* partial)
// partials: [count, features] of the segment
GK_DECLARE_KERNEL(
    void, segment_merge, const SegmentArgs&, int64_t batch, int64_t row, const void* partials, int64_t count)

namespace GK_ISA {
namespace {

// Sums of rows that are a register wide or more: kRegisters of them from src on, in rows [0, num_rows) that are
// `features` apart. Two chains of additions where one would wait for itself.
template <int kRegisters, typename T>
inline void sum_wide(const T* src, int64_t num_rows, int64_t features, Vec<Accumulate<T>>* sum) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>, kChains = kRegisters <= 2 ? 2 : 1;
  Vec<A> chain[kChains][kRegisters] = {};
  int64_t row = 0;
  for (; row + kChains <= num_rows; row += kChains) {
    for (int c = 0; c < kChains; ++c) {
      const T* from = src + (row + c) * features;
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r) chain[c][r] += load(from + r * L);
    }
  }
  for (; row < num_rows; ++row) {
    for (int r = 0; r < kRegisters; ++r) chain[0][r] += load(src + row * features + r * L);
  }
  for (int r = 0; r < kRegisters; ++r) sum[r] = kChains == 2 ? chain[0][r] + chain[kChains - 1][r] : chain[0][r];
}

// Sums of rows narrower than a register: one load takes L / features rows. Lane i of the result holds the sum of
// feature i % features over some of the rows; lanes from (L / features) * features on hold nothing of use.
template <typename T>
inline Vec<Accumulate<T>> sum_narrow(const T* src, const T* src_end, int64_t num_rows, int64_t features) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const int64_t step = features == 1 ? L : L / features * features, size = num_rows * features;
  const bool inside = src + size + L <= src_end;
  Vec<A> sum = {};
  int64_t i = 0;
  if (size >= 4 * step) {
    Vec<A> chain[4] = {};
    for (; i + 4 * step + (L - step) <= size; i += 4 * step) {
      for (int c = 0; c < 4; ++c) chain[c] += load(src + i + c * step);
    }
    sum = (chain[0] + chain[1]) + (chain[2] + chain[3]);
  }
  for (; i + step <= size && (inside || src + i + L <= src_end); i += step) sum += load(src + i);
  for (; i < size; i += step) {
    const int left = int(size - i < step ? size - i : step);
    if (inside || src + i + L <= src_end) {
      sum += keep_first<A>(load(src + i), left);
    } else {
      sum += load_partial(src + i, left);
    }
  }
  return sum;
}

// out[f] = scale * the lanes of feature f
template <typename A, typename T>
inline void fold(Vec<A> sum, int64_t features, A scale, T* out) {
  constexpr int L = kLanes<A>;
  A lane[L];
  store(sum, lane);
  const int rows = L / int(features);
  for (int f = 0; f < features; ++f) {
    A total = lane[f];
    for (int row = 1; row < rows; ++row) total += lane[row * features + f];
    from_accumulate(total * scale, out + f);
  }
}

// Sums of the entries [begin, end), in pieces that store(first feature, width, register) takes.
template <typename T, typename S>
inline void sum_entries(const SegmentArgs& a, const T* src, int64_t begin, int64_t end, const S& store_sum) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  for_registers<8>(0, a.features, L, [&](auto registers, int64_t first, int width) {
    Vec<A> sum[registers.value];
    sum_wide<registers.value>(src + begin * a.features + first, end - begin, a.features, sum);
    for (int r = 0; r < registers.value; ++r) store_sum(sum[r], first + r * L, width);
  });
}

template <typename T>
inline Accumulate<T> row_scale(const SegmentArgs& a, int64_t entries) {
  return a.mean && entries > 1 ? Accumulate<T>(1) / Accumulate<T>(entries) : Accumulate<T>(1);
}

// One feature: a register of segments at a time.
template <typename T, typename I>
void single_rows(const SegmentArgs& a, const T* src, T* out, int64_t row_begin, int64_t row_end) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const I* indptr = static_cast<const I*>(a.indptr);
  const T* src_end = static_cast<const T*>(a.src_end);
  for (int64_t row = row_begin; row < row_end; row += L) {
    const int rows = int(row_end - row < L ? row_end - row : L);
    Vec<A> sum[L] = {}, scale = Vec<A>{} + 1;
    for (int i = 0; i < rows; ++i) {
      const int64_t begin = indptr[row + i], entries = indptr[row + i + 1] - begin;
      if (entries > kLongRow) continue;  // its result comes later
      sum[i] = sum_narrow(src + begin, src_end, entries, 1);
      scale[i] = row_scale<T>(a, entries);
    }
    store_some<A>(sum_lanes<L, L, A>(sum) * scale, out + row, rows);
  }
}

template <typename T, typename I>
void rows(const SegmentArgs& a, int64_t batch, int64_t row_begin, int64_t row_end) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const I* indptr = static_cast<const I*>(a.indptr);
  const T* src = static_cast<const T*>(a.src) + batch * a.length * a.features;
  T* out = static_cast<T*>(a.out) + batch * a.num_segments * a.features;
  if (a.features == 1) return single_rows<T, I>(a, src, out, row_begin, row_end);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t begin = indptr[row], end = indptr[row + 1];
    if (end - begin > kLongRow) continue;
    T* target = out + row * a.features;
    const A scale = row_scale<T>(a, end - begin);
    if (a.features < L) {
      const T* src_end = static_cast<const T*>(a.src_end);
      fold<A>(sum_narrow(src + begin * a.features, src_end, end - begin, a.features), a.features, scale, target);
    } else {
      sum_entries(a, src, begin, end, [&](Vec<A> sum, int64_t f, int) { store(sum * scale, target + f); });
    }
  }
}

template <typename T>
void piece(const SegmentArgs& a, int64_t batch, int64_t begin, int64_t end, Accumulate<T>* partial) {
  using A = Accumulate<T>;
  const T* src = static_cast<const T*>(a.src) + batch * a.length * a.features;
  if (a.features < kLanes<A>) {
    const T* src_end = static_cast<const T*>(a.src_end);
    fold<A>(sum_narrow(src + begin * a.features, src_end, end - begin, a.features), a.features, A(1), partial);
  } else {
    sum_entries(a, src, begin, end, [&](Vec<A> sum, int64_t f, int) { store(sum, partial + f); });
  }
}

}  // namespace

void segment_rows(const SegmentArgs& a, int64_t batch, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    rows<typename decltype(t)::type, typename decltype(i)::type>(a, batch, row_begin, row_end);
  });
}

void segment_piece(const SegmentArgs& a, int64_t batch, int64_t begin, int64_t end, void* partial) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    piece<T>(a, batch, begin, end, static_cast<Accumulate<T>*>(partial));
  });
}

void segment_merge(const SegmentArgs& a, int64_t batch, int64_t row, const void* partials, int64_t count) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    const auto* indptr = static_cast<const typename decltype(i)::type*>(a.indptr);
    const Accumulate<T> scale = row_scale<T>(a, indptr[row + 1] - indptr[row]);
    T* out = static_cast<T*>(a.out) + (batch * a.num_segments + row) * a.features;
    merge_sums<T>(static_cast<const Accumulate<T>*>(partials), count, a.features, a.features, scale, out);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// src: [B, L, K], indptr: [S + 1]. Returns [B, S, K]
Tensor segment_reduce(const Tensor& src, const Tensor& indptr, const std::string& reduce) {
  const Tensor values = as_contiguous(src), bounds = as_contiguous(indptr);
  const Segments segments(bounds);
  segments.check(src.size(1));
  Tensor out = allocate({src.size(0), segments.count, src.size(2)}, src.scalar_type());
  if (out.numel() == 0) return out;
  const int64_t features = src.size(2);
  const char* data = static_cast<const char*>(pointer(values));
  const SegmentArgs args{
      .value = value_of(src),
      .is_64bit = segments.is_64bit,
      .mean = reduce == "mean",
      .indptr = segments.indptr,
      .src = data,
      .src_end = data + src.numel() * src.element_size(),
      .out = out.mutable_data_ptr(),
      .num_segments = segments.count,
      .length = src.size(1),
      .features = features};
  const auto rows = GK_KERNEL(segment_rows);
  const auto piece = GK_KERNEL(segment_piece);
  const auto merge = GK_KERNEL(segment_merge);
  reduce_segments(
      segments, src.size(0), features, features * accumulate_bytes(src),
      [&](int64_t batch, int64_t begin, int64_t end) { rows(args, batch, begin, end); },
      [&](int64_t batch, const Piece& p, void* partial) { piece(args, batch, p.begin, p.end, partial); },
      [&](int64_t batch, int64_t row, const void* partials, int64_t count) {
        merge(args, batch, row, partials, count);
      });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("segment_reduce", TORCH_BOX(&graphkern::segment_reduce)); }
#endif
