#include "../common/rows.h"

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
// partial: [features] sums of the edges [begin, end), in the accumulation type
GK_DECLARE_KERNEL(void, spmm_piece, const SpmmArgs&, int64_t begin, int64_t end, void* partial)
// partials: [count, features] of the row
GK_DECLARE_KERNEL(void, spmm_merge, const SpmmArgs&, int64_t row, const void* partials, int64_t count)

namespace GK_ISA {
namespace {

// Edges [begin, end), kRegisters registers of features from `first` on, or `width` features where those are fewer.
// kHeads: heads in a register, 0 without weights. sum is store(register, feature)d. `last` bounds the prefetched edges.
template <int kRegisters, int kHeads, typename T, typename I, typename S>
inline void sum_edges(const SpmmArgs& a, I begin, I end, I last, int64_t first, int width, const S& store_sum) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const T* x = static_cast<const T*>(a.x) + first;
  const T* weight = static_cast<const T*>(a.weight);
  const I* indices = static_cast<const I*>(a.indices);
  const I* edge = static_cast<const I*>(a.edge);
  const int64_t depth = a.features / a.heads;
  const I ahead = I(prefetch_distance(a.features * sizeof(T)));
  int64_t head[kRegisters];
  for (int r = 0; r < kRegisters; ++r) head[r] = (first + r * L) / depth;
  Vec<A> sum[kRegisters] = {};
  for (I e = begin; e < end; ++e) {
    const T* source = x + int64_t(indices[e]) * a.features;
    if (e + ahead < last) {
      prefetch(x + int64_t(indices[e + ahead]) * a.features, kRegisters * L * sizeof(T));
    }
    [[maybe_unused]] const T* w = kHeads ? weight + int64_t(edge ? edge[e] : e) * a.heads : nullptr;
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) {
      const Vec<A> value = load_some(source + r * L, width);
      if constexpr (kHeads == 0) {
        sum[r] += value;
      } else {
        sum[r] += value * head_weights<kHeads>(w + head[r]);
      }
    }
  }
  for (int r = 0; r < kRegisters; ++r) store_sum(sum[r], first + r * L);
}

// All features of the edges [begin, end): their sum times `scale` to out, or as it is to `partial` where there is one.
template <int kHeads, typename T, typename I>
__attribute__((noinline)) void sum_row(
    const SpmmArgs& a, const HeadLayout& layout, I begin, I end, I last, Accumulate<T> scale, T* out,
    Accumulate<T>* partial) {
  using A = Accumulate<T>;
  for (int64_t region = 0; region < layout.regions; ++region) {
    const int64_t from = region * layout.width;
    for_registers<8>(from, from + layout.width, kLanes<A>, [&](auto registers, int64_t first, int width) {
      sum_edges<registers.value, kHeads, T, I>(a, begin, end, last, first, width, [&](Vec<A> sum, int64_t feature) {
        if (partial) {
          store_some<A>(sum, partial + feature, width);
        } else {
          store_some<A>(sum * scale, out + feature, width);
        }
      });
    });
  }
}

template <int kHeads, typename T, typename I>
void rows(const SpmmArgs& a, const HeadLayout& layout, int64_t row_begin, int64_t row_end) {
  using A = Accumulate<T>;
  const I* indptr = static_cast<const I*>(a.indptr);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const I begin = indptr[row], end = indptr[row + 1];
    if (end - begin > kLongRow) continue;
    const A scale = a.mean && end > begin ? A(1) / A(end - begin) : A(1);
    T* out = static_cast<T*>(a.out) + row * a.features;
    sum_row<kHeads, T, I>(a, layout, begin, end, indptr[row_end], scale, out, nullptr);
  }
}

// Calls f(value type, index type, heads in a register as a constant, layout).
template <typename F>
void dispatch(const SpmmArgs& a, const F& f) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using A = Accumulate<typename decltype(t)::type>;
    const HeadLayout layout = head_layout(a.features, a.heads, kLanes<A>);
    if (!a.weight) return f(t, i, std::integral_constant<int, 0>{}, layout);
    dispatch_heads<A>(layout, [&](auto heads) { f(t, i, heads, layout); });
  });
}

}  // namespace

void spmm_rows(const SpmmArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch(a, [&](auto t, auto i, auto heads, const HeadLayout& layout) {
    rows<heads.value, typename decltype(t)::type, typename decltype(i)::type>(a, layout, row_begin, row_end);
  });
}

void spmm_piece(const SpmmArgs& a, int64_t begin, int64_t end, void* partial) {
  dispatch(a, [&](auto t, auto i, auto heads, const HeadLayout& layout) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    sum_row<heads.value, T, I>(a, layout, I(begin), I(end), I(end), 1, nullptr, static_cast<Accumulate<T>*>(partial));
  });
}

void spmm_merge(const SpmmArgs& a, int64_t row, const void* partials, int64_t count) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const I* indptr = static_cast<const I*>(a.indptr);
    const auto* sums = static_cast<const Accumulate<T>*>(partials);
    const Accumulate<T> scale = a.mean ? Accumulate<T>(1) / (indptr[row + 1] - indptr[row]) : 1;
    merge_sums<T>(sums, count, a.features, a.features, scale, static_cast<T*>(a.out) + row * a.features);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// indptr: [N + 1], indices, edge: [E], x: [M, F], weight: [E, H]. Returns [N, F]
Tensor spmm(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>& edge, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const std::optional<Tensor>&, const Tensor& x, const std::optional<Tensor>& weight,
    const std::string& reduce) {
  const Tensor features = as_contiguous(x);
  const std::optional<Tensor> weights = as_contiguous(weight);
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
  const auto rows = GK_KERNEL(spmm_rows);
  const auto piece = GK_KERNEL(spmm_piece);
  const auto merge = GK_KERNEL(spmm_merge);
  reduce_rows(
      indptr, x.size(1), x.size(1) * accumulate_bytes(x), [&](int64_t begin, int64_t end) { rows(args, begin, end); },
      [&](const Piece& p, void* partial) { piece(args, p.begin, p.end, partial); },
      [&](int64_t row, const void* partials, int64_t count) { merge(args, row, partials, count); });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("spmm", TORCH_BOX(&graphkern::spmm)); }
#endif
