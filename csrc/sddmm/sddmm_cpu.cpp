#include "../common/rows.h"

namespace graphkern {

// q: [N, features], k: [M, features]; out: [E, heads], stored edge e at row edge[e] (edge null: e)
struct SddmmArgs {
  Value value;
  bool is_64bit;
  const void *indptr, *indices, *edge, *q, *k;
  void* out;
  int64_t features, heads;
};
GK_DECLARE_KERNEL(void, sddmm_rows, const SddmmArgs&, int64_t row_begin, int64_t row_end)
// The edges [begin, end) of one row.
GK_DECLARE_KERNEL(void, sddmm_piece, const SddmmArgs&, int64_t row, int64_t begin, int64_t end)

namespace GK_ISA {
namespace {

// A row's edges [begin, end); `last` bounds the prefetched ones.
template <typename T, typename I>
struct Row {
  using A = Accumulate<T>;
  const SddmmArgs& a;
  const I* indices;
  const T *q, *k;
  int64_t begin, end, last;

  Row(const SddmmArgs& args, int64_t row, int64_t begin, int64_t end, int64_t last)
      : a(args),
        indices(static_cast<const I*>(a.indices)),
        q(static_cast<const T*>(a.q) + row * a.features),
        k(static_cast<const T*>(a.k)),
        begin(begin),
        end(end),
        last(last) {}

  const T* column(int64_t e) const { return k + int64_t(indices[e]) * a.features; }

  T* out(int64_t e) const {
    const I* edge = static_cast<const I*>(a.edge);
    return static_cast<T*>(a.out) + (edge ? int64_t(edge[e]) : e) * a.heads;
  }

  __attribute__((always_inline)) void prefetch_ahead(int64_t e) const {
    if (e + kPrefetchDistance < last) prefetch(column(e + kPrefetchDistance), a.features * sizeof(T));
  }

  // One head: several edges share the additions across lanes.
  void one_head() const {
    constexpr int kEdges = kLanes<A> < 4 ? 1 : 4;
    int64_t e = begin;
    for (; e + kEdges <= end; e += kEdges) dots<kEdges>(e);
    for (; e < end; ++e) dots<1>(e);
  }

  template <int kEdges>
  void dots(int64_t e) const {
    constexpr int L = kLanes<A>;
    const T* columns[kEdges];
#pragma GCC unroll 4
    for (int i = 0; i < kEdges; ++i) {
      prefetch_ahead(e + i);
      columns[i] = column(e + i);
    }
    Vec<A> sum[kEdges] = {};
    int64_t f = 0;
    for (; f + L <= a.features; f += L) {
      const Vec<A> own = load(q + f);
#pragma GCC unroll 4
      for (int i = 0; i < kEdges; ++i) sum[i] += own * load(columns[i] + f);
    }
    if (f < a.features) {
      const int width = int(a.features - f);
      const Vec<A> own = load_partial(q + f, width);
#pragma GCC unroll 4
      for (int i = 0; i < kEdges; ++i) sum[i] += own * load_partial(columns[i] + f, width);
    }
    const Vec<A> dot = sum_lanes<L, kEdges, A>(sum);
#pragma GCC unroll 4
    for (int i = 0; i < kEdges; ++i) from_accumulate(dot[i], out(e + i));
  }

  // kDepth: features a head, where those are less than a register and known; else 0.
  template <int kDepth>
  void many_heads() const {
    const int64_t depth = kDepth ? kDepth : a.features / a.heads;
    for (int64_t e = begin; e < end; ++e) {
      prefetch_ahead(e);
      const T* other = column(e);
      const auto product = [&](int64_t f, int width) { return load_some(q + f, width) * load_some(other + f, width); };
      head_dots<kDepth, A>(a.heads, depth, product, out(e));
    }
  }
};

template <typename T, typename I>
void dot_edges(const SddmmArgs& a, int64_t row, int64_t begin, int64_t end, int64_t last) {
  const Row<T, I> edges(a, row, begin, end, last);
  if (a.heads == 1) {
    edges.one_head();
  } else if (a.features % kLanes<Accumulate<T>> != 0 || a.features / a.heads > 4) {
    edges.template many_heads<0>();
  } else if (a.features == 4 * a.heads) {
    edges.template many_heads<4>();
  } else if (a.features == 2 * a.heads) {
    edges.template many_heads<2>();
  } else {
    edges.template many_heads<0>();
  }
}

}  // namespace

void sddmm_rows(const SddmmArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using I = typename decltype(i)::type;
    const I* indptr = static_cast<const I*>(a.indptr);
    const int64_t last = indptr[row_end];
    for (int64_t row = row_begin; row < row_end; ++row) {
      if (indptr[row + 1] - indptr[row] > kLongRow) continue;
      dot_edges<typename decltype(t)::type, I>(a, row, indptr[row], indptr[row + 1], last);
    }
  });
}

void sddmm_piece(const SddmmArgs& a, int64_t row, int64_t begin, int64_t end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    dot_edges<typename decltype(t)::type, typename decltype(i)::type>(a, row, begin, end, end);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// indptr: [N + 1], indices, edge: [E], q: [N, F], k: [M, F]. Returns [E, heads]
Tensor sddmm(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>& edge, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const std::optional<Tensor>&, const Tensor& q, const Tensor& k, int64_t heads) {
  const Tensor rows = as_contiguous(q), columns = as_contiguous(k);
  Tensor out = allocate({indices.size(0), heads}, q.scalar_type());
  const SddmmArgs args{value_of(q),   is_64bit(indptr), pointer(indptr),        pointer(indices), pointer(edge),
                       pointer(rows), pointer(columns), out.mutable_data_ptr(), q.size(1),        heads};
  const auto short_rows = GK_KERNEL(sddmm_rows);
  const auto part = GK_KERNEL(sddmm_piece);
  const std::vector<Piece> pieces = Segments(indptr).long_pieces();
  parallel_rows(
      indptr, q.size(1), pieces.size(), [&](int64_t i) { part(args, pieces[i].row, pieces[i].begin, pieces[i].end); },
      [&](int64_t begin, int64_t end) { short_rows(args, begin, end); });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("sddmm", TORCH_BOX(&graphkern::sddmm)); }
#endif
