#include "../common/dispatch.h"

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

namespace GK_ISA {
namespace {

constexpr int64_t kPrefetchDistance = 16;

template <typename T>
inline Accumulate<T> dot(const T* a, const T* b, int64_t n) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  Vec<A> sum[4] = {};
  int64_t d = 0;
  for (; d + 4 * L <= n; d += 4 * L) {
    for (int j = 0; j < 4; ++j) sum[j] += load(a + d + j * L) * load(b + d + j * L);
  }
  for (; d + L <= n; d += L) sum[0] += load(a + d) * load(b + d);
  if (d < n) sum[1] += load_partial(a + d, int(n - d)) * load_partial(b + d, int(n - d));
  return horizontal_sum<A>((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <typename T, typename I>
void rows(const SddmmArgs& a, int64_t row_begin, int64_t row_end) {
  const I* indptr = static_cast<const I*>(a.indptr);
  const I* indices = static_cast<const I*>(a.indices);
  const I* edge = static_cast<const I*>(a.edge);
  const T* k = static_cast<const T*>(a.k);
  const int64_t depth = a.features / a.heads, last = indptr[row_end];
  for (int64_t row = row_begin; row < row_end; ++row) {
    const T* q = static_cast<const T*>(a.q) + row * a.features;
    for (int64_t e = indptr[row]; e < indptr[row + 1]; ++e) {
      if (e + kPrefetchDistance < last) {
        const char* ahead = reinterpret_cast<const char*>(k + int64_t(indices[e + kPrefetchDistance]) * a.features);
        for (size_t line = 0; line < a.features * sizeof(T); line += 64) __builtin_prefetch(ahead + line);
      }
      const T* column = k + int64_t(indices[e]) * a.features;
      T* out = static_cast<T*>(a.out) + (edge ? int64_t(edge[e]) : e) * a.heads;
      for (int64_t head = 0; head < a.heads; ++head) {
        from_accumulate(dot(q + head * depth, column + head * depth, depth), out + head);
      }
    }
  }
}

}  // namespace

void sddmm_rows(const SddmmArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    rows<typename decltype(t)::type, typename decltype(i)::type>(a, row_begin, row_end);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/checks.h"

namespace graphkern {
namespace {

// indptr: [N + 1], indices, edge: [E], q: [N, F], k: [M, F]. Returns [E, heads]
Tensor sddmm(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>& edge, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const std::optional<Tensor>&, const Tensor& q, const Tensor& k, int64_t heads) {
  const Tensor rows = torch::stable::contiguous(q), columns = torch::stable::contiguous(k);
  Tensor out = allocate({indices.size(0), heads}, q.scalar_type());
  const SddmmArgs args{value_of(q),   is_64bit(indptr), pointer(indptr),        pointer(indices), pointer(edge),
                       pointer(rows), pointer(columns), out.mutable_data_ptr(), q.size(1),        heads};
  const auto kernel = GK_KERNEL(sddmm_rows);
  parallel_rows(indptr, q.size(1), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("sddmm", TORCH_BOX(&graphkern::sddmm)); }
#endif
