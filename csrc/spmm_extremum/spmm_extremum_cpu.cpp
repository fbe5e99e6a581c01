#include <type_traits>

#include "../common/dispatch.h"

namespace graphkern {

// Stored edges are numbered by position. weight: [E, heads] or null; arg: [N, features], the winning edge or -1.
struct ExtremumArgs {
  Value value;
  bool is_64bit, largest;
  const void *indptr, *indices, *edge;  // the graph; for grad_x its transpose, with edge the position in the graph
  const void *x, *weight, *grad;        // x: [M, features], grad: [N, features]
  void *out, *arg;
  int64_t features, heads;
};
GK_DECLARE_KERNEL(void, extremum_rows, const ExtremumArgs&, int64_t row_begin, int64_t row_end)
GK_DECLARE_KERNEL(void, extremum_grad_x_rows, const ExtremumArgs&, int64_t row_begin, int64_t row_end)
GK_DECLARE_KERNEL(void, extremum_grad_weight_rows, const ExtremumArgs&, int64_t row_begin, int64_t row_end)

namespace GK_ISA {
namespace {

constexpr int kBlock = 64;  // features kept in local arrays at a time
constexpr int64_t kPrefetchDistance = 16;

// Calls f(head, first feature, width) for blocks of features that lie in one head each.
template <typename F>
inline void for_blocks(int64_t features, int64_t heads, const F& f) {
  const int64_t depth = features / heads;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t d = 0; d < depth; d += kBlock) {
      f(head, head * depth + d, int(depth - d < kBlock ? depth - d : kBlock));
    }
  }
}

// One row, kBlocks registers of features from `offset` on (kPartial: `width` features). The winner is counted from the
// row's first edge, in an integer as wide as the values.
template <int kBlocks, bool kPartial, bool kLargest, typename T, typename I>
inline void best_blocks(const ExtremumArgs& a, int64_t row, int64_t last, int64_t head, int64_t offset, int width) {
  using A = Accumulate<T>;
  using Offset = std::conditional_t<sizeof(A) == 8, int64_t, int32_t>;
  constexpr int L = kLanes<A>;
  const I* indices = static_cast<const I*>(a.indices);
  const int64_t begin = static_cast<const I*>(a.indptr)[row], end = static_cast<const I*>(a.indptr)[row + 1];
  const T* x = static_cast<const T*>(a.x) + offset;
  const T* weight = static_cast<const T*>(a.weight);
  Vec<A> best[kBlocks] = {};
  Vec<Offset> winner[kBlocks];
  for (int b = 0; b < kBlocks; ++b) winner[b] = Vec<Offset>{} - 1;
  for (int64_t e = begin; e < end; ++e) {
    const T* source = x + int64_t(indices[e]) * a.features;
    if (e + kPrefetchDistance < last) {
      const char* ahead = reinterpret_cast<const char*>(x + int64_t(indices[e + kPrefetchDistance]) * a.features);
      for (size_t line = 0; line < kBlocks * L * sizeof(T); line += 64) __builtin_prefetch(ahead + line);
    }
    const A w = weight ? to_accumulate(weight[e * a.heads + head]) : A(1);
    const Vec<Offset> here = Vec<Offset>{} + Offset(e - begin), first = Vec<Offset>{} - Offset(e == begin);
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
      const Vec<A> value = (kPartial ? load_partial(source, width) : load(source + b * L)) * w;
      const Vec<Offset> better = kLargest ? value > best[b] : value < best[b];
      const Vec<Offset> wins = first | better | ((value != value) & (best[b] == best[b]));
      best[b] = wins ? value : best[b];
      winner[b] = wins ? here : winner[b];
    }
  }
  T* out = static_cast<T*>(a.out) + row * a.features + offset;
  I* arg = static_cast<I*>(a.arg) + row * a.features + offset;
  for (int b = 0; b < kBlocks; ++b) {
    if constexpr (kPartial) {
      store_partial<A>(best[b], out, width);
    } else {
      store(best[b], out + b * L);
    }
    for (int i = 0; i < (kPartial ? width : L); ++i) arg[b * L + i] = I(winner[b][i] < 0 ? -1 : begin + winner[b][i]);
  }
}

template <bool kLargest, typename T, typename I>
void rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  constexpr int L = kLanes<Accumulate<T>>;
  const int64_t depth = a.features / a.heads, last = static_cast<const I*>(a.indptr)[row_end];
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t head = 0; head < a.heads; ++head) {
      int64_t d = head * depth;
      const int64_t stop = d + depth;
      for (; d + 4 * L <= stop; d += 4 * L) best_blocks<4, false, kLargest, T, I>(a, row, last, head, d, 0);
      for (; d + L <= stop; d += L) best_blocks<1, false, kLargest, T, I>(a, row, last, head, d, 0);
      if (d < stop) best_blocks<1, true, kLargest, T, I>(a, row, last, head, d, int(stop - d));
    }
  }
}

// Rows of the transpose: columns of the graph.
template <typename T, typename I>
void grad_x_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  using A = Accumulate<T>;
  const I* indptr = static_cast<const I*>(a.indptr);
  const I* indices = static_cast<const I*>(a.indices);
  const I* edge = static_cast<const I*>(a.edge);
  const T* weight = static_cast<const T*>(a.weight);
  for (int64_t row = row_begin; row < row_end; ++row) {
    for_blocks(a.features, a.heads, [&](int64_t head, int64_t feature, int width) {
      A sum[kBlock] = {};
      for (int64_t e = indptr[row]; e < indptr[row + 1]; ++e) {
        const int64_t source = int64_t(indices[e]) * a.features + feature;
        const T* grad = static_cast<const T*>(a.grad) + source;
        const I* arg = static_cast<const I*>(a.arg) + source;
        const A w = weight ? to_accumulate(weight[int64_t(edge[e]) * a.heads + head]) : A(1);
        for (int f = 0; f < width; ++f) sum[f] += arg[f] == edge[e] ? to_accumulate(grad[f]) * w : A(0);
      }
      T* out = static_cast<T*>(a.out) + row * a.features + feature;
      for (int f = 0; f < width; ++f) from_accumulate(sum[f], out + f);
    });
  }
}

template <typename T, typename I>
void grad_weight_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  using A = Accumulate<T>;
  const I* indptr = static_cast<const I*>(a.indptr);
  const I* indices = static_cast<const I*>(a.indices);
  const int64_t depth = a.features / a.heads;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const T* grad = static_cast<const T*>(a.grad) + row * a.features;
    const I* arg = static_cast<const I*>(a.arg) + row * a.features;
    for (int64_t e = indptr[row]; e < indptr[row + 1]; ++e) {
      const T* x = static_cast<const T*>(a.x) + int64_t(indices[e]) * a.features;
      for (int64_t head = 0; head < a.heads; ++head) {
        A sum = 0;
        for (int64_t f = head * depth; f < (head + 1) * depth; ++f) {
          sum += arg[f] == e ? to_accumulate(grad[f]) * to_accumulate(x[f]) : A(0);
        }
        from_accumulate(sum, static_cast<T*>(a.out) + e * a.heads + head);
      }
    }
  }
}

}  // namespace

void extremum_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    if (a.largest) {
      rows<true, T, I>(a, row_begin, row_end);
    } else {
      rows<false, T, I>(a, row_begin, row_end);
    }
  });
}

void extremum_grad_x_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    grad_x_rows<typename decltype(t)::type, typename decltype(i)::type>(a, row_begin, row_end);
  });
}

void extremum_grad_weight_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    grad_weight_rows<typename decltype(t)::type, typename decltype(i)::type>(a, row_begin, row_end);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/checks.h"

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

// indptr: [N + 1], indices: [E], x: [M, F], weight: [E, H]. Returns out and arg, [N, F]
std::tuple<Tensor, Tensor> spmm_extremum(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>&, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const Tensor& x, const std::optional<Tensor>& weight, const std::string& reduce) {
  const Tensor features = torch::stable::contiguous(x);
  const std::optional<Tensor> weights = contiguous(weight);
  Tensor out = allocate({indptr.size(0) - 1, x.size(1)}, x.scalar_type());
  Tensor arg = allocate({indptr.size(0) - 1, x.size(1)}, indices.scalar_type());
  const ExtremumArgs args{
      .value = value_of(x),
      .is_64bit = is_64bit(indptr),
      .largest = reduce == "max",
      .indptr = pointer(indptr),
      .indices = pointer(indices),
      .edge = nullptr,
      .x = pointer(features),
      .weight = pointer(weights),
      .grad = nullptr,
      .out = out.mutable_data_ptr(),
      .arg = arg.mutable_data_ptr(),
      .features = x.size(1),
      .heads = weight ? weight->size(1) : 1};
  check_degrees(indptr);
  const auto kernel = GK_KERNEL(extremum_rows);
  parallel_rows(indptr, x.size(1), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return {out, arg};
}

// grad, arg: [N, F], weight: [E, H]. Returns [M, F]
Tensor spmm_extremum_grad_x(
    const Tensor&, const Tensor&, const Tensor& t_indptr, const Tensor& t_indices, const Tensor& t_edge,
    const Tensor& grad, const Tensor& arg, const std::optional<Tensor>& weight) {
  const Tensor grads = torch::stable::contiguous(grad), winners = torch::stable::contiguous(arg);
  const std::optional<Tensor> weights = contiguous(weight);
  Tensor out = allocate({t_indptr.size(0) - 1, grad.size(1)}, grad.scalar_type());
  const ExtremumArgs args{
      .value = value_of(grad),
      .is_64bit = is_64bit(t_indptr),
      .largest = false,
      .indptr = pointer(t_indptr),
      .indices = pointer(t_indices),
      .edge = pointer(t_edge),
      .x = nullptr,
      .weight = pointer(weights),
      .grad = pointer(grads),
      .out = out.mutable_data_ptr(),
      .arg = const_cast<void*>(pointer(winners)),
      .features = grad.size(1),
      .heads = weight ? weight->size(1) : 1};
  const auto kernel = GK_KERNEL(extremum_grad_x_rows);
  parallel_rows(t_indptr, grad.size(1), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return out;
}

// grad, arg: [N, F], x: [M, F]. Returns [E, heads]
Tensor spmm_extremum_grad_weight(
    const Tensor& indptr, const Tensor& indices, const Tensor&, const Tensor&, const Tensor&, const Tensor& grad,
    const Tensor& arg, const Tensor& x, int64_t heads) {
  const Tensor grads = torch::stable::contiguous(grad), winners = torch::stable::contiguous(arg);
  const Tensor features = torch::stable::contiguous(x);
  Tensor out = allocate({indices.size(0), heads}, x.scalar_type());
  const ExtremumArgs args{
      .value = value_of(x),
      .is_64bit = is_64bit(indptr),
      .largest = false,
      .indptr = pointer(indptr),
      .indices = pointer(indices),
      .edge = nullptr,
      .x = pointer(features),
      .weight = nullptr,
      .grad = pointer(grads),
      .out = out.mutable_data_ptr(),
      .arg = const_cast<void*>(pointer(winners)),
      .features = x.size(1),
      .heads = heads};
  const auto kernel = GK_KERNEL(extremum_grad_weight_rows);
  parallel_rows(indptr, x.size(1), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("spmm_extremum", TORCH_BOX(&graphkern::spmm_extremum));
  m.impl("spmm_extremum_grad_x", TORCH_BOX(&graphkern::spmm_extremum_grad_x));
  m.impl("spmm_extremum_grad_weight", TORCH_BOX(&graphkern::spmm_extremum_grad_weight));
}
#endif
