#include "../common/dispatch.h"

namespace graphkern {

// x: [M, features]; weight: [*, heads] read at edge[e] (edge null: e), or null; out: [N, features]
struct SpmmArgs {
  Value value;
  bool is_64bit, mean;
  const void *indptr, *indices, *edge, *x, *weight;
  void* out;
  int64_t features, heads;
};
GK_DECLARE_KERNEL(void, spmm_rows, const SpmmArgs&, int64_t row_begin, int64_t row_end)

namespace GK_ISA {
namespace {

constexpr int64_t kPrefetchDistance = 16;  // edges ahead

// One row, kBlocks registers of features from `offset` on (kPartial: `width` features). `last` bounds the prefetched
// edges.
template <int kBlocks, bool kPartial, bool kWeighted, typename T, typename I>
inline void reduce_blocks(const SpmmArgs& a, I begin, I end, I last, int64_t head, int64_t offset, T* out, int width) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const T* x = static_cast<const T*>(a.x) + offset;
  const T* weight = static_cast<const T*>(a.weight);
  const I* indices = static_cast<const I*>(a.indices);
  const I* edge = static_cast<const I*>(a.edge);
  Vec<A> sum[kBlocks] = {};
  for (I e = begin; e < end; ++e) {
    const T* source = x + int64_t(indices[e]) * a.features;
    if (e + kPrefetchDistance < last) {
      const char* ahead = reinterpret_cast<const char*>(x + int64_t(indices[e + kPrefetchDistance]) * a.features);
      for (size_t line = 0; line < kBlocks * L * sizeof(T); line += 64) __builtin_prefetch(ahead + line);
    }
    A w = 1;
    if constexpr (kWeighted) w = to_accumulate(weight[int64_t(edge ? edge[e] : e) * a.heads + head]);
#pragma GCC unroll 8
    for (int b = 0; b < kBlocks; ++b) {
      const Vec<A> value = kPartial ? load_partial(source, width) : load(source + b * L);
      sum[b] += kWeighted ? value * w : value;
    }
  }
  const A count = a.mean && end > begin ? A(end - begin) : A(1);
#pragma GCC unroll 8
  for (int b = 0; b < kBlocks; ++b) {
    if (a.mean) sum[b] /= count;
    if constexpr (kPartial) {
      store_partial<A>(sum[b], out + offset, width);
    } else {
      store(sum[b], out + offset + b * L);
    }
  }
}

template <bool kWeighted, typename T, typename I>
void rows(const SpmmArgs& a, int64_t row_begin, int64_t row_end) {
  constexpr int L = kLanes<Accumulate<T>>;
  const I* indptr = static_cast<const I*>(a.indptr);
  const I last = indptr[row_end];
  const int64_t depth = a.features / a.heads;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const I begin = indptr[row], end = indptr[row + 1];
    T* out = static_cast<T*>(a.out) + row * a.features;
    for (int64_t head = 0; head < a.heads; ++head) {
      int64_t d = head * depth;
      const int64_t stop = d + depth;
      for (; d + 8 * L <= stop; d += 8 * L) reduce_blocks<8, false, kWeighted>(a, begin, end, last, head, d, out, 0);
      if (d + 4 * L <= stop) {
        reduce_blocks<4, false, kWeighted>(a, begin, end, last, head, d, out, 0);
        d += 4 * L;
      }
      if (d + 2 * L <= stop) {
        reduce_blocks<2, false, kWeighted>(a, begin, end, last, head, d, out, 0);
        d += 2 * L;
      }
      if (d + L <= stop) {
        reduce_blocks<1, false, kWeighted>(a, begin, end, last, head, d, out, 0);
        d += L;
      }
      if (d < stop && depth >= L) {  // the last register overlaps the one before
        reduce_blocks<1, false, kWeighted>(a, begin, end, last, head, stop - L, out, 0);
      } else if (d < stop) {
        reduce_blocks<1, true, kWeighted>(a, begin, end, last, head, d, out, int(stop - d));
      }
    }
  }
}

}  // namespace

void spmm_rows(const SpmmArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    if (a.weight) {
      rows<true, T, I>(a, row_begin, row_end);
    } else {
      rows<false, T, I>(a, row_begin, row_end);
    }
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/checks.h"

namespace graphkern {
namespace {

// indptr: [N + 1], indices, edge: [E], x: [M, F], weight: [E, H]. Returns [N, F]
Tensor spmm(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>& edge, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const std::optional<Tensor>&, const Tensor& x, const std::optional<Tensor>& weight,
    const std::string& reduce) {
  const Tensor features = torch::stable::contiguous(x);
  const std::optional<Tensor> weights = contiguous(weight);
  Tensor out = allocate({indptr.size(0) - 1, x.size(1)}, x.scalar_type());
  if (out.numel() == 0) return out;
  const SpmmArgs args{
      value_of(x),
      is_64bit(indptr),
      reduce == "mean",
      pointer(indptr),
      pointer(indices),
      pointer(edge),
      pointer(features),
      pointer(weights),
      out.mutable_data_ptr(),
      x.size(1),
      weight ? weight->size(1) : 1};
  const auto kernel = GK_KERNEL(spmm_rows);
  parallel_rows(indptr, x.size(1), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("spmm", TORCH_BOX(&graphkern::spmm)); }
#endif
