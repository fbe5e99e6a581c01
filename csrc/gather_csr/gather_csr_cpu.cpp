#include "../common/rows.h"

namespace graphkern {

// src: [B, S, features]; out: [B, length, features]; mean: divided by the number of entries of the segment
struct GatherCsrArgs {
  Value value;
  bool is_64bit, mean;
  const void *indptr, *src;
  void* out;
  int64_t num_segments, length, features;
};
// Entries [begin, end) of one segment
GK_DECLARE_KERNEL(void, gather_csr_piece, const GatherCsrArgs&, int64_t batch, int64_t row, int64_t begin, int64_t end)
// Segments but those with more than kLongRow entries
GK_DECLARE_KERNEL(void, gather_csr_rows, const GatherCsrArgs&, int64_t batch, int64_t row_begin, int64_t row_end)

namespace GK_ISA {
namespace {

// A register of values as they are stored: copies need no conversion.
template <typename T>
struct Raw {
  static constexpr int kLanes = kVectorBytes / sizeof(T);
  char bytes[kVectorBytes];
};

template <typename T>
inline T divided(T value, Accumulate<T> count) {
  T out;
  from_accumulate(to_accumulate(value) / count, &out);
  return out;
}

// out[0 .. n) = value
template <typename T>
inline void fill(T value, int64_t n, T* out) {
  constexpr int L = Raw<T>::kLanes;
  int64_t i = 0;
  if (n >= L) {
    T block[L];
    for (int lane = 0; lane < L; ++lane) block[lane] = value;
    for (; i + L <= n; i += L) std::memcpy(out + i, block, sizeof(block));
  }
  for (; i < n; ++i) out[i] = value;
}

// `times` copies of row [0, features), one after the other.
template <typename T>
inline void repeat(const T* row, int64_t times, int64_t features, T* out) {
  constexpr int L = Raw<T>::kLanes;
  if (features == 1) return fill(row[0], times, out);
  if (features < L) {
    for (int64_t i = 0; i < times; ++i) {
      for (int64_t f = 0; f < features; ++f) out[i * features + f] = row[f];
    }
    return;
  }
  for (int64_t i = 0; i < times; ++i) {
    T* to = out + i * features;
    int64_t f = 0;
    for (; f + L <= features; f += L) std::memcpy(to + f, row + f, sizeof(Raw<T>));
    if (f < features) std::memcpy(to + features - L, row + features - L, sizeof(Raw<T>));
  }
}

template <typename T>
inline void segment(const GatherCsrArgs& a, int64_t batch, int64_t row, int64_t size, int64_t begin, int64_t end) {
  constexpr int kBlock = 256;  // divided values kept in a local array at a time
  const T* src = static_cast<const T*>(a.src) + (batch * a.num_segments + row) * a.features;
  T* out = static_cast<T*>(a.out) + (batch * a.length + begin) * a.features;
  if (!a.mean || size <= 1) return repeat(src, end - begin, a.features, out);
  if (a.features == 1) return fill(divided(src[0], size), end - begin, out);
  for (int64_t first = 0; first < a.features; first += kBlock) {
    const int64_t width = a.features - first < kBlock ? a.features - first : kBlock;
    T block[kBlock];
    for (int64_t f = 0; f < width; ++f) block[f] = divided(src[first + f], size);
    if (width == a.features) return repeat(block, end - begin, width, out);
    for (int64_t i = 0; i < end - begin; ++i) std::memcpy(out + i * a.features + first, block, width * sizeof(T));
  }
}

}  // namespace

void gather_csr_piece(const GatherCsrArgs& a, int64_t batch, int64_t row, int64_t begin, int64_t end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    const auto* indptr = static_cast<const typename decltype(i)::type*>(a.indptr);
    segment<typename decltype(t)::type>(a, batch, row, indptr[row + 1] - indptr[row], begin, end);
  });
}

void gather_csr_rows(const GatherCsrArgs& a, int64_t batch, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    const auto* indptr = static_cast<const typename decltype(i)::type*>(a.indptr);
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t begin = indptr[row], end = indptr[row + 1];
      if (end - begin <= kLongRow) segment<typename decltype(t)::type>(a, batch, row, end - begin, begin, end);
    }
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// src: [B, S, K], indptr: [S + 1]. Returns [B, length, K]
Tensor gather_csr(const Tensor& src, const Tensor& indptr, int64_t length, const std::string& reduce) {
  const Tensor values = as_contiguous(src), bounds = as_contiguous(indptr);
  const Segments segments(bounds);
  STD_TORCH_CHECK(segments.count == src.size(1), "indptr must have an entry more than src has segments");
  segments.check(length);
  const int64_t batches = src.size(0), features = src.size(2), row_bytes = features * src.element_size();
  Tensor out = allocate({batches, length, features}, src.scalar_type());
  if (out.numel() == 0) return out;
  char* data = static_cast<char*>(out.mutable_data_ptr());
  for (int64_t batch = 0; batch < batches; ++batch) {  // what lies outside of all segments
    const int64_t first = segments[0], last = segments[segments.count];
    std::fill_n(data + batch * length * row_bytes, first * row_bytes, 0);
    std::fill_n(data + (batch * length + last) * row_bytes, (length - last) * row_bytes, 0);
  }
  const GatherCsrArgs args{
      .value = value_of(src),
      .is_64bit = segments.is_64bit,
      .mean = reduce == "mean",
      .indptr = segments.indptr,
      .src = pointer(values),
      .out = data,
      .num_segments = segments.count,
      .length = length,
      .features = features};
  const auto rows = GK_KERNEL(gather_csr_rows);
  const auto piece = GK_KERNEL(gather_csr_piece);
  const std::vector<Piece> pieces = segments.long_pieces();
  const int64_t count = pieces.size();
  parallel_segments(
      segments, batches, features, batches * count,
      [&](int64_t i) { piece(args, i / count, pieces[i % count].row, pieces[i % count].begin, pieces[i % count].end); },
      [&](int64_t batch, int64_t begin, int64_t end) { rows(args, batch, begin, end); });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("gather_csr", TORCH_BOX(&graphkern::gather_csr)); }
#endif
